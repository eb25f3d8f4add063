"""What is known in closed form of chains on Gaussian targets, and of their alpha-VCD."""

from collections.abc import Sequence

import numpy as np


def leapfrog(step_size: float, steps: int, variance: float = 1.0) -> np.ndarray:
    """The matrix A of (z', v') = A (z, v) on N(0, variance), `[2, 2]`."""
    half = np.array([[1.0, 0.0], [-0.5 * step_size / variance, 1.0]])
    drift = np.array([[1.0, step_size], [0.0, 1.0]])
    return np.linalg.matrix_power(half @ drift @ half, steps)


def forgotten(step_size: float, steps: int, variances: Sequence[float], iterations: float) -> np.ndarray:
    """c = 1 - A_zz^(2 t) of each axis of the target: which part of z_0's variance t iterations replace.

    Rejections are ignored. With c, E_{q_t} z^2 = (1 - c) E_{q_0} z^2 + c variance.
    """
    kept = np.array([leapfrog(step_size, steps, variance)[0, 0] for variance in variances])
    return 1 - kept ** (2 * iterations)


def best_scale(
    alpha: np.ndarray | float, variances: Sequence[float], forgotten: np.ndarray | float = 1.0
) -> np.ndarray:
    """The sigma of q_0 = N(0, sigma^2 I) that minimises the alpha-VCD from N(0, diag(l)).

    f = log p - log q_0 is quadratic, so that E_{q_t} f - E_{q_0} f = sum_i c_i (l_i - s)^2 / (2 l_i s) for
    s = sigma^2 and c of :func:`forgotten`, and the alpha-VCD, (1 - a) KL(q_0 || p) plus a times this, has the
    derivative 0 where

        s^2 sum_i (1 - a + a c_i) / l_i - 2 (1 - a) s - a sum_i c_i l_i = 0.

    a = 0 is the KL. c = 1 is t to infinity, the sum KL(q_0 || p) + a KL(p || q_0): for unit variances with
    correlation r and 1/b = 1 - r^2, b s^2 - (1 - a) s - a = 0. With a = 1 the optimum s^2 = sum_i c_i l_i /
    sum_i c_i / l_i is anywhere between the target's own variances: below the KL's where chains move along the
    short axis alone, above that of t to infinity where they move more along the long one.
    """
    a, c, variance = (
        np.asarray(alpha)[..., None],
        np.broadcast_to(forgotten, len(variances)),
        np.array(variances),
    )
    quadratic = ((1 - a + a * c) / variance).sum(-1)
    linear, constant = 2 * (1 - a[..., 0]), (a * c * variance).sum(-1)
    return np.sqrt((linear + np.sqrt(linear**2 + 4 * quadratic * constant)) / (2 * quadratic))
