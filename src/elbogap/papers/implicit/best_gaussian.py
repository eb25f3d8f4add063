"""The smallest KL(q || p) of Gaussians with independent coordinates, by quadrature: what q must beat."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from elbogap.densities import LOG_2PI, standard_gaussian_log_density

NODES, BOUND = 121, 9.0  # per axis, of the standard normal variable: 0.15 apart
DEVIATIONS = (0.5, 2.0)


def smallest_divergence(
    log_density: Callable[[Tensor], Tensor], starts: Iterable[tuple[float, float]]
) -> float:
    """min KL(N(m, diag exp(2 l)) || p) in two dimensions, in nats, by L-BFGS on the trapezoid rule.

    Args:
        log_density: log p, normalised, `[1, B, 2]` to `[1, B]`, in float64.
        starts: first means m, each tried with a narrow and a wide q.
    """
    axis = torch.linspace(-BOUND, BOUND, NODES, dtype=torch.float64)
    standard = torch.cartesian_prod(axis, axis)
    probability = standard_gaussian_log_density(standard).softmax(0)

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
