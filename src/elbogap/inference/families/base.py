"""What a family of approximate posteriors offers."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal, Self

from torch import Tensor

from elbogap.inference.noise import Noise, Specs

LogJoint = Callable[[Tensor], Tensor]
"""log p(x, z) in nats, up to a constant, of draws z `[..., D]`: `[...]`."""

Bias = Literal["exact", "below"]
"""Whether an estimate of log q(z) is exact, or below it on average."""


class Family(ABC):
    """A distribution q(z), or one for each observation and member: its parameters broadcast against draws.

    Draws of a single q have the shape `[..., S, D]`, those of q(z|x_b) the shape `[..., S, B, D]`. Families
    are frozen dataclasses of tensors and functions, differentiable in all of them.
    """

    bias: ClassVar[Bias] = "exact"
    """What :meth:`log_prob` gives."""

    @abstractmethod
    def noise(self, *batch: int) -> Specs:
        """The standard noise of draws `[*batch, D]`."""

    @abstractmethod
    def rsample(self, noise: Noise) -> Tensor:
        """Reparameterised draws z, `[..., D]`."""

    def log_prob_noise(self, *batch: int) -> Specs:
        """The further noise that :meth:`log_prob` takes at z `[*batch, D]`, if it is an estimate."""
        return {}

    @abstractmethod
    def log_prob(self, z: Tensor, noise: Noise | None = None) -> Tensor:
        """log q(z) in nats or an estimate of it (see `bias`), `[..., D]` to `[...]`."""

    def rsample_and_log_prob(self, noise: Noise) -> tuple[Tensor, Tensor]:
        """Draws and log q of them, for families whose estimate is an upper bound on average at own draws.

        `log_prob(x) - log q(z)` is then a lower bound on the ELBO, on average.
        """
        z = self.rsample(noise)
        return z, self.log_prob(z, noise)

    def log_draw_weights(self, num_draws: int) -> Tensor | None:
        """log w_s, where E_q f(z) = E sum_s w_s f(z_s) of S draws, or None if all are 1 / S."""
        return None

    def detach(self) -> Self:
        """The same without gradient in the parameters."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        constant = {name: value.detach() for name, value in values.items() if hasattr(value, "detach")}
        return dataclasses.replace(self, **constant)  # type: ignore[type-var]
