"""The distribution q_IW that importance-weighted bounds imply, and its sampler (Cremer et al. 2017).

Write w(z) = p(x, z) / q(z | x) and S = sum_{j>=2} w(z_j) over k - 1 other draws z_j ~ q(. | x). Then

    batch-conditional   q_IW(z | x, z_2..z_k) = k w(z) / (w(z) + S) q(z | x)
    marginal            q_IW(z | x)           = E_{z_2..z_k} q_IW(z | x, z_2..z_k).

Only the marginal is normalised; it is the density of what :func:`resample` returns. The identity
L_IWAE[q] = L_VAE[q_IW] holds for the batch-conditional one, averaged over the other draws; with the marginal,
L_VAE[q_IW] is no smaller (t log t is convex). All values are in nats.

The authors' plotting code takes k others but divides by k, not k + 1: it shows the marginal q_IW of k + 1
draws times k / (k + 1), which is then also its integral. Here there are always k - 1 others.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from elbogap.densities import log_mean_exp, log_softmax, log_sum_exp
from elbogap.errors import UserError
from elbogap.inference.bounds import draws_axis


def log_batch_conditional(log_q: Tensor, log_weights: Tensor) -> Tensor:
    """log q_IW(z_i | x, z_\\i) = log k + log w~_i + log q(z_i | x) at each draw i of a batch of k.

    All are `[..., k, B]`, or `[k]`. NaN where all weights of a point are 0 or one is infinite or NaN, with
    gradient 0 in the weights. UserError if there is no draw.
    """
    axis = draws_axis(log_weights)
    return math.log(log_weights.shape[axis]) + log_softmax(log_weights, axis) + log_q


def log_conditional(log_q: Tensor, log_weight: Tensor, log_other_weights: Tensor) -> Tensor:
    """log q_IW(z | x, z_2..z_k) = log k + log sigmoid(log w(z) - log S) + log q(z | x) at any point z.

    `log_q` and `log_weight` of B points are `[..., B]`, log w(z_j) of the others `[..., k - 1, B]`, or
    `[..., k - 1, 1]` to share them. For k = 1 it is `log_q`; NaN, with gradient 0 in the weights, where
    w(z) + S is 0. UserError if the others have fewer than two axes.
    """
    if log_other_weights.ndim < 2:
        shape = list(log_other_weights.shape)
        raise UserError(f"log-weights of k - 1 other draws have the shape [..., k - 1, B], not {shape}")
    ratio = log_weight - log_sum_exp(log_other_weights, -2)
    log_fraction = functional.logsigmoid(torch.where(ratio.isnan(), 0, ratio))
    log_fraction = torch.where(ratio.isnan(), math.nan, log_fraction)
    return math.log(log_other_weights.shape[-2] + 1) + log_fraction + log_q


def log_marginal(log_q: Tensor, log_weight: Tensor, log_other_weights: Tensor) -> Tensor:
    """log of (1/M) sum_m q_IW(z | x, z_2..z_k of batch m), an unbiased estimate of the marginal q_IW(z | x).

    With M batches independent of z, its logarithm is below log q_IW(z | x) by about Var / (2 M q_IW^2) on
    average, so that an estimate of L_VAE[q_IW] from it is too high by O(1/M), even above log p(x). With the
    batch that z was resampled from, and M = 1, it has the mean L_IWAE. Shapes are those of
    :func:`log_conditional`, with others `[..., M, k - 1, B]`; UserError if they have fewer than three axes.
    """
    if log_other_weights.ndim < 3:
        shape = list(log_other_weights.shape)
        raise UserError(f"log-weights of M batches of others have the shape [..., M, k - 1, B], not {shape}")
    conditional = log_conditional(log_q.unsqueeze(-2), log_weight.unsqueeze(-2), log_other_weights)
    return log_mean_exp(conditional, -2)


def resample(draws: Tensor, log_weights: Tensor, generator: torch.Generator) -> Tensor:
    """Sampling-importance-resampling: z_j with j ~ Cat(w~), a draw of q_IW(z | x) (algorithm 1).

    Shapes are those of :func:`choose`; the generator is on the device of the weights. UserError if there is
    no draw, if all weights of a point are 0, or if one is infinite or NaN.
    """
    impossible = ~log_weights.amax(draws_axis(log_weights)).isfinite()
    if impossible.any():
        raise UserError(
            f"{int(impossible.sum())} of {impossible.numel()} points have no weight above 0, or one that is "
            "infinite or NaN: no draw can be chosen; take more draws, or a q that covers the posterior"
        )
    return choose(draws, log_weights, torch.empty_like(log_weights).uniform_(generator=generator))


def choose(draws: Tensor, log_weights: Tensor, uniform: Tensor) -> Tensor:
    """z_j with j = argmax_i (log w_i + g_i) ~ Cat(w~), g_i = -log(-log u_i) (Gumbel-max trick).

    Draws z_i `[..., k, B, D]` with log-weights and uniforms u_i `[..., k, B]` give `[..., B, D]`; for one
    point `[k, D]` and `[k]` give `[D]`.
    """
    axis = draws_axis(log_weights)
    uniform = uniform.clamp(min=torch.finfo(uniform.dtype).tiny)  # u = 0 would tie with weight 0
    chosen = (log_weights - uniform.log().neg().log()).argmax(axis, keepdim=True)
    return torch.take_along_dim(draws, chosen.unsqueeze(-1), axis - 1).squeeze(axis - 1)
