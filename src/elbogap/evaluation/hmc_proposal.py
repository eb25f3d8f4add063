"""log p(x) by importance sampling from a Gaussian with the moments of Markov chains: one proposal for any q.

Estimates with a method's own q compare how good that q is as a proposal, and those of SIVI and UIVI, which
divide by an estimate of q, lie too high. This one depends on q only through where the chains start (Ruiz and
Titsias 2019, code).
"""

import torch
from torch import Tensor

from elbogap.errors import UserError
from elbogap.inference import hmc
from elbogap.inference.families.base import LogJoint
from elbogap.inference.families.gaussian import DiagonalGaussian


def proposal(
    log_joint: LogJoint,
    start: Tensor,
    *,
    burn_in: int,
    kept: int,
    step_size: Tensor | float,
    widening: float,
    floor: float,
    generator: torch.Generator,
) -> DiagonalGaussian:
    """N(m, diag (w s)^2), with mean m and scale s of the states of Markov chains after burn-in.

    Each chain adapts its own step size during the burn-in.

    Args:
        log_joint: log p(x, z) of draws `[..., S, B, D]`, differentiable in z.
        start: where the chain of each observation begins, `[..., B, D]`.
        burn_in: iterations that are dropped, before `kept` ones, 2 at least, that give the moments.
        step_size: leapfrog step at the beginning, a number or broadcast against `[..., 1, B]`.
        widening: w; `floor` is the least s.

    Returns:
        Gaussians with parameters `[..., 1, B, D]`.

    Raises:
        UserError: too few iterations; see also :func:`elbogap.inference.hmc.sample`.
    """
    if kept < 2 or burn_in < 0:
        raise UserError(f"a proposal needs 2 kept iterations at least; got {kept} after {burn_in}")
    chains = start.detach().unsqueeze(-3)
    chain = hmc.sample(
        log_joint,
        chains,
        hmc.draw_noise(burn_in + kept, chains, generator),
        step_size=chains.new_ones(chains.shape[:-1]) * step_size,
        adapting=burn_in,
    )
    states = chain.draws[burn_in:]
    scale = states.std(0).clamp(min=floor) * widening
    return DiagonalGaussian(states.mean(0), 2 * scale.log())
