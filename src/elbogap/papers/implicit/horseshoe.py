"""A posterior shaped like a horseshoe: p(z) = N(0, I_2), p(x|z) = N(x; z_1^2 + z_2, s^2)."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from elbogap.densities import LOG_2PI, isotropic_gaussian_log_density, standard_gaussian_log_density
from elbogap.papers.implicit.settings import AdversarialGame as Settings
from elbogap.runtime import torch_generator

DIMENSION = 2
STARTS = 10


@dataclass(frozen=True)
class Posterior:
    """p(z|x) on a square grid.

    Attributes:
        axis: grid points `[G]`.
        density: p(z|x) at (axis[i], axis[j]), `[G, G]`.
        log_evidence: log p(x), in nats.
    """

    axis: Tensor
    density: Tensor
    log_evidence: float

    @classmethod
    def of(cls, settings: Settings) -> "Posterior":
        """By the rectangle rule, which is as good as exact for integrands that are smooth and decay."""
        axis = torch.linspace(-settings.half_width, settings.half_width, settings.grid, dtype=torch.float64)
        z = torch.cartesian_prod(axis, axis).view(len(axis), len(axis), DIMENSION)
        log_joint_z = log_joint(settings, z)
        log_evidence = log_joint_z.logsumexp((0, 1)) + 2 * (axis[1] - axis[0]).log()
        return cls(axis, (log_joint_z - log_evidence).exp(), float(log_evidence))


def log_likelihood(settings: Settings, z: Tensor) -> Tensor:
    """log p(x|z), `[..., 2]` to `[...]`, in nats."""
    mean = z[..., :1].square() + z[..., 1:]
    x = torch.full_like(mean, settings.observation)
    return isotropic_gaussian_log_density(x, mean, settings.deviation**2)


def log_joint(settings: Settings, z: Tensor) -> Tensor:
    """log p(x, z), `[..., 2]` to `[...]`, in nats."""
    return standard_gaussian_log_density(z) + log_likelihood(settings, z)


def best_gaussian(settings: Settings) -> float:
    """The largest ELBO of a Gaussian q with any mean and covariance, in nats, the best of `STARTS` searches.

    log p(x, z) is a polynomial of degree 4, whose mean is exact with three Gauss-Hermite nodes per axis.
    """
    points, weights = (torch.from_numpy(one) for one in np.polynomial.hermite_e.hermegauss(3))
    noise, weight = torch.cartesian_prod(points, points), torch.outer(weights, weights).flatten()
    generator = torch_generator(0, "implicit.best_gaussian")
    mean = torch.randn(STARTS, 1, DIMENSION, dtype=torch.float64, generator=generator).requires_grad_()
    lower = torch.zeros(STARTS, DIMENSION, DIMENSION, dtype=torch.float64, requires_grad=True)
    diagonal = torch.zeros(STARTS, DIMENSION, dtype=torch.float64, requires_grad=True)  # logarithms

    def elbo() -> Tensor:
        cholesky = lower.tril(-1) + diagonal.exp().diag_embed()
        entropy = LOG_2PI + 1 + diagonal.sum(-1)
        return log_joint(settings, mean + noise @ cholesky.mT) @ (weight / weight.sum()) + entropy

    search = torch.optim.LBFGS(
        [mean, lower, diagonal],
        max_iter=1000,
        tolerance_grad=1e-7,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        search.zero_grad()
        loss = -elbo().sum()
        loss.backward()
        return loss

    search.step(closure)
    return float(elbo().detach().max())
