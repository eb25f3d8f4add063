"""log Z from draws of a posterior, by bridge sampling (Meng and Wong 1996)."""

import math

import torch
from torch import Tensor

from elbogap.densities import log_mean_exp
from elbogap.inference.families.base import LogJoint
from elbogap.inference.families.gaussian import FullRankGaussian

ITERATIONS = 1000


def log_evidence(log_density: LogJoint, draws: Tensor, generator: torch.Generator) -> tuple[float, float]:
    """log Z of p = p~ / Z and its standard error, in nats, from independent draws of p, `[N, D]` in float64.

    The bridge is from a Gaussian g with the moments of the first half of the draws to the second half, with
    as many draws of g: Z is where h = 1 / (p~ + Z g) gives E_g[p~ h] = Z E_p[g h]. The error is that of
    Frühwirth-Schnatter (2004); it is for draws of p that are independent.
    """
    own, others = draws.tensor_split(2)
    covariance = own.mT.cov()
    g = FullRankGaussian(own.mean(0), torch.linalg.cholesky(covariance))
    noise = torch.randn(others.shape, generator=generator, dtype=draws.dtype)
    drawn = g.sample({"normal": noise})
    of_g, of_p = (log_density(z) - g.log_prob(z) for z in (drawn, others))  # log p~ / g
    log_z = of_p.median()
    for _ in range(ITERATIONS):
        # p~ h under g, and g h under p, both times Z
        first, second = of_g - torch.logaddexp(of_g, log_z), -torch.logaddexp(of_p, log_z)
        step = log_mean_exp(first, 0) - log_mean_exp(second, 0) - log_z
        log_z = log_z + step
        if step.abs() < 1e-12:
            break
    parts = (first.exp(), (second + log_z).exp())
    error = math.sqrt(sum(float(part.var() / part.mean().square()) / len(part) for part in parts))
    return log_z.item(), error
