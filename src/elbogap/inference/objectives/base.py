"""The contract of objectives, and what they share."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from elbogap.densities import standard_gaussian_log_density
from elbogap.errors import UserError
from elbogap.inference import hmc
from elbogap.inference.bounds import zero_with_gradient
from elbogap.inference.families.base import Family, LogJoint
from elbogap.inference.noise import Noise, Spec, Specs

Q = TypeVar("Q", bound=Family, contravariant=True)

State = nn.Module | None  # what an objective keeps from step to step and updates in place; None if nothing


@runtime_checkable
class Model(Protocol):
    """A log-joint whose own parameters may be trained too."""

    def __call__(self, z: Tensor) -> Tensor:
        """log p(x, z) in nats, `[..., D]` to `[...]`, differentiable in z and in the model's parameters."""

    def detach(self) -> LogJoint:
        """The same without gradient in the model's parameters."""


def constant(log_joint: LogJoint) -> LogJoint:
    """The log-joint without gradient in its own parameters; all but a :class:`Model` pass unchanged."""
    return log_joint.detach() if isinstance(log_joint, Model) else log_joint


@dataclass(frozen=True)
class StandardNormalPrior:
    """p(x, z) = p(x|z) N(z; 0, I), a :class:`Model`, from log p(x|z) in nats, `[..., D]` to `[...]`.

    `constant_likelihood` is log p(x|z) without gradient in its parameters, needed if these are trained.
    """

    log_likelihood: LogJoint
    constant_likelihood: LogJoint | None = None

    def __call__(self, z: Tensor) -> Tensor:
        """log p(x, z)."""
        return self.log_likelihood(z) + standard_gaussian_log_density(z)

    def detach(self) -> "StandardNormalPrior":
        """The same without gradient in the likelihood's parameters."""
        return StandardNormalPrior(self.constant_likelihood or self.log_likelihood)


def likelihood(log_joint: LogJoint) -> LogJoint:
    """log p(x|z) of a :class:`StandardNormalPrior`; UserError for any other log-joint."""
    if not isinstance(log_joint, StandardNormalPrior):
        raise UserError("this objective takes StandardNormalPrior(log_likelihood) as log-joint")
    return log_joint.log_likelihood


@dataclass(frozen=True)
class Estimate:
    """An estimate of an objective for each draw or observation, and of its gradient.

    `value`, in nats, has no gradient. The gradient of `surrogate` estimates that of the objective; its own
    value means nothing. Both are `[...]`. `weights`, without gradient, weight the entries of the last axis,
    such as S stratified draws; None if all are 1 / S.
    """

    value: Tensor
    surrogate: Tensor
    weights: Tensor | None = None

    @classmethod
    def of(cls, value: Tensor) -> Self:
        """An estimate whose gradient is that of its value."""
        return cls(value.detach(), value)

    def stratified(self, q: Family, of_start: Tensor) -> "Estimate":
        """The estimate of sum_s w_s f_s with the weights w_s of q's draws; unchanged if all are 1 / S.

        Its gradient is sum_s w_s [d f_s + g_s d log w_s]; g_s (`of_start`, without gradient) is the part of
        f_s that is a function of the draw z_s of q alone. Values `[..., S, B]` are summed over s.
        """
        log_weights = q.log_draw_weights(self.value.shape[q.draws_axis + 1])
        if log_weights is None:
            return self
        finite = torch.where(of_start.isfinite(), of_start, 0)  # 0 times an infinite factor would be NaN
        weights, surrogate = log_weights.detach().exp(), self.surrogate + log_weights * finite
        if q.draws_axis == -2:
            return Estimate(self.value, surrogate, weights)
        return Estimate((weights * self.value).sum(-2), (weights * zero_with_gradient(surrogate)).sum(-2))

    def mean(self) -> Tensor:
        """The weighted mean over the last axis, `[...]`; a surrogate that is not finite adds no gradient."""
        gradient = zero_with_gradient(self.surrogate)
        if self.weights is None:
            return gradient.mean(-1) + self.value.mean(-1)
        return (self.weights * gradient).sum(-1) + (self.weights * self.value).sum(-1)

    def sum_of_gradients(self) -> Tensor:
        """The plain mean over the last axis, `[...]`, with the gradient of the sum; ignores weights."""
        return zero_with_gradient(self.surrogate).sum(-1) + self.value.mean(-1)


class Objective(ABC, Generic[Q]):
    """A function of q, and of a :class:`Model` if that is trained too, to be maximised. A training step:

        noise = draw(objective.noise(S, dimensions=D), generator)
        loss = -objective.estimate(q, log_joint, noise, state).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    with `state = objective.initial_state()` before the loop. UserError if noise is missing or misshapen.
    """

    def noise(self, *batch: int, dimensions: int, mixing: int = 0) -> Specs:
        """The noise of a step, for draws `[*batch, D]`.

        `dimensions` is the length of q's noise `normal`: D, or E of an implicit q. `mixing` is the length E
        of a semi-implicit q's noise `mixing`, 0 for other q.
        """
        own = {"mixing": Spec((*batch, mixing))} if mixing else {}
        return own | {"normal": Spec((*batch, dimensions))}

    def initial_state(self, members: int | None = None, device: str = "cpu") -> State:
        """The state before the first step; `members` is M if draws have the shape `[M, ...]`."""
        return None

    @abstractmethod
    def estimate(self, q: Q, log_joint: LogJoint, noise: Noise, state: State = None) -> Estimate:
        """The objective at each draw `[...]`, or at each observation if it combines the draws."""


class ChainState(nn.Module):
    """Leapfrog `step_size` of each member, shared by its chains: `[M, 1]`, or `[1]` without members.

    Some objectives have a control variate, too.
    """

    step_size: Tensor

    def __init__(
        self, members: int | None, first: float, device: str = "cpu", control: nn.Module | None = None
    ) -> None:
        """All members start with the step size `first`."""
        super().__init__()
        self.register_buffer("step_size", torch.full(per_member(members), first, device=device))
        self.control: Any = control


def per_member(members: int | None) -> tuple[int, ...]:
    """The shape of a value that all draws `[M, S]` of a member share: `[M, 1]`, or `[1]` without members."""
    return (1,) if members is None else (members, 1)


@dataclass(frozen=True)
class ChainObjective(Objective[Q]):
    """An objective that runs Hamiltonian Monte Carlo, with a kernel and an initial step size."""

    kernel: hmc.Kernel
    step_size: float

    def noise(self, *batch: int, dimensions: int, mixing: int = 0) -> Specs:
        """The noise of q, and of C chains for `batch` = (C,), in e if q is semi-implicit, in z if not."""
        own = super().noise(*batch, dimensions=dimensions, mixing=mixing)
        return {**own, **self.kernel.noise(batch[-1], mixing or dimensions)}

    def initial_state(self, members: int | None = None, device: str = "cpu") -> ChainState:
        """The step size, which the chains may adapt."""
        return ChainState(members, self.step_size, device)

    def chains(self, log_density: hmc.LogDensity, start: Tensor, noise: Noise, state: State) -> hmc.Chains:
        """Chains with the state's step size, which they update, or without a state with the initial one."""
        if not isinstance(state, ChainState):
            return self.kernel.run(log_density, start, noise, self.step_size)
        chains = self.kernel.run(log_density, start, noise, state.step_size)
        state.step_size.copy_(chains.step_size)
        return chains
