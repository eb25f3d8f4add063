"""The posterior of a linear-Gaussian model, probabilistic principal components (Tipping and Bishop 1999)."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from elbogap.densities import isotropic_gaussian_log_density, standard_gaussian_log_density
from elbogap.inference.families.gaussian import FullRankGaussian
from elbogap.papers.atlas.problems.base import Problem
from elbogap.papers.atlas.problems.gaussian import gaussian
from elbogap.runtime import torch_generator

LATENT, OBSERVED, VARIANCE = 5, 10, 0.25


def ppca() -> Problem:
    """p(z|x) of z ~ N(0, I) and x ~ N(W z, I / 4), W of standard normal numbers; p~(z) = p(x, z).

    p(z|x) = N(M^-1 W^T x, s^2 M^-1) with M = W^T W + s^2 I, and p(x) = N(x; 0, W W^T + s^2 I).
    """
    random = torch_generator(0, "atlas", "ppca")
    loading = torch.randn(OBSERVED, LATENT, generator=random, dtype=torch.float64)
    marginal = torch.linalg.cholesky(
        loading @ loading.mT + VARIANCE * torch.eye(OBSERVED, dtype=torch.float64)
    )
    law = FullRankGaussian(torch.zeros(OBSERVED, dtype=torch.float64), marginal)
    x = law.sample({"normal": torch.randn(OBSERVED, generator=random, dtype=torch.float64)})
    precision = loading.mT @ loading + VARIANCE * torch.eye(LATENT, dtype=torch.float64)
    covariance = VARIANCE * precision.inverse()
    exact = gaussian(
        covariance @ loading.mT @ x / VARIANCE,
        covariance,
        title="pPCA",
        kind="linear-Gaussian",
        known="log p(x), moments, draws and the best Gaussians, in closed form",
        log_evidence=law.log_prob(x).item(),
    )

    def log_density(z: Tensor) -> Tensor:
        likelihood = isotropic_gaussian_log_density(x.to(z), z @ loading.mT.to(z), VARIANCE)
        return standard_gaussian_log_density(z) + likelihood

    return replace(exact, log_density=log_density)


PROBLEMS: Mapping[str, Callable[[], Problem]] = {"ppca": ppca}
