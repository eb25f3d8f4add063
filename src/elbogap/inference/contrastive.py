"""Approximations improved by Markov chains: variational contrastive divergence, alpha-VCD, Hoffman's bound.

z_0 ~ q_0 is refined to z_t by t iterations that leave p(z|x) invariant, so z_t ~ q_t (lecture, part III).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from elbogap.inference.surrogate import zero_with_gradient

LogDensity = Callable[[Tensor], Tensor]
"""A log-density in nats of draws z `[..., D]`: `[...]`."""


@dataclass(frozen=True)
class Divergence:
    """An estimate of a divergence up to a constant, and of its gradient.

    Attributes:
        value: the estimate, `[...]`, in nats, without gradient.
        surrogate: has the gradient of the estimate, to be descended, `[...]`; its value means nothing.
        refined: f(z_t), of which averages are baselines for later steps, `[...]`.
    """

    value: Tensor
    surrogate: Tensor
    refined: Tensor


def vcd_objective(
    log_joint: LogDensity, log_q: LogDensity, start: Tensor, end: Tensor, baseline: Tensor | float = 0.0
) -> Divergence:
    """VCD = KL(q_0 || p) - KL(q_t || p) + KL(q_t || q_0) (Ruiz and Titsias 2019); see :func:`alpha_vcd`.

    It is at least 0, and 0 only where q_0 is the posterior; no constant is missing.
    """
    return alpha_vcd(log_joint, log_q, start, end, 1.0, baseline)


def alpha_vcd(
    log_joint: LogDensity,
    log_q: LogDensity,
    start: Tensor,
    end: Tensor,
    alpha: Tensor | float,
    baseline: Tensor | float = 0.0,
) -> Divergence:
    """KL(q_0 || p) + a [KL(q_t || q_0) - KL(q_t || p)] - (1 - a) log p(x) = -E f(z_0) + a E f(z_t).

    f(z) = log p(x, z) - log q_0(z). Gradient in q_0's parameters theta: through z_0(theta) in the first term,
    and for the second, q_t's dependence on theta being that of z_0's density,

        E_{q_t}[-d log q_0(z_t)] + E_{q_0}[(f(z_t) - C) d log q_0(z_0)].

    Args:
        log_joint: log p(x, z), constant in theta; its own parameters' gradients are of no use here.
        log_q: log q_0, differentiable in theta.
        start: z_0, reparameterised, `[..., D]`.
        end: z_t, whose chains began at z_0, `[..., D]`; taken as constant.
        alpha: a in [0, 1], one number or broadcast against `[...]`; 0 is the negative ELBO, 1 is the VCD.
        baseline: C, independent of this z_0, such as an average of earlier `refined`.

    Returns:
        Value and surrogate per draw.
    """
    fixed, end = start.detach(), end.detach()
    first = log_joint(start) - log_q(start)
    log_q_end = log_q(end)
    with torch.no_grad():
        refined = log_joint(end) - log_q_end
    absent = torch.zeros_like(refined) + alpha == 0  # then even an infinite f(z_t) does not count
    counted = torch.where(absent, 0, refined)
    second = torch.where(absent, 0, (counted - baseline) * log_q(fixed) - log_q_end)
    return Divergence(-first.detach() + alpha * counted, -first + alpha * second, refined)


def hoffman(
    log_joint: LogDensity, model: LogDensity, log_q: LogDensity, start: Tensor, end: Tensor
) -> Tensor:
    """The ELBO at z_0 for q_0's parameters, log p(x, z_t) for the model's (Hoffman 2017).

    Args:
        log_joint: log p(x, z) with the model's parameters constant.
        model: the same, differentiable in them.
        log_q: log q_0, differentiable in its parameters.
        start: z_0, reparameterised, `[..., D]`.
        end: z_t, whose chains began at z_0, `[..., D]`; taken as constant.

    Returns:
        The ELBO's estimate, to be ascended, `[...]`, in nats.
    """
    return log_joint(start) - log_q(start) + zero_with_gradient(model(end.detach()))
