"""Evidence lower bounds as functions of log-weights log w_s = log p(x, z_s) - log q(z_s | x), z_s ~ q(. | x).

Log-weights have shape `[..., S, B]`, S draws of each of B data points, or `[S]`, the draws of one point. All
values are in nats and differentiable. UserError if there is no draw.

Where all weights of a point are 0, or one is infinite or NaN, its L_IWAE is -inf, inf or NaN with gradient 0,
so that other points can still train the parameters that they share with it. :func:`elbo` is a plain mean.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from elbogap.densities import log_mean_exp, softmax
from elbogap.errors import UserError


def draws_axis(log_weights: Tensor) -> int:
    """The axis of the draws: -2 in `[..., S, B]`, -1 in `[S]`. UserError for a scalar, or without draws."""
    axis = -min(2, log_weights.ndim)
    if not axis or not log_weights.shape[axis]:
        shape = list(log_weights.shape)
        raise UserError(f"log-weights of S draws and B points have the shape [..., S, B] or [S], not {shape}")
    return axis


def elbo(log_weights: Tensor) -> Tensor:
    """L_VAE = (1/S) sum_s log w_s, `[..., S, B]` to `[..., B]` (Kingma and Welling 2014)."""
    return log_weights.mean(draws_axis(log_weights))


def iwae(log_weights: Tensor) -> Tensor:
    """L_IWAE = log (1/S) sum_s w_s, `[..., S, B]` to `[..., B]` (Burda et al. 2016, eq. 8).

    Its gradient, with reparameterised draws, is sum_s w~_s d log w_s, w~_s of :func:`normalised_weights`.
    """
    return log_mean_exp(log_weights, draws_axis(log_weights))


def normalised_weights(log_weights: Tensor) -> Tensor:
    """w~_s = w_s / sum_j w_j, `[..., S, B]` to `[..., S, B]` (Cremer et al. 2017, algorithm 1, line 5).

    NaN where the sum is 0, infinite or NaN.
    """
    return softmax(log_weights, draws_axis(log_weights))


def doubly_reparameterised_iwae(draws: Tensor, log_weights: Callable[[Tensor], Tensor]) -> Tensor:
    """The value of L_IWAE `[..., B]` with the doubly reparameterised gradient (Tucker et al. 2019, eq. 8).

    The gradient is sum_s w~_s d log w_s / d theta in the model's parameters, as that of :func:`iwae`, and
    sum_s w~_s^2 (d log w_s / d z_s) (d z_s / d phi) in the encoder's. Both are unbiased; the second lacks the
    noise of the score d log q / d phi, and its signal-to-noise ratio does not fall as S grows.

    The draws z_s, `[..., S, B, D]` or `[S, D]` of one point, depend on phi. `log_weights` maps them to
    log w_s, with the parameters of q detached: phi may enter through the draws only. UserError unless the
    log-weights have the shape of the draws without D.
    """
    own = draws.view_as(draws)  # only the gradient that reaches the draws through here is weighted once more
    log_w = log_weights(own)
    if log_w.shape != draws.shape[:-1]:
        shapes = f"{list(draws.shape)} need log-weights {list(draws.shape[:-1])}, not {list(log_w.shape)}"
        raise UserError(f"draws {shapes}: the last axis of draws is that of z")
    fixed = log_w.detach()
    weights = normalised_weights(fixed).nan_to_num(0.0)
    if own.requires_grad:
        own.register_hook(lambda gradient: gradient * weights[..., None])
    return iwae(fixed) + (weights * zero_with_gradient(log_w)).sum(draws_axis(log_w))


def zero_with_gradient(value: Tensor) -> Tensor:
    """0 with the gradient of `value` where that is finite, to be added to a constant that is to have it."""
    return torch.where(value.isfinite(), value - value.detach(), 0)
