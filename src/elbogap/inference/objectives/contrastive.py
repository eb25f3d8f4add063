"""Approximations improved by Markov chains: variational contrastive divergence, alpha-VCD, Hoffman's bound.

z_0 ~ q_0 is refined to z_t by t iterations that leave p(z|x) invariant, so z_t ~ q_t (lecture, part III).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from elbogap.inference import hmc
from elbogap.inference.bounds import zero_with_gradient
from elbogap.inference.families.base import Family, LogJoint
from elbogap.inference.noise import Noise, take
from elbogap.inference.objectives.base import (
    ChainObjective,
    ChainState,
    Estimate,
    Model,
    State,
    constant,
    per_member,
)


class RunningMean(nn.Module):
    """A control variate: each member's running mean of f(z_t), `value` `[M, 1]` or `[1]`, initially 0."""

    value: Tensor

    def __init__(self, members: int | None, forgetting: float = 0.1, device: str = "cpu") -> None:
        """The new mean is (1 - forgetting) times the old one plus `forgetting` times that of the step."""
        super().__init__()
        self.forgetting = forgetting
        self.register_buffer("value", torch.zeros(per_member(members), device=device))

    def baseline(self, noise: Noise) -> Tensor:
        """The control variate C, which broadcasts against f(z_t)."""
        return self.value

    def update(self, noise: Noise, refined: Tensor, weights: Tensor | None) -> None:
        """Update the mean by f(z_t) of S chains, `[M, S]` or `[S]`, with their weights."""
        weights = torch.full_like(refined, 1 / refined.shape[-1]) if weights is None else weights
        self.value.lerp_((weights * refined).sum(-1, keepdim=True), self.forgetting)


class RunningMeanPerDatum(nn.Module):
    """A control variate: each datum's running mean of f(z_t). The noise has a step's data indices as `rows`.

    A datum's mean, in `own` `[M, N]`, starts from the running mean over all data, `common` `[M, 1]`, at its
    first appearance. NaN means not yet set.
    """

    common: Tensor
    own: Tensor

    def __init__(self, members: int, data: int, kept: float = 0.9, device: str = "cpu") -> None:
        """For N data; the new mean is `kept` times the old one plus (1 - kept) times f(z_t)."""
        super().__init__()
        self.kept = kept
        self.register_buffer("common", torch.full((members, 1), torch.nan, device=device))
        self.register_buffer("own", torch.full((members, data), torch.nan, device=device))

    def baseline(self, noise: Noise) -> Tensor:
        """The control variate C of the step's data, `[M, B]`."""
        own = self.own.gather(1, take(noise, "rows"))
        return torch.where(own.isnan(), self.common, own).nan_to_num()

    def update(self, noise: Noise, refined: Tensor, weights: Tensor | None) -> None:
        """Update the means by f(z_t) of the step's data, `[M, B]`."""
        rows, before = noise["rows"], self.baseline(noise)
        mean = refined.mean(1, keepdim=True)
        self.common.copy_(torch.where(self.common.isnan(), mean, torch.lerp(mean, self.common, self.kept)))
        start = torch.where(self.own.gather(1, rows).isnan() & (before == 0), mean, before)
        self.own.scatter_(1, rows, torch.lerp(refined, start, self.kept))


@dataclass(frozen=True)
class Hoffman(ChainObjective[Family]):
    """The ELBO at z_0 for q_0's parameters, log p(x, z_t) for the model's (Hoffman 2017)."""

    def estimate(self, q: Family, log_joint: LogJoint, noise: Noise, state: State = None) -> Estimate:
        """The ELBO, `[...]` in nats."""
        frozen, start = constant(log_joint), q.rsample(noise)
        end = self.chains(frozen, start, noise, state).last
        elbo = frozen(start) - q.log_prob(start)
        learnt = zero_with_gradient(log_joint(end)) if isinstance(log_joint, Model) else 0.0
        return Estimate(elbo.detach(), elbo + learnt).stratified(q, elbo.detach())


@dataclass(frozen=True)
class Contrast:
    """`initial` is f(z_0), an estimate of the ELBO, and `refined` is f(z_t), `[...]` in nats.

    `counted` is f(z_t), or 0 where a is 0, so that even an infinite f(z_t) does not matter there. The
    gradient of `surrogate` estimates that of minus the divergence in q_0's parameters.
    """

    initial: Tensor
    refined: Tensor
    counted: Tensor
    surrogate: Tensor


@dataclass(frozen=True)
class VCD(ChainObjective[Family]):
    """Minus the alpha-VCD plus (1 - a) log p(x): minus the VCD for a = 1, the ELBO for a = 0.

        E f(z_0) - a E f(z_t) = (1 - a) log p(x) - KL(q_0 || p) - a [KL(q_t || q_0) - KL(q_t || p)],

    p = p(z|x), f(z) = log p(x, z) - log q_0(z) (Ruiz and Titsias 2019). The VCD is at least 0, and 0 only if
    q_0 = p. In q_0's parameters f(z_0) has the reparameterised gradient, and E f(z_t), by z_0's score,

        E_{q_t}[-d log q_0(z_t)] + E_{q_0}[(f(z_t) - C) d log q_0(z_0)].

    A model's own parameters get the gradient of log p(x, z_t). a (`alpha`) in [0, 1] is a number or `[M, 1]`;
    `iterations` `[M]` are each member's t if they differ, at most the kernel's. The control variate C is a
    :class:`RunningMean` of f(z_t).
    """

    alpha: Tensor | float = 1.0
    iterations: Tensor | None = None
    forgetting: float = 0.1

    def initial_state(self, members: int | None = None, device: str = "cpu") -> ChainState:
        """Step size and control variate."""
        control = RunningMean(members, self.forgetting, device)
        return ChainState(members, self.step_size, device, control)

    def estimate(self, q: Family, log_joint: LogJoint, noise: Noise, state: State = None) -> Estimate:
        """Minus the divergence plus (1 - a) log p(x), `[...]` in nats; updates the control variate."""
        frozen, start = constant(log_joint), q.rsample(noise)
        end = self.end(self.chains(frozen, start, noise, state))
        control = state.control if isinstance(state, ChainState) else None
        baseline = 0.0 if control is None else control.baseline(noise)
        found = self.contrast(frozen, q, start, end, baseline)
        surrogate = found.surrogate + log_joint(end) if isinstance(log_joint, Model) else found.surrogate
        estimate = Estimate(self.watched(found), surrogate).stratified(q, found.initial)
        if control is not None:
            finite = torch.where(found.refined.isfinite(), found.refined, baseline)
            control.update(noise, finite, estimate.weights)
        return estimate

    def watched(self, found: Contrast) -> Tensor:
        """The value of the estimate, f(z_0) - a f(z_t)."""
        return found.initial - self.alpha * found.counted

    def contrast(
        self, log_joint: LogJoint, q: Family, start: Tensor, end: Tensor, baseline: Tensor | float = 0.0
    ) -> Contrast:
        """The terms of the estimate from z_0 (`start`), z_t (`end`) and C (`baseline`)."""
        fixed = start.detach()
        first = log_joint(start) - q.log_prob(start)
        log_q_end = q.log_prob(end)
        with torch.no_grad():
            refined = log_joint(end) - log_q_end
        absent = torch.zeros_like(refined) + self.alpha == 0
        counted = torch.where(absent, 0, refined)
        ignored = absent | ~refined.isfinite()
        excess = torch.where(ignored, 0, counted - baseline)  # 0 times an infinite factor would be NaN
        second = torch.where(ignored, 0, excess * q.log_prob(fixed) - log_q_end)
        return Contrast(first.detach(), refined, counted, first - self.alpha * second)

    def end(self, chains: hmc.Chains) -> Tensor:
        """z_t of each member after its own number of iterations."""
        if self.iterations is None:
            return chains.last
        members = torch.arange(len(self.iterations), device=chains.draws.device)
        return chains.draws[self.iterations - 1, members]
