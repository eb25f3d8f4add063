"""Log-densities and averages in the log domain, in nats, with axes in front that broadcast.

Densities sum over the last axis, the D dimensions of one variable. All functions have derivatives of any
order, by autograd and by the transformations of `torch.func`.

Log-sums, fractions and divergences have derivative 0 where they are not finite, because all terms are -inf,
or one is +inf or NaN: such a point does not make NaN of the gradient in parameters that others share.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from elbogap.errors import UserError

LOG_2PI = math.log(2 * math.pi)


def gaussian_log_density(value: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log N(v; m, diag(exp s)) = -1/2 sum_d [log 2 pi + s_d + (v_d - m_d)^2 exp(-s_d)], `[...]`.

    Values and means are `[..., D]`, the log-variance s `[..., D]`, or `[..., 1]` for an isotropic Gaussian.
    It must be above -177 in float32: below, 1 over the standard deviation is infinite.
    """
    standard = (value - mean) * torch.exp(-0.5 * log_variance)
    return -0.5 * (LOG_2PI + log_variance + standard.square()).sum(-1)


def isotropic_gaussian_log_density(value: Tensor, mean: Tensor, variance: float) -> Tensor:
    """log N(v; m, sigma^2 I) = -1/2 [|v - m|^2 / sigma^2 + D log(2 pi sigma^2)], `[..., D]` to `[...]`.

    UserError if the variance, in squared units of v, is not a positive number.
    """
    if _tiny(variance, value):
        sigma = variance**0.5
        standard = isotropic_gaussian_log_density(value / sigma, mean / sigma, 1.0)
        return standard - value.shape[-1] * math.log(sigma)
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
        # log(1 + exp l) = max(l, 0) - log sigmoid |l|, without overflow; one logarithm for 16 pixels
        sigmoid = logits.abs().sigmoid_()
        for _ in range(4):
            if sigmoid.shape[-1] % 2 == 0:
                first, second = sigmoid.chunk(2, -1)
                sigmoid = first * second
        linear = torch.addcmul(logits.relu(), value, logits, value=-1)
        return sigmoid.log_().sum(-1) - linear.sum(-1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        value, logits = ctx.saved_tensors
        outer = gradient.unsqueeze(-1)
        to_value = (outer * logits).sum_to_size(value.shape) if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return to_value, None
        return to_value, (value - logits.sigmoid()).mul_(outer).sum_to_size(logits.shape)


def bernoulli_log_likelihood(value: Tensor, logits: Tensor) -> Tensor:
    """sum_d [v_d l_d - log(1 + exp l_d)], `[..., D]` to `[...]`, of v in [0, 1] and logits l."""
    if transformed():
        return (value * logits - functional.softplus(logits)).sum(-1)
    return _BernoulliLogLikelihood.apply(value, logits)


def pairwise_gaussian_log_density(value: Tensor, mean: Tensor, variance: float) -> Tensor:
    """log N(v_b; m_q, sigma^2 I) of each value `[..., B, D]` under each mean `[..., Q, D]`: `[..., B, Q]`.

    UserError if the variance, in squared units of v, is not a positive number.
    """
    if _tiny(variance, value):
        sigma = variance**0.5
        standard = pairwise_gaussian_log_density(value / sigma, mean / sigma, 1.0)
        return standard - value.shape[-1] * math.log(sigma)
    squares = squared_distances(value, mean)
    return -0.5 * (squares / variance + value.shape[-1] * (LOG_2PI + math.log(variance)))


def squared_distances(first: Tensor, second: Tensor) -> Tensor:
    """|v_b - m_q|^2 of every pair of rows, `[..., B, D]` and `[..., Q, D]` to `[..., B, Q]`.

    They are summed over differences, not expanded into a matrix product, which would cancel where they are
    small against |v|. Only without derivatives do the differences take no memory: the second ones of torch's
    distances are 0 at a distance of 0.
    """
    if _differentiated(first, second):
        return (first.unsqueeze(-2) - second.unsqueeze(-3)).square().sum(-1)
    return torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist").square()


def pairwise_bernoulli_log_likelihood(value: Tensor, logits: Tensor) -> Tensor:
    """sum_d [v_bd l_qd - log(1 + exp l_qd)] of v `[..., B, D]` in [0, 1], l `[..., Q, D]`: `[..., B, Q]`."""
    return value @ logits.mT - functional.softplus(logits).sum(-1).unsqueeze(-2)


def gaussian_kl_to_standard(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(m, diag(exp s)) || N(0, I)) = 1/2 sum_d [exp s_d + m_d^2 - 1 - s_d], `[..., D]` to `[...]`."""
    return 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).sum(-1)


def categorical_kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) = sum_i p_i (log p_i - log q_i) of normalised log-probabilities, `[..., N]` to `[...]`.

    Terms with p_i = 0 are 0; the result is infinite, with derivative 0, where q_i = 0 < p_i.
    """
    ratio = torch.where(log_p.exp() == 0, 0, log_p - log_q)
    finite = ratio.isfinite().all(-1, keepdim=True)
    divergence = (torch.where(finite, log_p, 0).exp() * torch.where(finite, ratio, 0)).sum(-1)
    return torch.where(finite.squeeze(-1), divergence, ratio.detach().amax(-1))


def bernoulli_kl_to_uniform(logits: Tensor) -> Tensor:
    """KL(Bernoulli(sigmoid(a)) || Bernoulli(1/2)) = sum_d [log 2 - H(sigmoid a_d)], `[..., D]` to `[...]`."""
    negative_entropy = logits * logits.sigmoid() - functional.softplus(logits)
    return (negative_entropy + math.log(2)).sum(-1)


class _LogSumExp(torch.autograd.Function):
    """One exponential for value and derivative, which is masked: bounds in training are made of it."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, dim: int) -> Tensor:
        top = value.amax(dim, keepdim=True)
        top = torch.where(top.abs() < math.inf, top, 0)
        terms = (value - top).exp_()
        sums = terms.sum(dim, keepdim=True)
        total = sums.log() + top
        ctx.save_for_backward(value, total)
        ctx.terms, ctx.sums = terms, sums
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        value, total = ctx.saved_tensors
        finite = total.abs() < math.inf
        if torch.is_grad_enabled():  # NaN here would be one of the next order
            fractions = torch.where(finite, value - total, -math.inf).exp()
            return torch.where(finite, gradient, 0) * fractions, None
        return torch.where(finite, gradient / ctx.sums, 0) * torch.where(finite, ctx.terms, 0), None


def log_sum_exp(value: Tensor, dim: int) -> Tensor:
    """log sum_k exp v_k over one axis, without overflow."""
    if not value.shape[dim]:
        return value.logsumexp(dim)
    if not transformed():
        return _LogSumExp.apply(value, dim).squeeze(dim)
    finite = _finite(value, dim)
    total = torch.where(finite, value, 0).logsumexp(dim, keepdim=True)
    return torch.where(finite, total, value.detach().amax(dim, keepdim=True)).squeeze(dim)


def log_mean_exp(value: Tensor, dim: int) -> Tensor:
    """log (1/K) sum_k exp v_k over one axis of length K, without overflow. UserError if K is 0."""
    if not value.shape[dim]:
        raise UserError(f"there is no mean of no terms: axis {dim} of the shape {list(value.shape)} is empty")
    return log_sum_exp(value, dim) - math.log(value.shape[dim])


def softmax(value: Tensor, dim: int) -> Tensor:
    """exp v_k / sum_j exp v_j along one axis; NaN where the sum is 0, infinite or NaN."""
    return _normalised(torch.softmax, value, dim)


def log_softmax(value: Tensor, dim: int) -> Tensor:
    """v_k - log sum_j exp v_j along one axis; NaN where the sum is 0, infinite or NaN."""
    return _normalised(torch.log_softmax, value, dim)


def _normalised(function: Callable[[Tensor, int], Tensor], value: Tensor, dim: int) -> Tensor:
    if not _differentiated(value):
        return function(value, dim)
    finite = _finite(value, dim)
    return torch.where(finite, function(torch.where(finite, value, 0), dim), math.nan)


def _finite(value: Tensor, dim: int) -> Tensor:
    """Whether sum_k exp v_k is above 0, finite and not NaN, with the axis."""
    return value.detach().amax(dim, keepdim=True).abs() < math.inf


def _tiny(variance: float, like: Tensor) -> bool:
    """Whether 1 / variance is infinite in the precision of a tensor; refuses what is no positive number."""
    if isinstance(variance, Tensor):
        raise UserError("the variance must be a number, not a tensor; for that, take gaussian_log_density")
    if not 0 < variance < math.inf:
        raise UserError(f"the variance must be positive and finite, not {variance}")
    return 1 / variance > torch.finfo(like.dtype).max


def transformed() -> bool:
    """Whether a transformation of `torch.func` is at work, which takes torch's own functions only."""
    return torch._C._are_functorch_transforms_active()


def _differentiated(*values: Tensor) -> bool:
    return transformed() or (torch.is_grad_enabled() and any(value.requires_grad for value in values))
