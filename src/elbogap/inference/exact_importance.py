"""The marginal q_IW and L_IWAE without Monte Carlo, where q can be integrated by quadrature.

Both are expectations of a function of a sum of independent weights w(z_j), z_j ~ q. The Laplace transform of
a sum of k is phi(t)^k, phi(t) = E_q exp(-t w(z)). With 1/s = int_0^inf exp(-t s) dt and Frullani's integral
log s = int_0^inf (exp(-t) - exp(-t s)) dt / t,

    q_IW(z | x)  = k q(z | x) w(z) int_0^inf exp(-t w(z)) phi(t)^(k-1) dt,
    L_IWAE[q]    = -log k + int_0^inf (exp(-t) - phi(t)^k) dt / t.

In u = log t the integrands are analytic in |Im u| < pi/2, so the trapezoidal rule with step h has an error of
about exp(-pi^2 / h). The formulas are our own; Cremer et al.'s estimators are tested against them.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from elbogap.errors import UserError

STEP = 0.25  # exp(-pi^2 / 0.25) = 7e-18
LOWEST, HIGHEST = -38.0, 4.0  # log(t w) for the largest and the smallest w; tails of order 3e-17 and 2e-24
BLOCK = 4_000_000  # elements of one [T, N] block


class WeightTransform(NamedTuple):
    """phi `[T]` on an even grid `log_t` `[T]`, of weights divided by the largest, exp(`log_scale`)."""

    log_scale: Tensor
    log_t: Tensor
    phi: Tensor


def weight_transform(mass: Tensor, log_weights: Tensor) -> WeightTransform:
    """phi(t) = sum_n m_n exp(-t w_n) from q's probability m and log w at the nodes of a quadrature, `[N]`.

    Both are float64, and m is normalised here: L_IWAE of k draws magnifies an error in it about 40 k times.
    UserError if the log-weights are not finite or, in float64, span more than 705 nats.
    """
    scale, lowest = log_weights.detach().max(), log_weights.detach().min()
    most = math.log(torch.finfo(log_weights.dtype).max) - HIGHEST
    if not scale - lowest < most:
        raise UserError(
            f"log-weights from {float(lowest):g} to {float(scale):g} must be finite and less than {most:.0f} "
            "nats apart; leave out the nodes where q has no mass, or choose a wider q"
        )
    log_t = torch.arange(LOWEST, HIGHEST + float(scale - lowest), STEP, dtype=log_weights.dtype)
    weights = torch.exp(log_weights - scale)
    mass = mass / mass.sum()
    phi = torch.cat([torch.exp(-t[:, None] * weights) @ mass for t in _blocks(log_t.exp(), len(weights))])
    return WeightTransform(scale, log_t, phi)


def iwae(transform: WeightTransform, k: int) -> Tensor:
    """L_IWAE[q] of k draws in nats, a scalar, differentiable through :func:`weight_transform`."""
    difference = torch.exp(-transform.log_t.exp()) - transform.phi**k
    return STEP * difference.sum() - math.log(k) + transform.log_scale


def log_marginal(transform: WeightTransform, log_q: Tensor, log_weights: Tensor, k: int) -> Tensor:
    """log q_IW(z | x) of k draws in nats, `[B]`, at B points with log q(z | x) and log w(z) `[B]`.

    The transform is that of the same q; these weights must lie in the range of those at its nodes.
    """
    t = transform.log_t.exp()
    factor = STEP * t * transform.phi ** (k - 1)
    weights = torch.exp(log_weights - transform.log_scale)
    integral = torch.cat([torch.exp(-w[:, None] * t) @ factor for w in _blocks(weights, len(t))])
    return math.log(k) + log_q + log_weights - transform.log_scale + integral.log()


def _blocks(values: Tensor, width: int) -> tuple[Tensor, ...]:
    return values.split(max(1, BLOCK // width))
