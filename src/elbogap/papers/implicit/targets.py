"""Targets on the plane, mixtures of Gaussians, some behind a bend, and divergences by quadrature."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from elbogap.densities import LOG_2PI, standard_gaussian_log_density
from elbogap.inference.families.base import LogJoint
from elbogap.inference.families.mixture import GaussianMixture
from elbogap.inference.lbfgs import minimise

NODES, BOUND = 121, 9.0  # of quadrature for the best Gaussian, per axis: 0.15 apart
SCALES = (0.5, 2.0)  # from which its search starts

Range = tuple[float, float]


class Component(NamedTuple):
    """A Gaussian of a mixture, with equal variances of both coordinates."""

    weight: float
    mean: Range
    correlation: float
    variance: float = 1.0

    def scale_tril(self) -> Tensor:
        """L with L L^T the covariance, `[2, 2]`, in float64."""
        covariance = self.variance * self.correlation
        rows = [[self.variance, covariance], [covariance, self.variance]]
        return torch.linalg.cholesky(torch.tensor(rows, dtype=torch.float64))


class Target(NamedTuple):
    """The density of z where x = (z_1, z_2 + b (z_1^2 + 1)) is a mixture; the bend b keeps areas.

    The `axes` are what the document's figure shows of z_1 and of z_2.
    """

    components: Sequence[Component]
    axes: tuple[Range, Range]
    bend: float = 0.0

    def on_grid(self, points: int) -> tuple[Tensor, Tensor, Tensor]:
        """The axes' points `[G]`, and the density with z_1 along the first, `[G, G]`, in float64."""
        z1, z2 = (torch.linspace(*ends, points, dtype=torch.float64) for ends in self.axes)
        log_p = log_density([self], dtype=torch.float64)
        return z1, z2, log_p(torch.cartesian_prod(z1, z2)[None]).exp().view(points, points)


UIVI_TARGETS: Mapping[str, Target] = {
    "banana": Target([Component(0.5, (0, 0), 0.9)] * 2, ((-3, 3), (-8, 1)), bend=1.0),
    "x_shaped": Target([Component(0.5, (0, 0), rho, 2.0) for rho in (0.9, -0.9)], ((-6, 6), (-6, 6))),
    "multimodal": Target([Component(0.5, (mean, 0), 0.0) for mean in (-2, 2)], ((-6, 6), (-4, 4))),
}
"""Targets of UIVI's toy experiments (slide 46; Titsias and Ruiz 2019, code)."""

VCD_TARGETS: Mapping[str, Target] = {
    "gaussian": Target([Component(1.0, (0, 0), 0.95)], ((-2, 2), (-2, 2))),
    "mixture": Target(
        [Component(0.3, (0.8, 0.8), 0.8), Component(0.7, (-2, -2), -0.6)], ((-4.2, 3.2), (-4.2, 3.2))
    ),
    "banana": Target([Component(1.0, (0, 0), 0.9)], ((-2, 2), (-6.5, 1)), bend=1.0),
}
"""Targets of VCD's toy experiments (slide 59; Ruiz and Titsias 2019, code)."""


def log_density(
    targets: Sequence[Target], device: str = "cpu", dtype: torch.dtype = torch.float32
) -> LogJoint:
    """log p of M targets, each at its own points, `[M, N, 2]` to `[M, N]`, in nats.

    L^-1 (x - m) is linear in (z_1, z_2, z_1^2).
    """
    most, missing = max(len(target.components) for target in targets), Component(0.0, (0.0, 0.0), 0.0)
    mixtures = [[*own, *[missing] * (most - len(own))] for own, _, _ in targets]
    weights, means = (
        torch.tensor([[part[i] for part in mixture] for mixture in mixtures], dtype=torch.float64)
        for i in range(2)
    )
    scale_tril = torch.stack([torch.stack([part.scale_tril() for part in mixture]) for mixture in mixtures])
    whitening = scale_tril.inverse()
    bend = torch.tensor([[target.bend] for target in targets], dtype=torch.float64)
    constants = weights.log() - scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1) - LOG_2PI
    bent_mean = means - torch.stack([torch.zeros_like(bend), bend], -1)
    columns = torch.cat([whitening, bend[..., None, None] * whitening[..., 1:]], -1)  # [M, K, 2, 3]
    shift = -(whitening @ bent_mean.unsqueeze(-1)).flatten(1).unsqueeze(1)
    parts = (constants.unsqueeze(1), columns.flatten(1, 2).mT.contiguous(), shift)
    constants, linear, shift = (part.to(device, dtype) for part in parts)

    def of_draws(z: Tensor) -> Tensor:
        white = torch.baddbmm(shift, torch.cat([z, z[..., :1].square()], -1), linear)
        distances = white.square().unflatten(-1, (-1, 2)).sum(-1)
        return torch.add(constants, distances, alpha=-0.5).logsumexp(-1)

    return of_draws


def _trapezoid_rule(nodes: int, bound: float) -> tuple[Tensor, Tensor]:
    """Nodes `[N, 2]` and weights `[N]` of expectations under N(0, I), in float64."""
    axis = torch.linspace(-bound, bound, nodes, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis)
    return z, standard_gaussian_log_density(z).softmax(0)


def divergences(q: GaussianMixture, target: Target) -> tuple[float, float]:
    """KL(q || p) and KL(p || q) of one approximation, parameters `[1, ...]` in float64, in nats.

    A trapezoid rule in each component's own standard coordinates, which converges exponentially.
    """
    nodes, mass = _trapezoid_rule(161, 8.0)  # ten per standard deviation; 1e-15 of a Gaussian is left out
    log_p = log_density([target], dtype=torch.float64)

    def difference(z: Tensor) -> float:
        """E [log q - log p] over draws z of a component."""
        return float((mass * (q.log_prob(z[None]) - log_p(z[None]))[0]).sum())

    def drawn(component: Component) -> Tensor:
        x = torch.tensor(component.mean, dtype=torch.float64) + nodes @ component.scale_tril().mT
        return torch.stack([x[:, 0], x[:, 1] - target.bend * (x[:, 0].square() + 1)], 1)

    from_q = [mean + scale * nodes for mean, scale in zip(q.mean[0], q.scale[0], strict=True)]
    kl_q_p = sum(float(w) * difference(z) for w, z in zip(q.log_weight[0].exp(), from_q, strict=True))
    kl_p_q = -sum(component.weight * difference(drawn(component)) for component in target.components)
    return kl_q_p, kl_p_q


def largest_elbo(log_joint: LogJoint, starts: Iterable[Range], *, correlated: bool = False) -> float:
    """max E_q[log p(x, z) - log q(z)] over q = N(m, L L^T) on the plane, in nats, by L-BFGS.

    The log-joint maps `[1, N, 2]` to `[1, N]` in float64. Each first mean m is tried with several scales; L
    has its element below the diagonal if `correlated`.
    """
    nodes, weights = _trapezoid_rule(NODES, BOUND)

    def minus_elbo(parameters: Tensor) -> Tensor:
        mean, log_scale, below = parameters.split([2, 2, 1])
        z = mean + log_scale.exp() * nodes
        if correlated:
            z = z + torch.stack([torch.zeros_like(nodes[:, 0]), below * nodes[:, 0]], 1)
        return -(weights @ log_joint(z[None])[0]) - (log_scale.sum() + 1 + LOG_2PI)

    firsts = [np.array([*mean, *np.log([scale] * 2), 0.0]) for mean in starts for scale in SCALES]
    return -min(minimise(minus_elbo, torch.from_numpy(first))[1].fun for first in firsts)
