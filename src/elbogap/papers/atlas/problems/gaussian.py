"""Correlated Gaussians in 2 to 50 dimensions, of which everything is known in closed form."""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from elbogap.inference.families.gaussian import FullRankGaussian
from elbogap.papers.atlas.problems.base import Axis, Problem

CORRELATION, MEAN = 0.9, 1.0  # of neighbouring coordinates; of each


def best_factorised_kl(precision: Tensor) -> float:
    """KL(q || p) = 1/2 [sum_d log L_dd - log det L] of the best factorised q of N(m, L^-1), in nats."""
    return 0.5 * (precision.diagonal().log().sum() - precision.logdet()).item()


def gaussian(
    mean: Tensor, covariance: Tensor, *, title: str, kind: str, known: str, log_evidence: float = 0.0
) -> Problem:
    """N(m, C) times Z, m `[D]` and C `[D, D]` in float64."""
    scale_tril = torch.linalg.cholesky(covariance)
    exact, factorised = FullRankGaussian(mean, scale_tril), best_factorised_kl(covariance.inverse())

    def log_density(z: Tensor) -> Tensor:
        return FullRankGaussian(mean.to(z), scale_tril.to(z)).log_prob(z) + log_evidence

    def sample(count: int, generator: torch.Generator) -> Tensor:
        noise = torch.randn(count, len(mean), generator=generator, dtype=torch.float64)
        return exact.sample({"normal": noise})

    return Problem(
        title=title,
        kind=kind,
        dim=len(mean),
        log_density=log_density,
        known=known,
        sample=sample,
        mean=mean,
        sd=covariance.diagonal().sqrt(),
        log_evidence=log_evidence,
        best_gaussian=lambda correlated: log_evidence - (0.0 if correlated else factorised),
        axes=(Axis(-5.0, 7.0, 121),) * 2 if len(mean) == 2 else (),
    )


def correlated(dim: int) -> Problem:
    """N(1, C) with C_ij = 0.9^|i - j|."""
    index = torch.arange(dim, dtype=torch.float64)
    return gaussian(
        torch.full((dim,), MEAN, dtype=torch.float64),
        CORRELATION ** (index[:, None] - index).abs(),
        title=f"Gaussian, {dim}",
        kind="gaussian",
        known="log Z, moments, draws and the best Gaussians, in closed form",
    )


PROBLEMS: Mapping[str, Callable[[], Problem]] = {
    f"gaussian_{dim}": partial(correlated, dim) for dim in (2, 10, 50)
}
