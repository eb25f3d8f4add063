"""A posterior shaped like a horseshoe: p(z) = N(0, I_2), p(x|z) = N(x; z_1^2 + z_2, s^2)."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from elbogap.densities import isotropic_gaussian_log_density, standard_gaussian_log_density
from elbogap.papers.implicit.best_gaussian import gauss_hermite_rule, largest_elbo
from elbogap.papers.implicit.settings import AdversarialGame as Settings

DIMENSION = 2


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
    """The largest ELBO of a Gaussian q with any mean and covariance, in nats.

    log p(x, z) is a polynomial of degree 4, whose mean is exact with three Gauss-Hermite nodes per axis.
    """
    starts = [(z1, 0.0) for z1 in (-1.0, 0.0, 1.0)]
    return largest_elbo(partial(log_joint, settings), starts, gauss_hermite_rule(3), correlated=True)
