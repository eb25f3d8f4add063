"""The document's toy: a mixture of four Gaussians on the plane, and encoders of two independent bits.

Deviations: the means are lost. The centre and an equilateral triangle around it with radius 2 and scale 1 are
a calibration, not a reading: they give the published ELBOs, and other shapes may too. Expectations over the
data are sums over lattices, which for smooth functions err by exp(-2 (pi s / h)^2) with spacing h and
Gaussians of scale s (the best factorised q of each x jumps, which costs 1e-4); there is no training set.
Networks see a coarse lattice that is shifted at random at each step, so that they cannot fit to its nodes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from elbogap.ensemble import Batch, Stream
from elbogap.inference.exponential_family import (
    Bound,
    Gaussian,
    Harmonium,
    best_factorised,
    binary_codes,
    enumerated,
    log_encoder,
    pairwise_log_density,
)
from elbogap.nn.mlp import MLP, Network
from elbogap.papers.efvae.search import maximise

BITS = 2
CODES = 2**BITS
REACH = 6.0  # scales beyond the outermost means where lattices end: 1e-9 of the mass is left out
TRAINED = 4.0  # the same in training, whose encoder has nothing to gain beyond


@dataclass(frozen=True)
class Mixture:
    """p(z) = 1/4, p(x|z) = N(mu(z), scale^2 I); the first code is the centre, the last one its opposite.

    Attributes:
        radius: distance of the other means from the centre, calibrated (module docstring).
        scale: of each component, calibrated too, in units of x.
    """

    radius: float = 2.0
    scale: float = 1.0

    @property
    def family(self) -> Gaussian:
        """Of x given z."""
        return Gaussian(self.scale**2)

    def means(self) -> Tensor:
        """mu(z) of the ground truth, `[4, 2]`."""
        height = math.sqrt(0.75)
        corners = [[0.0, 0.0], [-1.0, 0.0], [0.5, height], [0.5, -height]]
        return self.radius * torch.tensor(corners, dtype=torch.float64)

    def log_joint(self, x: Tensor, means: Tensor) -> Tensor:
        """log p(x, z) under any means, `[..., B, 2]` and `[..., 4, 2]` to `[..., B, 4]`."""
        return pairwise_log_density(self.family, x, means) - math.log(CODES)

    def lattice(self, spacing: float, reach: float = REACH) -> tuple[Tensor, Tensor]:
        """Nodes `[N, 2]` up to `reach` scales beyond the means, and the data's mass at each, `[N]`."""
        end = self.radius + reach * self.scale
        steps = math.ceil(end / spacing)
        axis = spacing * torch.arange(-steps, steps + 1, dtype=torch.float64)
        x = torch.cartesian_prod(axis, axis)
        return x, (self.log_joint(x, self.means()).logsumexp(-1)).exp() * spacing**2

    def harmonium(self, parameters: Tensor) -> Harmonium:
        """The Gaussian-Bernoulli RBM with W, a, b = the eight parameters, in that order."""
        interaction, observed_bias, code_bias = parameters.split([4, 2, 2])
        return Harmonium(self.family, binary_codes(BITS), interaction.view(2, BITS), observed_bias, code_bias)


@dataclass(frozen=True)
class Data:
    """Data on a lattice, and what decoders of a mixture's scale achieve on them.

    Attributes:
        mixture: whose scale the decoders have, and whose means are the ground truth.
        x: nodes, `[N, 2]`.
        mass: of the data at each node, `[N]`.
    """

    mixture: Mixture
    x: Tensor
    mass: Tensor

    @classmethod
    def on_lattice(cls, spacing: float) -> "Data":
        """The toy's data."""
        mixture = Mixture()
        return cls(mixture, *mixture.lattice(spacing))

    def bound(self, means: Tensor, encoder: MLP) -> Bound:
        """Of each x, for decoders `[M, 4, 2]` with an encoder network each."""
        return enumerated(self.mixture.log_joint(self.x, means), measured(encoder, self.x))

    def best_bound(self, means: Tensor) -> Bound:
        """The same with the best factorised q of each x, without any network, `[..., 4, 2]`."""
        log_joint = self.mixture.log_joint(self.x, means)
        return enumerated(log_joint, best_factorised(log_joint.detach(), binary_codes(BITS)))

    def best_means(self) -> Tensor:
        """The decoder `[4, 2]` with the best ELBO near the ground truth, with the best factorised q's."""
        return maximise(lambda means: self.mass @ self.best_bound(means).elbo, self.mixture.means())


@dataclass(frozen=True)
class Population:
    """The expected ELBO of factorised encoders, and of decoders where they are trained, on shifted lattices.

    Attributes:
        mixture: the data.
        means: of the decoder, `[4, 2]` or `[M, 4, 2]` on the device, where it is not trained.
        spacing: of the lattices, in units of x.
        steps: K per epoch.
        streams: each member's shifts.
        device: where everything lives.
        reported: nothing.
    """

    mixture: Mixture
    means: Tensor
    spacing: float
    steps: int
    streams: Sequence[Stream]
    device: str
    reported: tuple[str, ...] = ()

    def prepare(self, epoch: int) -> Batch:
        """The nodes `x` `[M, K, N, 2]` and their `weight` `[M, K, N]`, of sum 1."""
        lattice = self.mixture.lattice(self.spacing, TRAINED)[0].to(self.device)
        shape = self.steps, 1, 2
        shifts = [
            torch.rand(shape, generator=stream(epoch), device=self.device, dtype=torch.float64)
            for stream in self.streams
        ]
        x = lattice + self.spacing * (torch.stack(shifts) - 0.5)
        log_p = self.mixture.log_joint(x, self.mixture.means().to(self.device)).logsumexp(-1)
        return {"x": x.float(), "weight": log_p.softmax(-1).float()}

    def value(self, networks: Mapping[str, MLP], batch: Batch) -> Tensor:
        """The expected ELBO `[M]`; `networks` are `encoder` and, if it is trained, `decoder`."""
        x = batch["x"]
        means = decoded(networks["decoder"]) if "decoder" in networks else self.means.to(x)
        bound = enumerated(self.mixture.log_joint(x, means), encoded(networks["encoder"], x))
        return (batch["weight"] * bound.elbo).sum(-1)


def decoded(decoder: MLP) -> Tensor:
    """mu(z) of constant networks, `[M, 4, 2]`."""
    return decoder(decoder.biases[0].new_zeros(decoder.members, 1, 0)).view(-1, CODES, 2)


def encoded(encoder: Network, x: Tensor) -> Tensor:
    """log q(z|x) of the networks, q ∝ exp <g(x), z>, z in {0, 1}^2; `[M, B, 2]` to `[M, B, 4]`."""
    return log_encoder(encoder(x), _codes(x.dtype, x.device))


@cache
def _codes(dtype: torch.dtype, device: torch.device) -> Tensor:
    """All codes, made once: a CUDA graph cannot copy them to the device."""
    return binary_codes(BITS, dtype=dtype).to(device)


@torch.no_grad()
def measured(encoder: MLP, x: Tensor) -> Tensor:
    """log q(z|x) of all members in float64, `[N, 2]` to `[M, N, 4]`."""
    return encoded(encoder, x.float()[None]).double().log_softmax(-1)
