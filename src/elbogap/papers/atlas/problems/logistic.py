"""A Bayesian logistic regression with correlated features, on data made once from a fixed seed."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from elbogap.densities import bernoulli_log_likelihood, isotropic_gaussian_log_density
from elbogap.inference.importance import resample
from elbogap.inference.lbfgs import minimise
from elbogap.papers.atlas.problems.base import Problem
from elbogap.runtime import torch_generator

FEATURES, ROWS, PRIOR_VARIANCE = 4, 80, 4.0
NODES, BLOCK = 18, 20_000  # per axis; of the nodes at once
SPARE, WIDER = 20, 1.3  # draws of a wider Gaussian, of which one is resampled


def logistic() -> Problem:
    """p~(w) = p(y, w) of w ~ N(0, 4 I) and y ~ Bernoulli(sigmoid(X w)), of 80 rows in 4 dimensions.

    log p(y) and moments are sums over a product of Gauss-Hermite rules around the mode. Draws are resampled.
    """
    random = torch_generator(0, "atlas", "logistic")
    parts = [torch.randn(ROWS, width, generator=random, dtype=torch.float64) for width in (1, FEATURES - 1)]
    x = torch.cat([parts[0] + 0.4 * parts[1], torch.ones(ROWS, 1, dtype=torch.float64)], 1)
    weights = torch.tensor([1.0, -0.5, 1.5, 0.5], dtype=torch.float64)
    y = torch.bernoulli((x @ weights).sigmoid(), generator=random)

    def log_density(w: Tensor) -> Tensor:
        prior = isotropic_gaussian_log_density(w, torch.zeros_like(w), PRIOR_VARIANCE)
        return bernoulli_log_likelihood(y.to(w), w @ x.mT.to(w)) + prior

    mode, _ = minimise(lambda w: -log_density(w), torch.zeros(FEATURES, dtype=torch.float64))
    hessian = torch.autograd.functional.hessian(lambda w: -log_density(w), mode)
    scale = torch.linalg.cholesky(hessian.inverse())
    line, mass = (torch.from_numpy(each) for each in np.polynomial.hermite_e.hermegauss(NODES))
    u = torch.cartesian_prod(*[line] * FEATURES)
    log_mass = torch.cartesian_prod(*[mass.log()] * FEATURES).sum(1) + 0.5 * u.square().sum(1)
    nodes = mode + u @ scale.mT
    log_terms = log_mass + torch.cat([log_density(block) for block in nodes.split(BLOCK)])
    log_evidence = log_terms.logsumexp(0) + scale.diagonal().log().sum()
    share = log_terms.softmax(0)
    mean = share @ nodes

    def sample(count: int, generator: torch.Generator) -> Tensor:
        noise = WIDER * torch.randn(SPARE, count, FEATURES, generator=generator, dtype=torch.float64)
        drawn = mode + noise @ scale.mT
        log_weight = log_density(drawn) + 0.5 * (noise / WIDER).square().sum(-1)
        return resample(drawn, log_weight, generator)

    return Problem(
        title="logistic regression",
        kind="regression",
        dim=FEATURES,
        log_density=log_density,
        known="log p(y) and moments by quadrature; draws by resampling",
        sample=sample,
        mean=mean,
        sd=(share @ (nodes - mean).square()).sqrt(),
        log_evidence=log_evidence.item(),
    )


PROBLEMS: Mapping[str, Callable[[], Problem]] = {"logistic": logistic}
