"""Smooth maxima by L-BFGS in float64."""

from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

OPTIONS = {"maxiter": 5000, "maxfun": 10_000, "ftol": 1e-15, "gtol": 1e-9}


def maximise(value: Callable[[Tensor], Tensor], *starts: Tensor) -> Tensor:
    """The best of the local maxima near the starts, each where the value no longer changes.

    Args:
        value: a scalar function of a float64 tensor, differentiable.
        starts: where to begin.
    """

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        point = torch.from_numpy(flat.copy()).view_as(starts[0]).requires_grad_()
        result = -value(point)
        (gradient,) = torch.autograd.grad(result, point)
        return result.item(), gradient.flatten().numpy()

    ends = [
        minimize(loss, start.flatten().numpy(), jac=True, method="L-BFGS-B", options=OPTIONS).x
        for start in starts
    ]
    maxima = [torch.from_numpy(end).view_as(starts[0]) for end in ends]
    return max(maxima, key=lambda point: value(point).item())
