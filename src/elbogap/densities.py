"""Log-densities and averages in the log domain; each acts on trailing axes and broadcasts over the others.

All densities are in nats and sum over the last axis, the dimensions of one variable.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

LOG_2PI = math.log(2 * math.pi)


def gaussian_log_density(value: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log N(v; m, diag(exp s)) = -1/2 sum_d [log 2 pi + s_d + (v_d - m_d)^2 exp(-s_d)].

    Args:
        value: `[..., D]`.
        mean: `[..., D]`.
        log_variance: `[..., D]`, or `[..., 1]` for an isotropic Gaussian.

    Returns:
        `[...]`.
    """
    return -0.5 * (LOG_2PI + log_variance + (value - mean).square() * torch.exp(-log_variance)).sum(-1)


def isotropic_gaussian_log_density(value: Tensor, mean: Tensor, variance: float) -> Tensor:
    """log N(v; m, sigma^2 I) = -1/2 [|v - m|^2 / sigma^2 + D log(2 pi sigma^2)].

    Args:
        value: `[..., D]`.
        mean: `[..., D]`.
        variance: sigma^2, in squared units of v.

    Returns:
        `[...]`.
    """
    constant = 0.5 * value.shape[-1] * (LOG_2PI + math.log(variance))
    return (value - mean).square().sum(-1) * (-0.5 / variance) - constant


def standard_gaussian_log_density(value: Tensor) -> Tensor:
    """log N(v; 0, I) = -1/2 sum_d [log 2 pi + v_d^2], `[..., D]` to `[...]`."""
    return -0.5 * (LOG_2PI + value.square()).sum(-1)


class _BernoulliLogLikelihood(torch.autograd.Function):
    """One node with few passes over the pixels: torch's softplus costs more than the decoder before it."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, logits: Tensor) -> Tensor:
        ctx.save_for_backward(value, logits)
        # log(1 + exp l) = max(l, 0) - log sigmoid |l|, without overflow
        terms = logits.abs().sigmoid_().log_().sub_(logits.relu())
        return torch.addcmul(terms, value, logits).sum(-1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        value, logits = ctx.saved_tensors
        outer = gradient.unsqueeze(-1)
        to_value = (outer * logits).sum_to_size(value.shape) if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return to_value, None
        return to_value, ((value - logits.sigmoid()) * outer).sum_to_size(logits.shape)


def bernoulli_log_likelihood(value: Tensor, logits: Tensor) -> Tensor:
    """sum_d [v_d l_d - log(1 + exp l_d)] for v in [0, 1], finite for finite logits.

    Args:
        value: `[..., D]`.
        logits: `[..., D]`.

    Returns:
        `[...]`.
    """
    return _BernoulliLogLikelihood.apply(value, logits)


def pairwise_gaussian_log_density(value: Tensor, mean: Tensor, variance: float) -> Tensor:
    """log N(v_b; m_q, sigma^2 I) of every value under every mean.

    The squared distance is summed over differences, not expanded into a matrix product, which would cancel
    where sigma is small against |v|.

    Args:
        value: `[..., B, D]`.
        mean: `[..., Q, D]`.
        variance: sigma^2, in squared units of v.

    Returns:
        `[..., B, Q]`.
    """
    distance = torch.cdist(value, mean, compute_mode="donot_use_mm_for_euclid_dist")
    return -0.5 * (distance.square() / variance + value.shape[-1] * (LOG_2PI + math.log(variance)))


def pairwise_bernoulli_log_likelihood(value: Tensor, logits: Tensor) -> Tensor:
    """sum_d [v_bd l_qd - log(1 + exp l_qd)] of every value under every row of logits.

    Args:
        value: `[..., B, D]`, in [0, 1].
        logits: `[..., Q, D]`.

    Returns:
        `[..., B, Q]`.
    """
    return value @ logits.mT - functional.softplus(logits).sum(-1).unsqueeze(-2)


def gaussian_kl_to_standard(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(m, diag(exp s)) || N(0, I)) = 1/2 sum_d [exp s_d + m_d^2 - 1 - s_d], `[..., D]` to `[...]`."""
    return 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).sum(-1)


def categorical_kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) = sum_i p_i (log p_i - log q_i) of normalised log-probabilities, `[..., N]` to `[...]`.

    Terms with p_i = 0 are 0; the result is infinite where q_i = 0 < p_i.
    """
    probability = log_p.exp()
    return torch.where(probability > 0, probability * (log_p - log_q), 0).sum(-1)


def bernoulli_kl_to_uniform(logits: Tensor) -> Tensor:
    """KL(Bernoulli(sigmoid(a)) || Bernoulli(1/2)) = sum_d [log 2 - H(sigmoid a_d)], `[..., D]` to `[...]`."""
    return (math.log(2) + logits * logits.sigmoid() - functional.softplus(logits)).sum(-1)


def log_mean_exp(value: Tensor, dim: int) -> Tensor:
    """log (1/K) sum_k exp v_k over one axis of length K, without overflow."""
    return torch.logsumexp(value, dim) - math.log(value.shape[dim])
