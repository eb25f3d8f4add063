"""Chains that find their own step size and masses: Hamiltonian Monte Carlo without tuning by hand.

The step size follows Nesterov's dual averaging (Hoffman and Gelman 2014, section 3.2). With x_i = log d_i,
the acceptance a_i of iteration i, and its target a*,

    x_{i+1} = log(10 d_1) - sqrt(i) / g  (1 / (i + i_0)) sum_{j<=i} (a* - a_j),   g = 0.05, i_0 = 10,

and the average of the x_i with weights i^-0.75 is kept. An iteration's trajectory has a length drawn from
[0.5, 1.5] pi / 2: about a quarter of the period of a standard normal, never the same twice.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from elbogap.errors import UserError
from elbogap.inference import hmc

QUARTER = math.pi / 2
MOST_LEAPFROG_STEPS = 64


@dataclass
class DualAveraging:
    """The step size d, from `first`, that makes the mean acceptance probability the `target`."""

    first: float
    target: float = 0.8
    count: int = 0
    shortfall: float = 0.0
    log_average: float = 0.0

    def update(self, acceptance: float) -> float:
        """The next d after an iteration of this acceptance probability."""
        self.count += 1
        self.shortfall += (self.target - acceptance - self.shortfall) / (self.count + 10)
        log_step = math.log(10 * self.first) - math.sqrt(self.count) / 0.05 * self.shortfall
        self.log_average += self.count**-0.75 * (log_step - self.log_average)
        return math.exp(log_step)

    @property
    def average(self) -> float:
        """The d to keep."""
        return math.exp(self.log_average)


def iterate(
    log_density: hmc.LogDensity,
    start: Tensor,
    num_iterations: int,
    generator: torch.Generator,
    step_size: float | DualAveraging,
) -> hmc.Chains:
    """T iterations of chains from `start` `[..., D]`, with a fixed step size or one that is adapted.

    The chains share step size and number of leapfrog steps, which are drawn anew in each iteration: with a
    fixed one, exp(log_density) stays invariant. UserError as from :func:`.hmc.sample`.
    """
    if num_iterations < 1:
        raise UserError(f"{num_iterations} iterations of a chain: take 1 or more")
    rule, d = (step_size, step_size.first) if isinstance(step_size, DualAveraging) else (None, step_size)
    parts, state = [], start
    for _ in range(num_iterations):
        share = float(torch.rand((), generator=generator, device=generator.device))
        steps = max(1, min(MOST_LEAPFROG_STEPS, math.ceil((0.5 + share) * QUARTER / d)))
        noise = hmc.draw_noise(1, state, generator)
        parts.append(hmc.sample(log_density, state, noise, step_size=d, leapfrog_steps=steps))
        state = parts[-1].last
        d = rule.update(float(parts[-1].acceptance.mean())) if rule else d
    draws, acceptance = (
        torch.cat([getattr(part, name) for part in parts]) for name in ("draws", "acceptance")
    )
    return hmc.Chains(draws, acceptance, parts[-1].step_size, sum(part.undefined for part in parts))
