"""Smooth minima by L-BFGS: SciPy's search, derivatives by autograd."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.optimize import OptimizeResult, minimize
from torch import Tensor


def minimise(
    loss: Callable[[Tensor], Tensor], start: Tensor, **options: Any
) -> tuple[Tensor, OptimizeResult]:
    """Where the search ends, in the shape of the start, and what SciPy says of it.

    Args:
        loss: a scalar function of a tensor like `start`, differentiable.
        start: where to begin, in float64.
        options: such as `bounds` and `options` of :func:`scipy.optimize.minimize`.
    """

    def value_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        point = torch.from_numpy(flat.copy()).view_as(start).requires_grad_()
        value = loss(point)
        (gradient,) = torch.autograd.grad(value, point, materialize_grads=True)
        return value.item(), gradient.flatten().numpy()

    end = minimize(value_and_gradient, start.flatten().numpy(), jac=True, method="L-BFGS-B", **options)
    return torch.from_numpy(end.x).view_as(start), end
