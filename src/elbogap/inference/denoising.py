"""The optimal encoder under input noise, and the optimal decoder of a fixed encoder (Shu et al. 2018, air).

The denoising objective (eq. 13) trains q(z|x~) at x~ = x_i + e, e ~ N(0, sigma^2 I), against the posteriors
p(z|x_i) of N observations. Where the posteriors are of one exponential family with natural parameters eta_i
and the encoder may be any function, the best encoder is kernel regression (Lemma 1, Theorem 1):

    eta*(x) = sum_i w_i(x) eta_i,   w_i(x) = K(x - x_i) / sum_j K(x - x_j),   K(u) = exp(-|u|^2 / 2 sigma^2).

Deviation: the constant of Theorem 1's Lipschitz bound is lost in our copy of the document. The one of
:func:`lipschitz_bound` is ours and the least possible: two observations attain it.
"""

import math

import torch
from torch import Tensor

from elbogap.densities import log_softmax, softmax, squared_distances
from elbogap.errors import UserError


def log_kernel_weights(x: Tensor, observations: Tensor, sigma: float | Tensor) -> Tensor:
    """log w_i(x) (eq. 14): the log-probability that the noisy x came from the i-th observation.

    Args:
        x: `[..., B, D]`.
        observations: x_i `[..., N, D]`.
        sigma: standard deviation of the noise, a number or `[...]`, in units of x, positive; infinity is
            allowed and gives 1 / N.

    Returns:
        `[..., B, N]`, in nats; NaN and constant where all distances over sigma overflow.
    """
    sigma = _per_point(sigma, x)
    return log_softmax(-0.5 * (squared_distances(x, observations) / sigma / sigma), -1)


def natural_parameters(x: Tensor, observations: Tensor, natural: Tensor, sigma: float | Tensor) -> Tensor:
    """eta*(x) = sum_i w_i(x) eta_i (eq. 15, Theorem 1): a convex combination, so a natural parameter itself.

    Args:
        x: `[..., B, D]`.
        observations: x_i `[..., N, D]`.
        natural: eta_i of the posteriors p(z|x_i) `[..., N, P]`.
        sigma: as in :func:`log_kernel_weights`.

    Returns:
        `[..., B, P]`.
    """
    return log_kernel_weights(x, observations, sigma).exp() @ natural


def jacobian(x: Tensor, observations: Tensor, natural: Tensor, sigma: float | Tensor) -> Tensor:
    """d eta*(x) / d x = sigma^-2 sum_i w_i (eta_i - eta*) (x_i - x')^T with x' = sum_i w_i x_i.

    It is the covariance of natural parameters and observations under the weights over sigma^2 (derived from
    eq. 15).

    Args:
        x: `[..., B, D]`.
        observations: x_i `[..., N, D]`.
        natural: eta_i `[..., N, P]`.
        sigma: as in :func:`log_kernel_weights`.

    Returns:
        `[..., B, P, D]`, in units of eta per unit of x.
    """
    weights = log_kernel_weights(x, observations, sigma).exp()
    from_mean = (
        values.unsqueeze(-3) - (weights @ values).unsqueeze(-2) for values in (natural, observations)
    )
    covariance = torch.einsum("...bn,...bnp,...bnd->...bpd", weights, *from_mean)
    return covariance / _per_point(sigma, x).square().unsqueeze(-1)


def lipschitz_bound(
    observations: Tensor, natural: Tensor, sigma: float | Tensor, norm: float = 2.0
) -> Tensor:
    """L = max_ij |eta_i - eta_j|_p max_ij |x_i - x_j|_q / (4 sigma^2), 1/p + 1/q = 1, for eta* (Theorem 1).

    It is derived for the p-norm on both sides, |eta*(x) - eta*(y)|_p <= L |x - y|_p: with |u|_q = |v|_p = 1,
    u' J v is the covariance of u' eta and v' x over sigma^2, and a variable of range r has a standard
    deviation of at most r / 2. The document's proof is for p = 1.

    Args:
        observations: x_i `[..., N, D]`.
        natural: eta_i `[..., N, P]`.
        sigma: as in :func:`log_kernel_weights`.
        norm: p, at least 1; infinity is allowed.

    Returns:
        `[...]`, in units of eta per unit of x.

    Raises:
        UserError: p is below 1, which is no norm.
    """
    if norm < 1:
        raise UserError(f"the {norm}-norm is none; p must be at least 1")
    dual = math.inf if norm == 1 else 1.0 if norm == math.inf else norm / (norm - 1)
    diameters = (
        torch.cdist(values, values, p=p, compute_mode="donot_use_mm_for_euclid_dist").amax((-2, -1))
        for values, p in ((natural, norm), (observations, dual))
    )
    return math.prod(diameters) / (2 * _tensor(sigma, natural)).square()


def generator_means(log_q: Tensor, statistics: Tensor) -> Tensor:
    """mu*(z) = sum_i T(x_i) q(z|x_i) / sum_j q(z|x_j) (eq. 19, Proposition 2), the best decoder's means.

    For a decoder of one exponential family with sufficient statistic T that may be any function of z, and a
    fixed encoder q.

    Args:
        log_q: log q(z_b|x_i) `[..., B, N]`.
        statistics: T(x_i) `[..., N, S]`; x_i itself for Bernoulli decoders.

    Returns:
        Mean parameters `[..., B, S]`, in units of T.
    """
    return softmax(log_q, -1) @ statistics


def _tensor(sigma: float | Tensor, like: Tensor) -> Tensor:
    return torch.as_tensor(sigma, dtype=like.dtype, device=like.device)


def _per_point(sigma: float | Tensor, like: Tensor) -> Tensor:
    """Sigma, a number or `[...]`, to broadcast with `[..., B, N]`."""
    return _tensor(sigma, like)[..., None, None]
