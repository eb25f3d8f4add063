"""The user's parameters, by name or as one vector, and the real vectors in which methods work."""

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torch.distributions import biject_to, constraints
from torch.distributions.transforms import Transform

from elbogap.errors import UserError, did_you_mean, shown

Values = Tensor | dict[str, Tensor]
"""Draws `[..., D]`, or where parameters have names a dictionary of tensors `[..., *shape]`."""

Dim = int | Mapping[str, int | tuple[int, ...]]
Support = constraints.Constraint | Mapping[str, constraints.Constraint] | None


@dataclass(frozen=True)
class Parameter:
    """One parameter, its place among the real numbers, and its labels in a table."""

    name: str
    shape: tuple[int, ...]
    transform: Transform  # from all reals to the support
    real_shape: tuple[int, ...]

    @classmethod
    def of(cls, name: str, shape: Any, support: constraints.Constraint) -> Self:
        """UserError if the shape is none, or the support does not fit it."""
        sizes = (shape,) if isinstance(shape, int) else tuple(shape)
        if not all(isinstance(size, int) and size > 0 for size in sizes):
            raise UserError(f"'{name}' has the shape {shown(shape)}: give positive integers, or ()")
        try:
            transform = biject_to(support)
            return cls(name, sizes, transform, tuple(transform.inverse_shape(sizes)))
        except (NotImplementedError, ValueError) as error:
            raise UserError(
                f"the support {support} of '{name}' has no transform for the shape {list(sizes)} ({error}); "
                "take another of torch.distributions.constraints, or transform in the log-density"
            ) from error

    def labels(self) -> list[str]:
        """`name`, `name[i]` or `name[i,j]` of every number in it."""
        places = itertools.product(*map(range, self.shape))
        return [f"{self.name}[{','.join(map(str, place))}]" if place else self.name for place in places]

    def lead(self, value: Tensor) -> torch.Size:
        """The axes of a value before its own shape; UserError if it does not end in that."""
        axes = value.ndim - len(self.shape)
        if axes < 0 or value.shape[axes:] != self.shape:
            wanted = ", ".join(["...", *map(str, self.shape)])
            raise UserError(f"'{self.name}' has the shape [{wanted}], not {list(value.shape)}")
        return value.shape[:axes]


@dataclass(frozen=True)
class Space:
    """Parameters side by side as a real vector of D `dimensions`; `named` if the user gave them names."""

    parameters: tuple[Parameter, ...]
    named: bool
    dim: Dim
    support: Support

    @classmethod
    def of(cls, dim: Dim, support: Support = None) -> Self:
        """UserError if `dim` is neither a number nor shapes by name, or `support` does not fit it."""
        if isinstance(dim, Mapping) and dim:
            supports = support or {}
            if not isinstance(supports, Mapping):
                raise UserError("give supports by name too, such as support={'scale': constraints.positive}")
            for name in supports.keys() - dim.keys():
                raise UserError(f"the support of '{name}', which is no parameter{did_you_mean(name, dim)}")
            given = ((name, shape, supports.get(name, constraints.real)) for name, shape in dim.items())
            found = tuple(Parameter.of(*one) for one in given)
            return cls(found, True, {one.name: one.shape for one in found}, dict(supports))
        if not isinstance(dim, int) or isinstance(dim, bool) or dim < 1:
            raise UserError(f"dim is the length of z or a dictionary of shapes by name, not {shown(dim)}")
        if isinstance(support, Mapping):
            raise UserError("supports by name need shapes by name, such as dim={'scale': (), 'mean': 3}")
        return cls((Parameter.of("z", dim, support or constraints.real),), False, dim, support)

    @property
    def dimensions(self) -> int:
        """D, the length of the real vector."""
        return sum(math.prod(one.real_shape) for one in self.parameters)

    @property
    def labels(self) -> list[str]:
        """The names of all numbers, in the order of :meth:`flatten`."""
        return [label for one in self.parameters for label in one.labels()]

    def constrain(self, u: Tensor) -> tuple[Values, Tensor]:
        """The user's values at u `[..., D]`, and the log-determinant of the map, `[...]`."""
        values, log_det = {}, u.new_zeros(u.shape[:-1])
        parts = u.split([math.prod(one.real_shape) for one in self.parameters], -1)
        for one, part in zip(self.parameters, parts, strict=True):
            real = part.reshape(*u.shape[:-1], *one.real_shape)
            values[one.name] = one.transform(real)
            own = one.transform.log_abs_det_jacobian(real, values[one.name])
            log_det = log_det + own.reshape(*log_det.shape, -1).sum(-1)
        return self._given(values), log_det

    def unconstrain(self, values: Values) -> Tensor:
        """The real vectors `[..., D]` of the user's values; UserError if these are of another form."""
        each = self._each(values)
        return torch.cat([one.transform.inv(value).reshape(*one.lead(value), -1) for one, value in each], -1)

    def flatten(self, values: Values) -> Tensor:
        """The user's values side by side, `[..., F]`."""
        return torch.cat([value.reshape(*one.lead(value), -1) for one, value in self._each(values)], -1)

    def map(self, function: Callable[[Tensor], Tensor], values: Values) -> Values:
        """The function of each parameter's tensor."""
        return self._given({one.name: function(value) for one, value in self._each(values)})

    def _given(self, values: dict[str, Tensor]) -> Values:
        return values if self.named else values["z"]

    def _each(self, values: Values) -> list[tuple[Parameter, Tensor]]:
        names = [one.name for one in self.parameters]
        if self.named != isinstance(values, dict) or (isinstance(values, dict) and set(values) != set(names)):
            wanted = f"a dictionary of {', '.join(names)}" if self.named else "a tensor"
            raise UserError(f"values of these parameters are {wanted}, not {shown(values)}")
        by_name = values if isinstance(values, dict) else {"z": values}
        return [(one, by_name[one.name]) for one in self.parameters]
