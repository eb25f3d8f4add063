"""The smallest KL(q || p) of Gaussians with independent coordinates, by quadrature: what q must beat."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from elbogap.densities import LOG_2PI

NODES = 40  # per axis; exact for polynomials of degree 79
DEVIATIONS = (0.5, 2.0)


def smallest_divergence(
    log_density: Callable[[Tensor], Tensor], starts: Iterable[tuple[float, float]]
) -> float:
    """min KL(N(m, diag exp(2 l)) || p) in two dimensions, in nats, by L-BFGS on a Gauss-Hermite rule.

    Args:
        log_density: log p, normalised, `[1, B, 2]` to `[1, B]`, in float64.
        starts: first means m, each tried with a narrow and a wide q.
    """
    points, weights = np.polynomial.hermite_e.hermegauss(NODES)
    axis, share = torch.from_numpy(points), torch.from_numpy(weights / weights.sum())
    standard, probability = torch.cartesian_prod(axis, axis), torch.outer(share, share).flatten()

    def divergence(values: np.ndarray) -> tuple[float, np.ndarray]:
        parameters = torch.tensor(values, requires_grad=True)
        mean, log_deviation = parameters.chunk(2)
        cross_entropy = -(probability @ log_density((mean + log_deviation.exp() * standard)[None])[0])
        entropy = log_deviation.sum() + 1 + LOG_2PI
        value = cross_entropy - entropy
        (gradient,) = torch.autograd.grad(value, parameters)
        return float(value.detach()), gradient.numpy()

    firsts = [
        np.array([*mean, np.log(deviation), np.log(deviation)]) for mean in starts for deviation in DEVIATIONS
    ]
    return min(minimize(divergence, first, jac=True, method="L-BFGS-B").fun for first in firsts)
