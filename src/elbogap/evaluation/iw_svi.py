"""Importance-weighted stochastic variational inference: log p(x) by a Gaussian q fitted to each x on its own.

The estimate depends on an amortised encoder only through where the fit starts, so that models with different
encoders are compared fairly (Shu et al. 2018, appendix C, eq. 40 to 42). Draws of B observations are
`[..., S, B, D]`, and parameters of q `[..., 1, B, D]`.
"""

import math

import torch
from torch import Tensor

from elbogap.errors import UserError
from elbogap.inference import noise
from elbogap.inference.families.base import LogJoint
from elbogap.inference.families.gaussian import DiagonalGaussian
from elbogap.inference.objectives.elbo import IWAE


def fit(
    log_joint: LogJoint,
    start: DiagonalGaussian,
    *,
    samples: int,
    steps: int,
    learning_rate: float,
    generator: torch.Generator,
) -> DiagonalGaussian:
    """q*_x = argmax_q E log (1/k') sum_s p(x, z_s) / q(z_s|x) of each observation by itself (eq. 42).

    T `steps` of Adam on mean and log-variance from the Gaussian `start`, with k' `samples` each and doubly
    reparameterised gradients, whose noise vanishes where q is the posterior. The learning rate falls to 0 on
    a cosine schedule, so that the last draws do not decide. T = 0 gives `start` back; q* has no gradient.
    """
    parameters = [value.detach().clone().requires_grad_() for value in (start.mean, start.log_variance)]
    optimiser = torch.optim.Adam(parameters, lr=learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, steps))
    q, objective = DiagonalGaussian(*parameters), IWAE(doubly_reparameterised=True)
    for _ in range(steps):
        bound = objective.estimate(q, log_joint, _drawn(q, samples, generator)).surrogate
        optimiser.zero_grad()
        (-bound.sum()).backward(inputs=parameters)
        optimiser.step()
        schedule.step()
    return q.detach()


@torch.no_grad()
def estimate(
    log_joint: LogJoint, q: DiagonalGaussian, *, samples: int, at_once: int, generator: torch.Generator
) -> Tensor:
    """log (1/k) sum_s p(x, z_s) / q(z_s|x), z_s ~ q (eq. 40 and 41); below log p(x) on average.

    Of k `samples`, `at_once` of which are held in memory: `[..., B]`, in nats. UserError if there is no draw.
    """
    if samples < 1 or at_once < 1:
        raise UserError(f"an estimate needs 1 draw at least, got {samples}, {at_once} at once")
    parts = []
    for done in range(0, samples, at_once):
        z = q.rsample(_drawn(q, min(at_once, samples - done), generator))
        parts.append(torch.logsumexp(log_joint(z) - q.log_prob(z), -2))
    return torch.logsumexp(torch.stack(parts), 0) - math.log(samples)


def _drawn(q: DiagonalGaussian, samples: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Noise of S draws of each observation."""
    *leading, _, observations, _ = q.mean.shape
    return noise.draw(q.noise(*leading, samples, observations), generator, dtype=q.mean.dtype)
