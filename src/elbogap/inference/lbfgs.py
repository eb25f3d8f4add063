"""Minima of smooth functions by L-BFGS-B: SciPy's search, with gradients by autograd."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.optimize import OptimizeResult, minimize
from torch import Tensor


def minimise(
    loss: Callable[[Tensor], Tensor], start: Tensor, **options: Any
) -> tuple[Tensor, OptimizeResult]:
    """The point of least scalar loss that the search finds, in the shape of `start`, and SciPy's result.

    `start` is float64; options are those of :func:`scipy.optimize.minimize`, such as `bounds`.
    """

    def value_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        point = torch.from_numpy(flat.copy()).view_as(start).requires_grad_()
        value = loss(point)
        (gradient,) = torch.autograd.grad(value, point, materialize_grads=True)
        return value.item(), gradient.flatten().numpy()

    end = minimize(value_and_gradient, start.flatten().numpy(), jac=True, method="L-BFGS-B", **options)
    return torch.from_numpy(end.x).view_as(start), end
