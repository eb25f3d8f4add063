"""Neal's funnel: a scale that spans orders of magnitude, as in hierarchical models (Neal 2003)."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from elbogap.densities import gaussian_log_density
from elbogap.papers.atlas.problems.base import Problem

DIM, DEVIATION = 10, 3.0


def log_density(z: Tensor) -> Tensor:
    """log N(v; 0, 9) + sum_d log N(x_d; 0, exp v) of z = (v, x), `[..., 10]` to `[...]`."""
    v, x = z[..., :1], z[..., 1:]
    of_v = gaussian_log_density(v, torch.zeros_like(v), torch.full_like(v, 2 * math.log(DEVIATION)))
    return of_v + gaussian_log_density(x, torch.zeros_like(x), v)


def sample(count: int, generator: torch.Generator) -> Tensor:
    """v, then x given v."""
    noise = torch.randn(count, DIM, generator=generator, dtype=torch.float64)
    v = DEVIATION * noise[:, :1]
    return torch.cat([v, (v / 2).exp() * noise[:, 1:]], 1)


def funnel() -> Problem:
    """The variance of x_d is E exp v = exp(9 / 2).

    The best factorised Gaussian has m = 0, s_v^2 = 1 / (1 / 9 + (D - 1) / 2) and s_x^2 = exp(-s_v^2 / 2); its
    ELBO is -1/2 log(9 / s_v^2).
    """
    shrinkage = 1 + DEVIATION**2 * (DIM - 1) / 2
    sd = torch.full((DIM,), math.exp(DEVIATION**2 / 4), dtype=torch.float64)
    sd[0] = DEVIATION
    return Problem(
        title=f"funnel, {DIM}",
        kind="funnel",
        dim=DIM,
        log_density=log_density,
        known="log Z, moments, draws and the best factorised Gaussian, in closed form",
        sample=sample,
        mean=torch.zeros(DIM, dtype=torch.float64),
        sd=sd,
        log_evidence=0.0,
        best_gaussian=lambda correlated: None if correlated else -0.5 * math.log(shrinkage),
    )


PROBLEMS: Mapping[str, Callable[[], Problem]] = {f"funnel_{DIM}": funnel}
