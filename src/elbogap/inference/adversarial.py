"""Adversarial training of implicit distributions by density ratio estimation (lecture, part I; implicit).

An implicit q(z) gives draws z = f_theta(e), e ~ q(e), but no density. The best classifier of draws from q
(class 1) and from the prior p (class 0) is D* = q / (q + p), so that its logit is the density ratio that the
bound needs:

    ELBO = E_q[log p(x|z)] - KL(q || p) = E_q[log p(x|z) - T*(z)],
    T* = log D* - log(1 - D*) = log q - log p.

Deviation: the lecture's objective of the discriminator lacks the logarithm in its first term. With E_q[D] the
best D would be 1 - p / q where q > p and 0 elsewhere, not D*.

Draws have shape `[..., S, D]`: S draws of dimension D; further axes, such as members, are kept.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from elbogap.inference.surrogate import zero_with_gradient

PerDraw = Callable[[Tensor], Tensor]
"""A number for each draw, `[..., S, D]` to `[..., S]`."""


def discriminator_objective(logits_q: Tensor, logits_p: Tensor) -> Tensor:
    """E_q[log D(z)] + E_p[log(1 - D(z))] with D = sigmoid(T) (slide "Density Ratio Estimation").

    Its maximum over all T is 2 JSD(q, p) - 2 log 2, at T = log q - log p.

    Args:
        logits_q: T at draws of q `[..., S]`.
        logits_p: T at draws of p `[..., S']`.

    Returns:
        `[...]`, in nats.
    """
    return logsigmoid(logits_q).mean(-1) + logsigmoid(-logits_p).mean(-1)


def density_ratio_elbo(draws: Tensor, log_likelihood: PerDraw, discriminator: PerDraw) -> Tensor:
    """E_q[log p(x|z)] - E_q[T(z)], the ELBO where T = log q - log p (slide "Density Ratio Estimation").

    The gradient reaches theta through the draws alone: T depends on theta too, but at the optimum the mean of
    that part, the score E_q[d log q / d theta], is 0. The parameters of T get no gradient, those of the
    likelihood do.

    Args:
        draws: z_s from q, differentiable in theta by reparameterisation, `[..., S, D]`.
        log_likelihood: maps the draws to log p(x|z_s), in nats.
        discriminator: maps the draws to the logits T(z_s).

    Returns:
        `[...]`, in nats.
    """
    return (log_likelihood(draws) - _fixed(discriminator, draws)).mean(-1)


def _fixed(function: PerDraw, draws: Tensor) -> Tensor:
    """The function with a derivative in the draws, where it is finite, and in nothing else."""
    if not draws.requires_grad:
        return function(draws).detach()
    points = draws.detach().requires_grad_()
    values = function(points)
    (slopes,) = torch.autograd.grad(values.sum(), points)
    slopes = torch.where(slopes.isfinite(), slopes, 0)
    return values.detach() + (slopes * zero_with_gradient(draws)).sum(-1)
