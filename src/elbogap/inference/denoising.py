"""The optimal encoder under input noise, and the optimal decoder of a fixed encoder (Shu et al. 2018, air).

The denoising objective (eq. 13) fits the encoder q(z|x_i + e), e ~ N(0, sigma^2 I), to the posteriors
p(z|x_i) of N observations. If these lie in one exponential family, with natural parameters eta_i, and the
encoder may be any function, the optimal encoder is a kernel regression (Lemma 1, Theorem 1):

    eta*(x) = sum_i w_i(x) eta_i,   w_i(x) = K(x - x_i) / sum_j K(x - x_j),   K(u) = exp(-|u|^2 / 2 sigma^2).

Points x are `[..., B, D]`, observations x_i `[..., N, D]`, natural parameters eta_i `[..., N, P]`. The noise
scale sigma > 0, in units of x, is a number or `[...]`; for sigma = inf all w_i are equal.

Deviation: our copy of the document lacks the constant of Theorem 1's Lipschitz bound. That of
:func:`lipschitz_bound` is our own and sharp: two observations attain it.
"""

import math

import torch
from torch import Tensor

from elbogap.densities import log_softmax, softmax, squared_distances
from elbogap.errors import UserError


def log_kernel_weights(x: Tensor, observations: Tensor, sigma: float | Tensor) -> Tensor:
    """log w_i(x) in nats (eq. 14), `[..., B, N]`; w_i is the probability that the noisy x came from x_i.

    NaN, with gradient 0 in x, where |x - x_i|^2 / sigma^2 overflows for every i.
    """
    sigma = torch.as_tensor(sigma, dtype=x.dtype, device=x.device)[..., None, None]
    return log_softmax(-0.5 * (squared_distances(x, observations) / sigma / sigma), -1)


def natural_parameters(x: Tensor, observations: Tensor, natural: Tensor, sigma: float | Tensor) -> Tensor:
    """eta*(x) = sum_i w_i(x) eta_i, `[..., B, P]` (eq. 15, Theorem 1).

    The natural parameter space is convex, so eta*(x) lies in it.
    """
    return log_kernel_weights(x, observations, sigma).exp() @ natural


def lipschitz_bound(observations: Tensor, natural: Tensor, sigma: float | Tensor, p: float = 2.0) -> Tensor:
    """L = max_ij |eta_i - eta_j|_p max_ij |x_i - x_j|_q / (4 sigma^2), 1/p + 1/q = 1, `[...]` (Theorem 1).

    |eta*(x) - eta*(y)|_p <= L |x - y|_p in the p-norm, 1 <= p <= infinity (the document's proof: p = 1); L is
    in units of eta per unit of x. Derivation: the Jacobian J of eta* is Cov(eta, x) / sigma^2 under the
    weights w_i. For |u|_q = |v|_p = 1, u' J v = Cov(u' eta, v' x) / sigma^2, and a variable of range r has a
    standard deviation of at most r / 2. UserError if p < 1.
    """
    if p < 1:
        raise UserError(f"p = {p} gives no norm; p must be at least 1")
    dual = math.inf if p == 1 else 1.0 if p == math.inf else p / (p - 1)
    diameters = (
        torch.cdist(values, values, p=order, compute_mode="donot_use_mm_for_euclid_dist").amax((-2, -1))
        for values, order in ((natural, p), (observations, dual))
    )
    return (
        math.prod(diameters)
        / (2 * torch.as_tensor(sigma, dtype=natural.dtype, device=natural.device)).square()
    )


def generator_means(log_q: Tensor, statistics: Tensor) -> Tensor:
    """mu*(z) = sum_i T(x_i) q(z|x_i) / sum_j q(z|x_j), `[..., B, S]` in units of T (eq. 19, Proposition 2).

    The mean parameters of the optimal decoder for a fixed encoder, from log q(z_b|x_i) `[..., B, N]`, if
    p(x|z) is an exponential family with sufficient statistics T(x_i) `[..., N, S]` and mu may be any function
    of z. For Bernoulli decoders T(x) = x.
    """
    return softmax(log_q, -1) @ statistics
