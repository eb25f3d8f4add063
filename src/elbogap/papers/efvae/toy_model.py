"""The document's toy: a mixture of four Gaussians on the plane, and encoders of two independent bits.

Deviations: the means are lost. The centre and an equilateral triangle around it with radius 2 and scale 1 are
calibrated to the published ELBOs, and other shapes may give them too. There is no training set: expectations
are sums over lattices, which for smooth functions err by exp(-2 (pi s / h)^2) with spacing h and Gaussians of
scale s (the best factorised q of each x jumps, which costs 1e-4). Networks see a coarse lattice that is
shifted at random at each step, so that they cannot fit to its nodes.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from elbogap.ensemble import Batch, Stream, fit
from elbogap.inference import exponential_family as ef
from elbogap.inference.lbfgs import minimise
from elbogap.nn.mlp import MLP
from elbogap.training import Work

BITS = 2
CODES = 2**BITS
RADIUS, SCALE = 2.0, 1.0  # distance of the other means from the centre, scale of each component; calibrated
FAMILY = ef.Gaussian(SCALE**2)  # of x given z
REACH = 6.0  # scales beyond the outermost means where lattices end: 1e-9 of the mass is left out
TRAINED = 4.0  # the same in training, whose encoder has nothing to gain beyond
HEIGHT = math.sqrt(0.75)
TRUTH = RADIUS * torch.tensor([[0.0, 0.0], [-1.0, 0.0], [0.5, HEIGHT], [0.5, -HEIGHT]], dtype=torch.float64)
"""mu(z) of the ground truth p(z) = 1/4, p(x|z) = N(mu(z), scale^2 I); the first code is the centre."""
SEARCH = {"maxiter": 5000, "maxfun": 10_000, "ftol": 1e-15, "gtol": 1e-9}


def maximise(value: Callable[[Tensor], Tensor], *starts: Tensor) -> Tensor:
    """The best local maximum of a differentiable function that L-BFGS finds from the starts, in float64."""
    ends = [minimise(lambda point: -value(point), start, options=SEARCH)[0] for start in starts]
    return max(ends, key=lambda point: value(point).item())


def log_joint(x: Tensor, means: Tensor) -> Tensor:
    """log p(x, z) under any means, `[..., B, 2]` and `[..., 4, 2]` to `[..., B, 4]`."""
    return ef.pairwise_log_density(FAMILY, x, means) - math.log(CODES)


def harmonium(parameters: Tensor) -> ef.Harmonium:
    """The Gaussian-Bernoulli RBM with W, a, b = the eight parameters, in that order."""
    interaction, observed_bias, code_bias = parameters.split([4, 2, 2])
    return ef.Harmonium(FAMILY, ef.binary_codes(BITS), interaction.view(2, BITS), observed_bias, code_bias)


def lattice(spacing: float, radius: float = RADIUS, reach: float = REACH) -> Tensor:
    """Nodes `[N, 2]` of a square, up to `reach` scales beyond the radius."""
    steps = math.ceil((radius + reach * SCALE) / spacing)
    axis = spacing * torch.arange(-steps, steps + 1, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis)


@dataclass(frozen=True)
class Data:
    """Nodes x `[N, 2]` of a lattice, the data's mass at each, `[N]`, and what decoders achieve on them."""

    x: Tensor
    mass: Tensor

    @classmethod
    def on_lattice(cls, spacing: float, means: Tensor = TRUTH, radius: float = RADIUS) -> Self:
        """A mixture with any means `[4, 2]`, none farther than the radius from 0."""
        x = lattice(spacing, radius)
        return cls(x, log_joint(x, means).logsumexp(-1).exp() * spacing**2)

    def bound(self, means: Tensor, encoder: MLP) -> ef.Bound:
        """Of each x, for decoders `[M, 4, 2]` with an encoder network each."""
        return ef.enumerated(log_joint(self.x, means), encoder_log_prob(encoder, self.x))

    def best_bound(self, means: Tensor) -> ef.Bound:
        """The same with the best factorised q of each x, without any network, `[..., 4, 2]`."""
        log_values = log_joint(self.x, means)
        return ef.enumerated(log_values, ef.best_factorised(log_values.detach(), ef.binary_codes(BITS)))

    def best_means(self) -> Tensor:
        """The decoder `[4, 2]` with the best ELBO near the ground truth, with the best factorised q's."""
        return maximise(lambda means: self.mass @ self.best_bound(means).elbo, TRUTH)


@dataclass(frozen=True)
class Population:
    """The expected ELBO of factorised encoders, and of decoders where they are trained, on shifted lattices.

    `means` `[4, 2]` or `[M, 4, 2]` are those of a decoder that is not trained; all is done on their device.
    The `streams` draw the shifts of each member, in each of the K `steps` per epoch.
    """

    means: Tensor
    spacing: float
    steps: int
    streams: Sequence[Stream]

    reported: ClassVar[tuple[str, ...]] = ()

    def prepare(self, epoch: int) -> Batch:
        """The nodes `x` `[M, K, N, 2]` and their `weight` `[M, K, N]`, of sum 1."""
        draw = partial(torch.rand, self.steps, 1, 2, device=self.means.device, dtype=torch.float64)
        shifts = torch.stack([draw(generator=stream(epoch)) for stream in self.streams])
        x = lattice(self.spacing, reach=TRAINED).to(self.means) + self.spacing * (shifts - 0.5)
        weight = log_joint(x, TRUTH.to(self.means)).logsumexp(-1).softmax(-1)
        return {"x": x.float(), "weight": weight.float()}

    def value(self, networks: Mapping[str, MLP], batch: Batch) -> Tensor:
        """The expected ELBO `[M]`; `networks` are `encoder` and, if it is trained, `decoder`."""
        x = batch["x"]
        means = decoded(networks["decoder"]) if "decoder" in networks else self.means.to(x)
        log_q = ef.log_encoder(networks["encoder"](x), _codes(x.dtype, x.device))
        return (batch["weight"] * ef.enumerated(log_joint(x, means), log_q).elbo).sum(-1)

    def maximise(self, networks: Mapping[str, MLP], work: Work, **options: Any) -> Mapping[str, MLP]:
        """The networks trained, with the options of :func:`elbogap.ensemble.fit`."""
        device = self.means.device.type
        return fit(self, networks, record_epochs=1, work=work, device=device, **options).networks


def decoded(decoder: MLP) -> Tensor:
    """mu(z) of constant networks, `[M, 4, 2]`."""
    return decoder(decoder.biases[0].new_zeros(decoder.members, 1, 0)).view(-1, CODES, 2)


@cache
def _codes(dtype: torch.dtype, device: torch.device) -> Tensor:
    """All codes, made once: a CUDA graph cannot copy them to the device."""
    return ef.binary_codes(BITS, dtype=dtype).to(device)


@torch.no_grad()
def encoder_log_prob(encoder: MLP, x: Tensor) -> Tensor:
    """log q(z|x) of all members, q ∝ exp <g(x), z>, z in {0, 1}^2, `[N, 2]` to `[M, N, 4]` in float64."""
    natural = encoder(x.float()[None])
    return ef.log_encoder(natural, _codes(natural.dtype, natural.device)).double().log_softmax(-1)
