"""A Student's t in ten dimensions: heavier tails than any Gaussian's."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from elbogap.papers.atlas.problems.base import Problem

DIM, FREEDOM = 10, 5.0


def log_density(z: Tensor) -> Tensor:
    """log t(z; 0, I) with nu = 5: log C - (nu + D) / 2 log(1 + |z|^2 / nu), `[..., 10]` to `[...]`."""
    power = 0.5 * (FREEDOM + DIM)
    constant = math.lgamma(power) - math.lgamma(0.5 * FREEDOM) - 0.5 * DIM * math.log(FREEDOM * math.pi)
    return constant - power * torch.log1p(z.square().sum(-1) / FREEDOM)


def sample(count: int, generator: torch.Generator) -> Tensor:
    """u / sqrt(g / nu), u ~ N(0, I) and g ~ chi-squared, a sum of nu squares."""
    noise = torch.randn(count, DIM + int(FREEDOM), generator=generator, dtype=torch.float64)
    return noise[:, :DIM] / noise[:, DIM:].square().mean(1, keepdim=True).sqrt()


def student_t() -> Problem:
    """The variance is nu / (nu - 2) in every direction."""
    return Problem(
        title=f"Student's t, {DIM}",
        kind="student t",
        dim=DIM,
        log_density=log_density,
        known="log Z, moments and draws, in closed form",
        sample=sample,
        mean=torch.zeros(DIM, dtype=torch.float64),
        sd=torch.full((DIM,), math.sqrt(FREEDOM / (FREEDOM - 2)), dtype=torch.float64),
        log_evidence=0.0,
    )


PROBLEMS: Mapping[str, Callable[[], Problem]] = {f"student_t_{DIM}": student_t}
