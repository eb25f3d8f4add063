"""A user's log-density as a function of real vectors, and what can be wrong with it, in one line each."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from elbogap.api.space import Space, Values
from elbogap.errors import UserError, circumstance, shortened
from elbogap.inference.hmc import UNDEFINED

PROBES = 16
DECLARE = "declare where z may lie, such as support=torch.distributions.constraints.positive"


class Target:
    """log p of real vectors u `[..., D]`, with the log-determinant of the support's transform: `[...]`.

    The user's function gets one axis of draws, `[N, D]` or `[N, *shape]` by name, in float64, or in float32
    if its own tensors admit nothing else. Where it raises one of :data:`.UNDEFINED` for a draw, log p is -inf
    there. `gradient_evaluations` counts draws with a gradient.
    """

    def __init__(self, log_density: Callable[[Any], Tensor], space: Space, device: str = "cpu") -> None:
        """UserError if the function fails, or has no finite value with a finite gradient near u = 0."""
        self.log_density, self.space, self.device = log_density, space, device
        self.dtype, self.gradient_evaluations = torch.float64, 0
        self.failure: Exception | None = None
        random = torch.Generator().manual_seed(0)
        points = torch.randn(PROBES, space.dimensions, generator=random, dtype=torch.float64)
        self._check(torch.cat([torch.zeros_like(points[:1]), points]).to(device))

    def __call__(self, u: Tensor) -> Tensor:
        """log p(u); UserError if the user's function gives another shape, or has no gradient."""
        rows = u.reshape(-1, u.shape[-1])
        if u.requires_grad and torch.is_grad_enabled():
            self.gradient_evaluations += len(rows)
        values, log_det = self.space.constrain(rows)
        return (self._given(values, len(rows)).to(u.dtype) + log_det).view(u.shape[:-1])

    def _given(self, values: Values, count: int) -> Tensor:
        values = self.space.map(lambda value: value.to(self.dtype), values)
        try:
            found = self.log_density(values)
        except UNDEFINED as error:
            if count > 1:
                rows = (partial(torch.narrow, dim=0, start=i, length=1) for i in range(count))
                return torch.cat([self._given(self.space.map(row, values), 1) for row in rows])
            self.failure = error
            return -math.inf + 0 * self.space.flatten(values).sum(-1)
        if not isinstance(found, Tensor) or found.shape != (count,):
            what = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise UserError(
                f"the log-density of {count} draws must be a tensor [{count}], not {what}: keep the first "
                "axis and sum over the others; torch.func.vmap makes such a function of one for a single draw"
            )
        if self.space.flatten(values).requires_grad and not found.requires_grad:
            raise UserError(
                "the log-density has no gradient in its argument: compute it from z by torch alone, without "
                ".item(), .detach(), numpy or torch.no_grad"
            )
        return found

    def _check(self, points: Tensor) -> None:
        try:
            value, gradient = self._slope(points)
        except RuntimeError as error:
            if "dtype" not in str(error) or self.dtype == torch.float32:
                raise self._failure(error, len(points)) from error
            self.dtype = torch.float32
            self._check(points)
            return
        except Exception as error:
            if isinstance(error, UserError) or circumstance(error):
                raise
            raise self._failure(error, len(points)) from error
        if isinstance(self.failure, ValueError) or (self.failure and not value.isfinite().any()):
            raise self._failure(self.failure, len(points)) from self.failure
        usable = value.isfinite() & gradient.isfinite().all(-1)
        if not usable.any():
            raise UserError(
                f"the log-density is {float(value[0])} at the start (0 in the reals), with no finite value "
                f"and gradient near it: mend it, shift z, or {DECLARE}"
            )
        self.refuse_nan(points, value)

    def refuse_nan(self, points: Tensor, value: Tensor) -> None:
        """UserError if the log-density is NaN at a point u `[N, D]`, as outside an undeclared support."""
        if value.isnan().any():
            at = self.space.flatten(self.space.constrain(points)[0])[value.isnan()][0]
            first = ", ".join(
                f"{label} = {number:.3g}" for label, number in zip(self.space.labels[:3], at, strict=False)
            )
            raise UserError(
                f"the log-density is nan at {int(value.isnan().sum())} of {len(value)} points, "
                f"such as {first}: {DECLARE}"
            )

    def _slope(self, points: Tensor) -> tuple[Tensor, Tensor]:
        u = points.detach().requires_grad_()
        value = self(u)
        (gradient,) = torch.autograd.grad(value.sum(), u)
        return value.detach(), gradient

    def _failure(self, error: Exception, count: int) -> UserError:
        given = {one.name: [count, *one.shape] for one in self.space.parameters}
        remedy = DECLARE if isinstance(error, ValueError) else "compare dim with what it takes"
        return UserError(
            f"the log-density fails on draws {given if self.space.named else given['z']}: "
            f"{type(error).__name__}: {shortened(error, 200)}; {remedy}"
        )
