"""VAEs of images with the networks of a DCGAN (efvae, section 4.2), and how they are trained.

p(z) = N(0, I), p(x|z) = N(G(z), sigma^2 I), q(z|x) = N(m(x), diag s(x)^2), x in [-1, 1]. The ground truth is
such a model: the generator of a GAN, and image noise.

Deviation: batch normalisation of the decoder keeps the statistics that the GAN left (scales and shifts are
trained), so that p(x|z) is a function of z and joint training starts at the ground truth exactly. That of the
encoder is the usual one: statistics of the minibatch in training, running ones in evaluation.
"""

import math
from collections.abc import Callable, Mapping
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from elbogap.densities import gaussian_log_density
from elbogap.nn import store
from elbogap.nn.dcgan import Encoder, Generator
from elbogap.papers.efvae.settings import CelebaTraining, ImageTraining
from elbogap.tables import Arrays
from elbogap.training import Part, Work, descend, train

BLOCK = 20  # steps from one test for divergence to the next


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
        return z, mean + self.log_sigma.exp() * torch.randn(mean.shape, generator=random, device=mean.device)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Everything that :meth:`from_arrays` needs."""
        return {"sigma": np.array(self.sigma), **store.joined({"generator": self.generator})}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """The decoder that :meth:`to_arrays` described; other arrays in the mapping are ignored."""
        return cls(Generator.from_arrays(store.part("generator", arrays)), float(arrays["sigma"]))


def elbo_terms(decoder: Decoder, encoder: Encoder, x: Tensor, random: torch.Generator) -> Tensor:
    """log p(x|z) at one draw z ~ q(z|x), and KL(q(z|x) || p(z)): the ELBO is the first less the second.

    KL = 1/2 sum_l [m_l^2 + s_l^2 - 1 - 2 log s_l]. Both are in nats, `[2, B]`.
    """
    mean, log_scale = encoder.moments(x)
    z = mean + log_scale.exp() * torch.randn(mean.shape, generator=random, device=mean.device)
    decoded = decoder.generator(z).flatten(1)
    log_likelihood = gaussian_log_density(x.flatten(1), decoded, 2 * decoder.log_sigma)
    kl = (0.5 * (mean.square() + (2 * log_scale).exp() - 1) - log_scale).sum(-1)
    return torch.stack([log_likelihood, kl])


def adam(settings: ImageTraining, *networks: nn.Module) -> torch.optim.Adam:
    """The optimiser of all parameters that are to be trained."""
    parameters = [value for network in networks for value in network.parameters() if value.requires_grad]
    return torch.optim.Adam(parameters, lr=settings.learning_rate, betas=(settings.beta1, 0.999), fused=True)


def maximise(
    objective: Callable[[int], Tensor],
    networks: Mapping[str, nn.Module],
    settings: CelebaTraining,
    work: Work,
) -> None:
    """Train networks in place by the scalar objective of step i; what requires no gradient stays as it is."""
    optimiser = adam(settings, *networks.values())

    def step(i: int) -> Tensor:
        value = objective(i)
        descend(-value, optimiser)
        return value.detach()

    parts: dict[str, Part] = {**networks, "optimiser": optimiser}
    train(step, steps=settings.steps, record_every=BLOCK, parts=parts, work=work)
