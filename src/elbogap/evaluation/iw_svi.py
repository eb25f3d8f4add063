"""Importance-weighted stochastic variational inference: log p(x) by a Gaussian q fitted to each x on its own.

An amortised encoder may be far from the best q(z|x). The estimate here depends on it only through where the
fit starts, so that models with different encoders are compared fairly (Shu et al. 2018, appendix C, eq. 40 to
42). All shapes may have leading axes, such as members: `[..., S, B]` for S draws of each of B observations.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from elbogap.densities import gaussian_log_density
from elbogap.errors import UserError
from elbogap.inference.bounds import doubly_reparameterised_iwae

LogJoint = Callable[[Tensor], Tensor]
"""log p(x_b, z) in nats of draws z `[..., S, B, L]` for fixed observations: `[..., S, B]`."""


@dataclass(frozen=True)
class Gaussians:
    """q(z|x_b) = N(m_b, diag exp s_b).

    Attributes:
        mean: m, `[..., B, L]`.
        log_variance: s, `[..., B, L]`.
    """

    mean: Tensor
    log_variance: Tensor

    def draw(self, samples: int, generator: torch.Generator) -> Tensor:
        """S reparameterised draws, `[..., S, B, L]`."""
        shape = (*self.mean.shape[:-2], samples, *self.mean.shape[-2:])
        return self.placed(
            torch.randn(shape, generator=generator, dtype=self.mean.dtype, device=self.mean.device)
        )

    def placed(self, noise: Tensor) -> Tensor:
        """The draws m + exp(s / 2) e of standard normal noise e, `[..., S, B, L]`."""
        return self.mean.unsqueeze(-3) + torch.exp(0.5 * self.log_variance).unsqueeze(-3) * noise

    def log_weights(self, log_joint: LogJoint, z: Tensor) -> Tensor:
        """log p(x, z_s) - log q(z_s|x), `[..., S, B, L]` to `[..., S, B]`, in nats."""
        mean, log_variance = self.mean.unsqueeze(-3), self.log_variance.unsqueeze(-3)
        return log_joint(z) - gaussian_log_density(z, mean, log_variance)

    def detached(self) -> "Gaussians":
        """The same without gradient."""
        return Gaussians(self.mean.detach(), self.log_variance.detach())


def fit(
    log_joint: LogJoint,
    start: Gaussians,
    *,
    samples: int,
    steps: int,
    learning_rate: float,
    generator: torch.Generator,
) -> Gaussians:
    """q*_x = argmax_q E log (1/k') sum_s p(x, z_s) / q(z_s|x) of each observation by itself (eq. 42).

    T steps of Adam on mean and log-variance with doubly reparameterised gradients, whose noise vanishes where
    q is the posterior. The rate falls to 0 along half a cosine, so that the last draws do not decide.

    Args:
        log_joint: log p(x, z), differentiable in z.
        start: where to begin, such as the encoder's q.
        samples: number k' of draws per step.
        steps: number T of steps; 0 gives `start` back.
        learning_rate: learning rate of the first step.
        generator: source of the draws.

    Returns:
        q*, without gradient.
    """
    mean, log_variance = (
        value.detach().clone().requires_grad_() for value in (start.mean, start.log_variance)
    )
    optimiser = torch.optim.Adam([mean, log_variance], lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, steps))
    q = Gaussians(mean, log_variance)
    for _ in range(steps):
        log_weights = partial(q.detached().log_weights, log_joint)
        bound = doubly_reparameterised_iwae(q.draw(samples, generator), log_weights)
        mean.grad, log_variance.grad = torch.autograd.grad(-bound.sum(), (mean, log_variance))
        optimiser.step()
        schedule.step()
    return q.detached()


@torch.no_grad()
def estimate(
    log_joint: LogJoint, q: Gaussians, *, samples: int, at_once: int, generator: torch.Generator
) -> Tensor:
    """log (1/k) sum_s p(x, z_s) / q(z_s|x), z_s ~ q (eq. 40 and 41); below log p(x) on average.

    Args:
        log_joint: log p(x, z).
        q: the proposal of each observation.
        samples: number k of draws.
        at_once: draws held in memory at once.
        generator: source of the draws.

    Returns:
        `[..., B]`, in nats.

    Raises:
        UserError: no draw.
    """
    if samples < 1 or at_once < 1:
        raise UserError(f"an estimate needs 1 draw at least, got {samples}, {at_once} at once")
    parts = [
        torch.logsumexp(q.log_weights(log_joint, q.draw(min(at_once, samples - done), generator)), -2)
        for done in range(0, samples, at_once)
    ]
    return torch.logsumexp(torch.stack(parts), 0) - math.log(samples)
