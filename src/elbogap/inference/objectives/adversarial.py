"""Density ratio estimation for distributions without a density (lecture, part I).

The optimal classifier of draws of q (class 1) against draws of the prior p (class 0) is D* = q / (q + p). Its
logit T* is the log-ratio that the ELBO needs:

    ELBO = E_q[log p(x|z)] - KL(q || p) = E_q[log p(x|z) - T*(z)],
    T* = log D* - log(1 - D*) = log q - log p.

Deviation: the lecture's objective of the discriminator lacks the logarithm in its first term. With E_q[D] the
optimum would be D = 1 - p / q where q > p and 0 elsewhere, not D*.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from elbogap.inference.bounds import zero_with_gradient
from elbogap.inference.families.base import Family, LogJoint
from elbogap.inference.noise import Noise, Spec, Specs, take
from elbogap.inference.objectives.base import Estimate, Objective, State, likelihood

Discriminator = Callable[[Tensor], Tensor]  # the logit T of draws, `[..., D]` to `[...]`


@dataclass(frozen=True)
class DensityRatio(Objective[Family]):
    """log p(x|z) - T(z), z ~ q, for each draw: the ELBO where T = log q - log p.

    The gradient in q passes through the draws alone: T* depends on q too, but the mean of that part, the
    score E_q[d log q / d theta], is 0. T gets no gradient here: it is trained by :class:`Classification`.
    """

    discriminator: Discriminator

    def estimate(self, q: Family, log_joint: LogJoint, noise: Noise, state: State = None) -> Estimate:
        """The ELBO, `[...]` in nats; UserError if the log-joint is no :class:`StandardNormalPrior`."""
        z = q.rsample(noise)
        return Estimate.of(likelihood(log_joint)(z) - _constant(self.discriminator, z))


@dataclass(frozen=True)
class Classification(Objective[Family]):
    """log D(z) + log(1 - D(z')), D = sigmoid(T), z ~ q and z' ~ p = N(0, I): maximised over T alone.

    Its mean is largest at T = log q - log p, where it is 2 JSD(q, p) - 2 log 2. z has length `dimensions`.
    """

    discriminator: Discriminator
    dimensions: int

    def noise(self, *batch: int, dimensions: int, mixing: int = 0) -> Specs:
        """The noise of q, and `prior` z', `[*batch, D]`."""
        own = super().noise(*batch, dimensions=dimensions, mixing=mixing)
        return dict(own) | {"prior": Spec((*batch, self.dimensions))}

    def estimate(self, q: Family, log_joint: LogJoint, noise: Noise, state: State = None) -> Estimate:
        """The objective of the discriminator, `[...]` in nats; the log-joint is not used."""
        z = q.sample(noise)
        prior = take(noise, "prior", *z.shape[-2:])
        logits = self.discriminator(torch.cat([z, prior], -2))
        at_q, at_p = logits.unsqueeze(-1).chunk(2, -2)
        return Estimate.of(discriminator_objective(at_q, at_p))


def discriminator_objective(logits_q: Tensor, logits_p: Tensor) -> Tensor:
    """E_q[log D(z)] + E_p[log(1 - D(z))], D = sigmoid(T), `[...]` in nats (slide "Density Ratio Estimation").

    The logits are T at S draws of q, `[..., S]`, and at S' draws of p, `[..., S']`.
    """
    return logsigmoid(logits_q).mean(-1) + logsigmoid(-logits_p).mean(-1)


def _constant(function: Discriminator, z: Tensor) -> Tensor:
    """The function's values, with gradient in z, where that is finite, but not in its parameters."""
    if not z.requires_grad:
        return function(z).detach()
    points = z.detach().requires_grad_()
    values = function(points)
    (slopes,) = torch.autograd.grad(values.sum(), points)
    slopes = torch.where(slopes.isfinite(), slopes, 0)
    return values.detach() + (slopes * zero_with_gradient(z)).sum(-1)
