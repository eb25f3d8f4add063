"""VAEs of images with the networks of a DCGAN (efvae, section 4.2).

p(z) = N(0, I), p(x|z) = N(G(z), sigma^2 I), q(z|x) = N(m(x), diag s(x)^2), x in [-1, 1]. The ground truth is
such a model: the generator of a GAN, and image noise.

Deviation: batch normalisation of the decoder keeps the statistics that the GAN left (scales and shifts are
trained), so that p(x|z) is a function of z and joint training starts at the ground truth exactly. That of the
encoder is the usual one: statistics of the minibatch in training, running ones in evaluation.
"""

import math
from collections.abc import Mapping
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from elbogap.densities import gaussian_log_density
from elbogap.nn import store
from elbogap.nn.dcgan import Encoder, Generator


class Decoder(nn.Module):
    """p(x, z) = N(z; 0, I) N(x; G(z), sigma^2 I)."""

    def __init__(self, generator: Generator, sigma: float) -> None:
        """A generator, whose batch statistics are kept from here on, and the scale of the image noise."""
        super().__init__()
        self.generator = generator.eval()
        self.log_sigma = nn.Parameter(torch.tensor(math.log(sigma)))

    @property
    def sigma(self) -> float:
        """Standard deviation of the image noise."""
        return float(self.log_sigma.detach().exp())

    def prior(self, count: int, random: torch.Generator) -> Tensor:
        """Draws of z, `[B, L]`."""
        return torch.randn(count, self.generator.sizes[0], generator=random, device=random.device)

    @torch.no_grad()
    def draw(self, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Fresh pairs z `[B, L]` and x `[B, 3, S, S]`."""
        z = self.prior(count, random)
        mean = self.generator(z)
        noise = torch.randn(mean.shape, generator=random, device=random.device)
        return z, mean + self.log_sigma.exp() * noise

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z), `[B]`, in nats."""
        mean = self.generator(z).flatten(1)
        return gaussian_log_density(x.flatten(1), mean, 2 * self.log_sigma)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Everything that :meth:`from_arrays` needs."""
        return {"sigma": np.array(self.sigma), **store.joined({"generator": self.generator})}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The decoder that :meth:`to_arrays` described; other arrays in the mapping are ignored."""
        return cls(Generator.from_arrays(store.part("generator", arrays)), float(arrays["sigma"]))


def elbo_terms(decoder: Decoder, encoder: Encoder, x: Tensor, random: torch.Generator) -> Tensor:
    """log p(x|z) at one draw z ~ q(z|x), and KL(q(z|x) || p(z)): the ELBO is the first less the second.

    KL = 1/2 sum_l [m_l^2 + s_l^2 - 1 - 2 log s_l].

    Returns:
        `[2, B]`, in nats.
    """
    mean, log_scale = encoder.moments(x)
    noise = torch.randn(mean.shape, generator=random, device=mean.device)
    z = mean + log_scale.exp() * noise
    kl = (0.5 * (mean.square() + (2 * log_scale).exp() - 1) - log_scale).sum(-1)
    return torch.stack([decoder.log_likelihood(x, z), kl])
