"""Smooth maxima by L-BFGS in float64."""

from collections.abc import Callable

from torch import Tensor

from elbogap.inference.lbfgs import minimise

OPTIONS = {"maxiter": 5000, "maxfun": 10_000, "ftol": 1e-15, "gtol": 1e-9}


def maximise(value: Callable[[Tensor], Tensor], *starts: Tensor) -> Tensor:
    """The best of the local maxima near the starts, each where the value no longer changes.

    Args:
        value: a scalar function of a float64 tensor, differentiable.
        starts: where to begin.
    """
    ends = [minimise(lambda point: -value(point), start, options=OPTIONS)[0] for start in starts]
    return max(ends, key=lambda point: value(point).item())
