"""Targets on the plane, mixtures of two Gaussians, some behind a bend: M of them, each at its own points."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor

from elbogap.densities import LOG_2PI
from elbogap.inference.families.mixture import GaussianMixture

REACH, NODES = 8.0, 161  # quadrature: 1e-15 of a Gaussian is left out; ten nodes per standard deviation


class Component(NamedTuple):
    """A Gaussian with unit variances.

    Attributes:
        weight: its share of the mixture.
        mean: of both coordinates.
        correlation: between them.
    """

    weight: float
    mean: tuple[float, float]
    correlation: float


class Target(NamedTuple):
    """The density of z where (z_1, z_2 + b (z_1^2 + 1)) is a mixture of Gaussians; the bend b keeps areas."""

    components: Sequence[Component]
    bend: float = 0.0


TARGETS: Mapping[str, Target] = {
    "gaussian": Target([Component(1.0, (0.0, 0.0), 0.95)]),
    "mixture": Target([Component(0.3, (0.8, 0.8), 0.8), Component(0.7, (-2.0, -2.0), -0.6)]),
    "banana": Target([Component(1.0, (0.0, 0.0), 0.9)], bend=1.0),
}
"""The targets of VCD's toy experiments (slide 59; Ruiz and Titsias 2019, code)."""


@dataclass(frozen=True)
class Planar:
    """M targets.

    Attributes:
        log_constant: log w_k - log det L_k - log 2 pi, `[M, 1, K]`; -inf for a component that is missing.
        lifted: L_k^-1 x_b as linear functions of (z_1, z_2, z_1^2), `[M, 3, 2 K]`.
        shift: and the constants in them, `[M, 1, 2 K]`.
    """

    log_constant: Tensor
    lifted: Tensor
    shift: Tensor

    @classmethod
    def of(cls, targets: Sequence[Target], device: str, dtype: torch.dtype = torch.float32) -> Self:
        """The targets in this order."""
        most = max(len(target.components) for target in targets)
        constants, lifted, shifts = [], [], []
        for target in targets:
            missing = [Component(0.0, (0.0, 0.0), 0.0)] * (most - len(target.components))
            components = [*target.components, *missing]
            factors = torch.stack([_factor(one) for one in components])
            whitening = torch.linalg.inv(factors)  # [K, 2, 2]
            mean = torch.tensor([one.mean for one in components], dtype=torch.float64)
            mean = mean - torch.tensor([0.0, target.bend], dtype=torch.float64)
            columns = torch.cat([whitening, target.bend * whitening[..., 1:]], -1)  # [K, 2, 3]
            weights = torch.tensor([one.weight for one in components], dtype=torch.float64)
            constants.append(weights.log() - torch.linalg.slogdet(factors).logabsdet - LOG_2PI)
            lifted.append(columns.flatten(0, 1).mT)
            shifts.append(-(whitening @ mean.unsqueeze(-1)).flatten())
        parts = (torch.stack(constants)[:, None], torch.stack(lifted), torch.stack(shifts)[:, None])
        return cls(*(part.to(device, dtype) for part in parts))

    def log_density(self, z: Tensor) -> Tensor:
        """log p(z), `[M, N, 2]` to `[M, N]`, in nats."""
        features = torch.cat([z, z[..., :1].square()], -1)
        whitened = torch.baddbmm(self.shift, features, self.lifted)
        distances = whitened.square().unflatten(-1, (-1, 2)).sum(-1)
        return torch.add(self.log_constant, distances, alpha=-0.5).logsumexp(-1)


def divergences(q: GaussianMixture, target: Target) -> tuple[float, float]:
    """KL(q || p) and KL(p || q) of one approximation, parameters `[1, ...]` in float64, in nats.

    A trapezoid rule in each component's own standard coordinates, which converges exponentially.
    """
    axis = torch.linspace(-REACH, REACH, NODES, dtype=torch.float64)
    nodes = torch.cartesian_prod(axis, axis)
    mass = torch.exp(-0.5 * nodes.square().sum(-1) - LOG_2PI) * float(axis[1] - axis[0]) ** 2
    p = Planar.of([target], "cpu", torch.float64)

    def difference(z: Tensor) -> float:
        """E [log q - log p] over draws z of a component."""
        return float((mass * (q.log_prob(z[None]) - p.log_density(z[None]))[0]).sum())

    from_q = [mean + scale * nodes for mean, scale in zip(q.mean[0], q.scale[0], strict=True)]
    kl_q_p = sum(float(w) * difference(z) for w, z in zip(q.log_weight[0].exp(), from_q, strict=True))
    kl_p_q = -sum(one.weight * difference(_bent(one, target.bend, nodes)) for one in target.components)
    return kl_q_p, kl_p_q


def _factor(component: Component) -> Tensor:
    """L with L L^T the covariance, `[2, 2]`."""
    rho = component.correlation
    return torch.tensor([[1.0, 0.0], [rho, math.sqrt(1 - rho**2)]], dtype=torch.float64)


def _bent(component: Component, bend: float, nodes: Tensor) -> Tensor:
    """Standard coordinates `[N, 2]` to z."""
    x = torch.tensor(component.mean, dtype=torch.float64) + nodes @ _factor(component).mT
    return torch.stack([x[:, 0], x[:, 1] - bend * (x[:, 0].square() + 1)], 1)
