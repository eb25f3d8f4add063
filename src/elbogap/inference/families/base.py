"""The contract of families of approximate posteriors."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor

from elbogap.errors import UserError
from elbogap.inference.noise import Noise, Specs

LogJoint = Callable[[Tensor], Tensor]  # log p(x, z) in nats, up to a constant, `[..., D]` to `[...]`


class Family(ABC):
    """A distribution q(z), or one per observation x_b, and per member of an ensemble of M trained together.

    Draws of a single q are `[..., S, D]`, those of q(z|x_b) `[..., S, B, D]`, of an ensemble with M in front;
    parameters broadcast against them. A family is a frozen dataclass of differentiable tensors and functions.
    """

    bias: ClassVar[Literal["exact", "below"]] = "exact"
    """Whether :meth:`log_prob` is exact or, where z and its noise are independent, below log q on average."""
    has_rsample: ClassVar[bool] = True  # whether there is :meth:`rsample`; otherwise :meth:`sample` alone
    draws_axis: int = -2  # the axis of the S draws, where they have weights

    @abstractmethod
    def noise(self, *batch: int) -> Specs:
        """The standard noise of draws `[*batch, D]`."""

    def rsample(self, noise: Noise) -> Tensor:
        """Reparameterised draws z, `[..., D]`. UserError if the family has none."""
        raise UserError(
            f"draws of {type(self).__name__} are not reparameterised, and have no gradient in its "
            "parameters; take sample, and an objective that needs no such gradient"
        )

    @torch.no_grad()
    def sample(self, noise: Noise) -> Tensor:
        """Draws z without gradient, `[..., D]`."""
        return self.rsample(noise)

    def log_prob_noise(self, *batch: int) -> Specs:
        """The noise that :meth:`log_prob` takes at z `[*batch, D]`, if it is an estimate."""
        return {}

    @abstractmethod
    def log_prob(self, z: Tensor, noise: Noise | None = None) -> Tensor:
        """log q(z) in nats or an estimate of it (see `bias`), `[..., D]` to `[...]`."""

    def rsample_and_log_prob(self, noise: Noise) -> tuple[Tensor, Tensor]:
        """Draws z, and log q(z) or an estimate above it on average.

        The mean of `log_joint(z) - log_q` is then the ELBO, or a lower bound on it.
        """
        z = self.rsample(noise)
        return z, self.log_prob(z, noise)

    def log_draw_weights(self, num_draws: int) -> Tensor | None:
        """log w_s of S draws, `[..., S]`, with E_q f(z) = E sum_s w_s f(z_s); None if all w_s are 1 / S."""
        return None

    def detach(self) -> Self:
        """The same, with all tensors detached, and all functions that have a method `detach`."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        constant = {name: value.detach() for name, value in values.items() if hasattr(value, "detach")}
        return dataclasses.replace(self, **constant)  # type: ignore[type-var]
