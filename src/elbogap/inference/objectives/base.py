"""What an objective offers."""

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

State = nn.Module | None
"""What an objective carries from step to step and changes in place, if anything."""


@runtime_checkable
class Model(Protocol):
    """A log-joint whose own parameters are trained too."""

    def __call__(self, z: Tensor) -> Tensor:
        """log p(x, z) in nats, `[..., D]` to `[...]`, differentiable in z and in the model's parameters."""

    def detach(self) -> LogJoint:
        """The same, constant in the parameters."""


def constant(log_joint: LogJoint) -> LogJoint:
    """The log-joint without gradient in its own parameters; one that is no :class:`Model` has none."""
    return log_joint.detach() if isinstance(log_joint, Model) else log_joint


@dataclass(frozen=True)
class StandardNormalPrior:
    """p(x, z) = p(x|z) N(z; 0, I), a :class:`Model`, from log p(x|z) in nats, `[..., D]` to `[...]`.

    `constant_likelihood` is the same, constant in its own parameters, if it has any that are trained.
    """

    log_likelihood: LogJoint
    constant_likelihood: LogJoint | None = None

    def __call__(self, z: Tensor) -> Tensor:
        """log p(x, z)."""
        return self.log_likelihood(z) + standard_gaussian_log_density(z)

    def detach(self) -> "StandardNormalPrior":
        """The same, constant in the likelihood's parameters."""
        return StandardNormalPrior(self.constant_likelihood or self.log_likelihood)


def likelihood(log_joint: LogJoint) -> LogJoint:
    """log p(x|z) of a :class:`StandardNormalPrior`; UserError if the log-joint is another."""
    if not isinstance(log_joint, StandardNormalPrior):
        raise UserError("this objective takes StandardNormalPrior(log_likelihood) as log-joint")
    return log_joint.log_likelihood


@dataclass(frozen=True)
class Estimate:
    """What an objective gives for each draw or observation, to be maximised.

    The value in nats has no gradient; the surrogate has that of the estimate, and its own value means
    nothing. Both are `[...]`. The constant weights along the last axis, `[..., S]`, are those of stratified
    draws; None where all are 1 / S.
    """

    value: Tensor
    surrogate: Tensor
    weights: Tensor | None = None

    @classmethod
    def of(cls, value: Tensor) -> Self:
        """An estimate whose gradient is that of its value."""
        return cls(value.detach(), value)

    def stratified(self, q: Family, of_start: Tensor) -> "Estimate":
        """With the weights of q's draws and their gradient; of q(z|x_b), `[..., S, B]`, the sum over s.

        The part of a draw's value that is a function of z ~ q alone is `of_start`, without gradient.
        """
        log_weights = q.log_draw_weights(self.value.shape[q.draws_axis + 1])
        if log_weights is None:
            return self
        weights, surrogate = log_weights.detach().exp(), self.surrogate + log_weights * of_start
        if q.draws_axis == -2:
            return Estimate(self.value, surrogate, weights)
        return Estimate((weights * self.value).sum(-2), (weights * zero_with_gradient(surrogate)).sum(-2))

    def mean(self) -> Tensor:
        """The mean over the last axis with the gradient of the surrogate's, where it is finite, `[...]`."""
        gradient = zero_with_gradient(self.surrogate)
        if self.weights is None:
            return gradient.mean(-1) + self.value.mean(-1)
        return (self.weights * gradient).sum(-1) + (self.weights * self.value).sum(-1)

    def sum_of_gradients(self) -> Tensor:
        """The mean over the last axis, with the gradient of the surrogate's sum, `[...]`."""
        return zero_with_gradient(self.surrogate).sum(-1) + self.value.mean(-1)


class Objective(ABC, Generic[Q]):
    """Something to maximise over q, and over a :class:`Model` if it is trained too. A step of a plain loop:

        noise = draw(objective.noise(S, dimensions=D), generator)
        loss = -objective.estimate(q, log_joint, noise, state).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    where `state = objective.initial_state()` stands before the loop. A wrong or missing noise is a UserError.
    """

    def noise(self, *batch: int, dimensions: int, mixing: int = 0) -> Specs:
        """The noise of a step, for draws `[*batch, D]`.

        `dimensions` are those of the noise that q calls `normal`: D of z, or E of an implicit q; `mixing` is
        E of the noise that a semi-implicit q calls `mixing`, 0 for others.
        """
        own = {"mixing": Spec((*batch, mixing))} if mixing else {}
        return own | {"normal": Spec((*batch, dimensions))}

    def initial_state(self, members: int | None = None, device: str = "cpu") -> State:
        """The state before the first step; `members` is M where draws have the shape `[M, ...]`."""
        return None

    @abstractmethod
    def estimate(self, q: Q, log_joint: LogJoint, noise: Noise, state: State = None) -> Estimate:
        """The objective for each draw `[...]`, or for each observation where draws are combined."""


class ChainState(nn.Module):
    """The leapfrog step of each member, shared by its chains: `step_size` `[M, 1]`, or `[1]` without members.

    Some objectives have a control variate, too.
    """

    step_size: Tensor

    def __init__(
        self, members: int | None, first: float, device: str = "cpu", control: nn.Module | None = None
    ) -> None:
        """All members start with the same one."""
        super().__init__()
        self.register_buffer("step_size", torch.full(per_member(members), first, device=device))
        self.control: Any = control


def per_member(members: int | None) -> tuple[int, ...]:
    """The shape of what all draws `[M, S]` of a member share: `[M, 1]`, or `[1]` without members."""
    return (1,) if members is None else (members, 1)


@dataclass(frozen=True)
class ChainObjective(Objective[Q]):
    """What objectives with Hamiltonian Monte Carlo share: the chains' kernel, and their first step size."""

    kernel: hmc.Kernel
    step_size: float

    def noise(self, *batch: int, dimensions: int, mixing: int = 0) -> Specs:
        """Besides those of q, `momenta` and `uniforms` of chains: of e where q is mixed, of z elsewhere."""
        own = super().noise(*batch, dimensions=dimensions, mixing=mixing)
        return {**own, **self.kernel.noise(batch[-1], mixing or dimensions)}

    def initial_state(self, members: int | None = None, device: str = "cpu") -> ChainState:
        """The step size, which the chains adapt."""
        return ChainState(members, self.step_size, device)

    def chains(self, log_density: hmc.LogDensity, start: Tensor, noise: Noise, state: State) -> hmc.Chains:
        """Chains with the state's step size, which adapts in place, or without a state with the first one."""
        if not isinstance(state, ChainState):
            return self.kernel.run(log_density, start, noise, self.step_size)
        chains = self.kernel.run(log_density, start, noise, state.step_size)
        state.step_size.copy_(chains.step_size)
        return chains
