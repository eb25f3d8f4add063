"""Hamiltonian Monte Carlo with unit mass: many chains as one program, on a user's log-density.

All randomness comes as tensors, so that a chain is a fixed sequence of operations. Gradients are those of
the log-density in the state alone; nothing flows back to what the chain started from.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

LogDensity = Callable[[Tensor], Tensor]
"""An unnormalised log-density in nats, `[..., D]` to `[...]`, differentiable, each chain by itself."""


@dataclass(frozen=True)
class Noise:
    """The randomness of T iterations.

    Attributes:
        momenta: standard normal, `[T, ..., D]`.
        uniforms: in (0, 1), `[T, ...]`.
    """

    momenta: Tensor
    uniforms: Tensor

    @classmethod
    def draw(cls, iterations: int, start: Tensor, generator: torch.Generator) -> "Noise":
        """For chains that start at `[..., D]`."""
        shape, kind = (iterations, *start.shape), {"dtype": start.dtype, "device": start.device}
        momenta = torch.randn(shape, generator=generator, **kind)  # type: ignore[call-overload]
        return cls(momenta, torch.rand(shape[:-1], generator=generator, **kind))  # type: ignore[call-overload]


@dataclass(frozen=True)
class Adaptation:
    """d <- d (1 + r (a - a*) / a*) after each iteration, a being the acceptance of the chains that share d.

    Attributes:
        target: a*, the acceptance probability to reach.
        rate: r.
    """

    target: float = 0.9
    rate: float = 0.01


@dataclass(frozen=True)
class Chains:
    """What T iterations gave.

    Attributes:
        draws: the states after each iteration, `[T, ..., D]`.
        acceptance: probabilities of acceptance, `[T, ...]`.
        step_size: the leapfrog step at the end, of the shape in which it came.
    """

    draws: Tensor
    acceptance: Tensor
    step_size: Tensor

    @property
    def last(self) -> Tensor:
        """The states at the end, `[..., D]`."""
        return self.draws[-1]


def sample(
    log_density: LogDensity,
    start: Tensor,
    noise: Noise,
    *,
    step_size: Tensor,
    leapfrog_steps: int = 5,
    adapting: int = 0,
    adaptation: Adaptation | None = None,
) -> Chains:
    """Iterations that leave exp(log_density) invariant, once the step size is fixed.

    Each draws a momentum v, follows the leapfrog integrator of H(z, v) = -log p(z) + |v|^2 / 2 and accepts
    with probability min(1, exp(-dH)) (Neal 2011). A step that leaves the numbers is rejected.

    Args:
        log_density: log p, up to a constant.
        start: where the chains begin, `[..., D]`; log p is finite there.
        noise: momenta and uniforms of T iterations.
        step_size: leapfrog step d, broadcast against the chains `[...]`; chains along axes of length 1 or
            absent share it.
        leapfrog_steps: integrator steps per iteration.
        adapting: how many of the first iterations adapt d.
        adaptation: how they do; None means the values of :class:`Adaptation`.
    """
    state = start.detach()
    value, gradient = _slope(log_density, state)
    rule = adaptation or Adaptation()
    draws, acceptances = [], []
    for i, (momentum, uniform) in enumerate(zip(noise.momenta, noise.uniforms, strict=True)):
        d = step_size.unsqueeze(-1) if step_size.ndim else step_size
        v = momentum + 0.5 * d * gradient
        proposal = state
        for step in range(leapfrog_steps):
            proposal = proposal + d * v
            new_value, new_gradient = _slope(log_density, proposal)
            v = v + (d if step < leapfrog_steps - 1 else 0.5 * d) * new_gradient
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
    return Chains(torch.stack(draws), torch.stack(acceptances), step_size)


def _slope(log_density: LogDensity, state: Tensor) -> tuple[Tensor, Tensor]:
    """log p and its gradient, without a graph."""
    with torch.enable_grad():
        state = state.detach().requires_grad_()
        value = log_density(state)
        (gradient,) = torch.autograd.grad(value.sum(), state)
    return value.detach(), gradient
