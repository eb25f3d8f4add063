"""Smooth maxima by L-BFGS in float64."""

from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor


def maximise(value: Callable[[Tensor], Tensor], start: Tensor) -> Tensor:
    """A local maximum near the start, where the value no longer changes.

    Args:
        value: a scalar function of a float64 tensor, differentiable.
        start: where to begin.
    """

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        point = torch.from_numpy(flat.copy()).view_as(start).requires_grad_()
        result = -value(point)
        (gradient,) = torch.autograd.grad(result, point)
        return result.item(), gradient.flatten().numpy()

    options = {"maxiter": 5000, "maxfun": 10_000, "ftol": 1e-15, "gtol": 1e-9}
    end = minimize(loss, start.flatten().numpy(), jac=True, method="L-BFGS-B", options=options)
    return torch.from_numpy(end.x).view_as(start)
