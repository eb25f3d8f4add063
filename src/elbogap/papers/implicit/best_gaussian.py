"""The largest ELBO of a Gaussian q on the plane, by quadrature: what other families must beat."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from elbogap.densities import LOG_2PI, standard_gaussian_log_density
from elbogap.inference.families.base import LogJoint
from elbogap.inference.lbfgs import minimise

NODES, BOUND = 121, 9.0  # per axis, of the standard normal variable: 0.15 apart
SCALES = (0.5, 2.0)


def trapezoid_rule() -> tuple[Tensor, Tensor]:
    """Nodes `[N, 2]` and weights `[N]` of expectations under N(0, I), in float64."""
    axis = torch.linspace(-BOUND, BOUND, NODES, dtype=torch.float64)
    nodes = torch.cartesian_prod(axis, axis)
    return nodes, standard_gaussian_log_density(nodes).softmax(0)


def gauss_hermite_rule(points: int) -> tuple[Tensor, Tensor]:
    """The same, exact for polynomials of degree 2 `points` - 1."""
    axis, weight = (torch.from_numpy(part) for part in np.polynomial.hermite_e.hermegauss(points))
    weights = torch.outer(weight, weight).flatten()
    return torch.cartesian_prod(axis, axis), weights / weights.sum()


def largest_elbo(
    log_joint: LogJoint,
    starts: Iterable[tuple[float, float]],
    rule: tuple[Tensor, Tensor],
    *,
    correlated: bool = False,
) -> float:
    """max E_q[log p(x, z) - log q(z)] over q = N(m, L L^T), in nats, by L-BFGS.

    Args:
        log_joint: log p(x, z), `[1, N, 2]` to `[1, N]`, in float64.
        starts: first means m, each tried with several scales.
        rule: nodes and weights of expectations under N(0, I).
        correlated: whether L has its element below the diagonal.
    """
    nodes, weights = rule

    def minus_elbo(parameters: Tensor) -> Tensor:
        mean, log_scale, below = parameters.split([2, 2, 1])
        z = mean + log_scale.exp() * nodes
        if correlated:
            z = z + torch.stack([torch.zeros_like(nodes[:, 0]), below * nodes[:, 0]], 1)
        return -(weights @ log_joint(z[None])[0]) - (log_scale.sum() + 1 + LOG_2PI)

    firsts = [np.array([*mean, *np.log([scale] * 2), 0.0]) for mean in starts for scale in SCALES]
    return -min(minimise(minus_elbo, torch.from_numpy(first))[1].fun for first in firsts)
