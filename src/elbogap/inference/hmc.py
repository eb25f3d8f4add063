"""Hamiltonian Monte Carlo with unit mass: many chains in parallel, on a user's log-density.

The noise of T iterations of chains `[..., D]` consists of standard normal `momenta` `[T, ..., D]` and
`uniforms` `[T, ...]`. Draws carry no gradient.

A log-density may raise an exception where it is undefined, for instance where a matrix is not positive
definite. At the start any but a failure of the machine becomes a UserError. Later one of `UNDEFINED` makes
all chains, which are evaluated in one call, reject in this iteration; any other ends the run.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Size, Tensor

from elbogap.errors import UserError, circumstance
from elbogap.inference.noise import Noise, Spec, Specs, draw, take

LogDensity = Callable[[Tensor], Tensor]
"""An unnormalised, differentiable log-density in nats, `[..., D]` to `[...]`, independent across chains."""

UNDEFINED = (torch.linalg.LinAlgError, ValueError, ArithmeticError)
"""Exceptions of a log-density that is undefined at a state: failed factorisations, parameters that
`torch.distributions` refuses, and errors of Python's arithmetic."""


@dataclass(frozen=True)
class Adaptation:
    """Step size d <- d (1 + r (a - a*) / a*) after each iteration, r the `rate`, a* the `target` acceptance.

    a is the mean acceptance probability of the chains that share d.
    """

    target: float = 0.9
    rate: float = 0.01


@dataclass(frozen=True)
class Chains:
    """The states after each of T iterations, `[T, ..., D]`, and the acceptance probabilities, `[T, ...]`.

    `step_size` is the last one; `undefined` counts the iterations in which all chains rejected because the
    log-density raised one of :data:`UNDEFINED`.
    """

    draws: Tensor
    acceptance: Tensor
    step_size: Tensor
    undefined: int = 0

    @property
    def last(self) -> Tensor:
        """The states at the end, `[..., D]`."""
        return self.draws[-1]


def draw_noise(num_iterations: int, start: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """The noise of T iterations of chains that start at `[..., D]`, on the device of the generator."""
    return draw(_specs(num_iterations, *start.shape), generator, dtype=start.dtype)


def sample(
    log_density: LogDensity,
    start: Tensor,
    noise: Noise,
    *,
    step_size: Tensor | float,
    leapfrog_steps: int = 5,
    adapting: int = 0,
    adaptation: Adaptation | None = None,
) -> Chains:
    """T iterations of chains from `start`, which leave exp(log_density) invariant at a fixed step size.

    Each draws a momentum v, takes leapfrog steps for H(z, v) = -log p(z) + |v|^2 / 2 and accepts with
    probability min(1, exp(H - H')), H' at the end, or 0 where the energy is not finite (Neal 2011). Where the
    log-density raises one of :data:`UNDEFINED`, all chains reject.

    Chains begin at `start` `[..., D]`, and stay there if log p is not finite. The step size d is a number or
    a positive tensor that broadcasts against the chains `[...]`, which share it along axes that are 1 or
    absent. The first `adapting` iterations adapt it by `adaptation`, or its defaults. UserError if noise is
    missing, shapes do not fit, iterations or leapfrog steps are 0, a number d is not positive or log p fails
    at the start.
    """
    state = start.detach()
    if not isinstance(step_size, Tensor):
        if not step_size > 0:
            raise UserError(f"the step size must be positive, not {step_size}")
        step_size = state.new_full((), step_size)
    momenta, uniforms = take(noise, "momenta"), take(noise, "uniforms")
    _check(state, momenta.shape, uniforms.shape, step_size.shape, leapfrog_steps)
    value, gradient = _first_slope(log_density, state)
    rule = adaptation or Adaptation()
    draws, acceptances, undefined = [], [], 0
    for i, (momentum, uniform) in enumerate(zip(momenta, uniforms, strict=True)):
        d = step_size.unsqueeze(-1) if step_size.ndim else step_size
        v = momentum + 0.5 * d * gradient
        proposal = state
        try:
            for step in range(leapfrog_steps):
                proposal = proposal + d * v
                new_value, new_gradient = _slope(log_density, proposal)
                v = v + (d if step < leapfrog_steps - 1 else 0.5 * d) * new_gradient
        except UNDEFINED:
            undefined += 1
            new_value, new_gradient = torch.full_like(value, math.nan), gradient
        change = new_value - value - 0.5 * (v.square() - momentum.square()).sum(-1)
        acceptance = torch.where(change.isfinite(), change.clamp(max=0).exp(), 0.0)
        accepted = uniform < acceptance
        state = torch.where(accepted[..., None], proposal, state)
        gradient = torch.where(accepted[..., None], new_gradient, gradient)
        value = torch.where(accepted, new_value, value)
        draws.append(state)
        acceptances.append(acceptance)
        if i < adapting:
            shared = acceptance.sum_to_size(step_size.shape) * (step_size.numel() / acceptance.numel())
            step_size = step_size * (1 + rule.rate * (shared - rule.target) / rule.target)
    return Chains(torch.stack(draws), torch.stack(acceptances), step_size, undefined)


def _check(start: Tensor, momenta: Size, uniforms: Size, step_size: Size, leapfrog_steps: int) -> None:
    """UserError for shapes that do not fit, and for chains without iterations or leapfrog steps."""
    chains = start.shape[:-1]
    if not start.ndim or momenta[1:] != start.shape or uniforms != momenta[:-1]:
        raise UserError(
            f"chains from {list(start.shape)} need momenta [T, ..., D] and uniforms [T, ...], not "
            f"{list(momenta)} and {list(uniforms)}: hmc.draw_noise makes them"
        )
    if not momenta[0] or leapfrog_steps < 1:
        raise UserError(f"{momenta[0]} iterations of {leapfrog_steps} leapfrog steps: take 1 or more of each")
    ends = zip(reversed(step_size), reversed(chains), strict=False)
    if len(step_size) > len(chains) or any(size not in (1, count) for size, count in ends):
        raise UserError(f"step sizes {list(step_size)} do not broadcast against chains {list(chains)}")


def _first_slope(log_density: LogDensity, start: Tensor) -> tuple[Tensor, Tensor]:
    """log p and its gradient at the start, where all exceptions but the machine's failures are UserErrors."""
    try:
        value, gradient = _slope(log_density, start)
    except Exception as error:
        if isinstance(error, UserError) or circumstance(error):
            raise
        reason = " ".join(str(error).split())
        raise UserError(
            "the log-density fails at the start of the chains; mend it or start elsewhere: "
            f"{type(error).__name__}: {reason}"
        ) from error
    if value.shape != start.shape[:-1]:
        raise UserError(
            f"the log-density of chains {list(start.shape)} must be {list(start.shape[:-1])}, not "
            f"{list(value.shape)}: one number per chain"
        )
    return value, gradient


def _slope(log_density: LogDensity, state: Tensor) -> tuple[Tensor, Tensor]:
    """log p and its gradient, without a graph."""
    with torch.enable_grad():
        state = state.detach().requires_grad_()
        value = log_density(state)
        (gradient,) = torch.autograd.grad(value.sum(), state)
    return value.detach(), gradient


@dataclass(frozen=True)
class Kernel:
    """Settings of T iterations; the first `burn_in` adapt the step size if there is an `adaptation`."""

    num_iterations: int
    leapfrog_steps: int = 5
    burn_in: int = 0
    adaptation: Adaptation | None = None

    def noise(self, chains: int, dimensions: int) -> Specs:
        """`momenta` `[T, C, D]` and `uniforms` `[T, C]` of C chains."""
        return _specs(self.num_iterations, chains, dimensions)

    def run(
        self, log_density: LogDensity, start: Tensor, noise: Noise | None, step_size: Tensor | float
    ) -> Chains:
        """:func:`sample` from `start` `[..., C, D]` with noise `[..., T, C, D]` and `[..., T, C]`."""
        momenta = take(noise, "momenta", self.num_iterations, *start.shape[-2:])
        uniforms = take(noise, "uniforms", self.num_iterations, *start.shape[-2:-1])
        return sample(
            log_density,
            start,
            {"momenta": momenta.movedim(-3, 0), "uniforms": uniforms.movedim(-2, 0)},
            step_size=step_size,
            leapfrog_steps=self.leapfrog_steps,
            adapting=self.burn_in if self.adaptation else 0,
            adaptation=self.adaptation,
        )


def _specs(num_iterations: int, *chains: int) -> Specs:
    shape = (num_iterations, *chains)
    return {"momenta": Spec(shape), "uniforms": Spec(shape[:-1], uniform=True)}
