"""The importance-weighted autoencoder of the MNIST experiments: Gaussian q(z | x), Bernoulli p(x | z)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from elbogap.densities import (
    bernoulli_log_likelihood,
    gaussian_log_density,
    standard_gaussian_log_density,
)
from elbogap.nn.mlp import MLP

PIXELS = 784


@dataclass(frozen=True)
class Draws:
    """S draws of q(z | x) for each of B images.

    Attributes:
        z: `[S, B, L]`.
        log_likelihood: log p(x | z), `[S, B]`, in nats.
        log_weights: log p(x, z) - log q(z | x), `[S, B]`, in nats.
    """

    z: Tensor
    log_likelihood: Tensor
    log_weights: Tensor


@dataclass(frozen=True)
class Autoencoder:
    """Encoder 784 - hidden - 2 L (means, then log-variances) and decoder L - hidden - 784 (logits)."""

    encoder: MLP
    decoder: MLP

    @classmethod
    def initial(cls, hidden: Sequence[int], latent: int, generator: torch.Generator) -> Self:
        """Softplus networks with Xavier-uniform weights and zero biases."""
        sizes = [PIXELS, *hidden, 2 * latent], [latent, *hidden, PIXELS]
        return cls(*(MLP(1, size, "softplus", generator, "xavier") for size in sizes))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The networks that :meth:`to_arrays` described."""

        def part(prefix: str) -> MLP:
            found = {name: value for name, value in arrays.items() if name.startswith(prefix)}
            return MLP.from_arrays({name.removeprefix(prefix): value for name, value in found.items()})

        return cls(part("encoder_"), part("decoder_"))

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All parameters as `encoder_weight0`, `decoder_weight0`, ..."""
        parts = {"encoder_": self.encoder, "decoder_": self.decoder}
        return {
            prefix + name: value for prefix, mlp in parts.items() for name, value in mlp.to_arrays().items()
        }

    def draw(self, images: Tensor, samples: int, generator: torch.Generator) -> Draws:
        """Draw z = m(x) + e exp(s(x) / 2), e ~ N(0, I); differentiable.

        Args:
            images: `[B, 784]` in {0, 1}.
            samples: number S of draws.
            generator: source of e.
        """
        mean, log_variance = self.encoder(images.unsqueeze(0)).squeeze(0).chunk(2, -1)
        noise = torch.randn(samples, *mean.shape, generator=generator, device=mean.device)
        z = mean + noise * torch.exp(log_variance / 2)
        log_likelihood = bernoulli_log_likelihood(images, self.logits(z))
        log_prior, log_q = standard_gaussian_log_density(z), gaussian_log_density(z, mean, log_variance)
        return Draws(z, log_likelihood, log_likelihood + log_prior - log_q)

    def logits(self, z: Tensor) -> Tensor:
        """Logits of the pixel means, `[..., L]` to `[..., 784]`."""
        return self.decoder(z.unsqueeze(0)).squeeze(0)
