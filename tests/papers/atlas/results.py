"""A made-up result of a method: draws, and log q, of a Gaussian."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from elbogap.inference.families.base import LogJoint
from elbogap.papers.atlas.problems.base import Problem
from elbogap.papers.atlas.problems.gaussian import gaussian


@dataclass
class GaussianResult:
    mean: Tensor
    covariance: Tensor

    def sample(self, num_samples: int, seed: int = 0) -> Tensor:
        random = torch.Generator().manual_seed(seed)
        noise = torch.randn(num_samples, len(self.mean), generator=random, dtype=torch.float64)
        return self.mean + noise @ torch.linalg.cholesky(self.covariance).mT

    def log_prob(self, z: Tensor) -> Tensor:
        return MultivariateNormal(self.mean, self.covariance).log_prob(z)


class Moments:
    """A method: the Gaussian with given moments, found by asking for one derivative."""

    def __init__(self, log_density: LogJoint, dim: int, seed: int = 0, steps: int | str = "auto") -> None:
        z = torch.zeros(3, dim, dtype=torch.float64, requires_grad=True)
        log_density(z).sum().backward()
        self.gaussian = GaussianResult(torch.ones(dim).double(), 0.25 * torch.eye(dim).double())

    def sample(self, num_samples: int, seed: int = 0) -> Tensor:
        return self.gaussian.sample(num_samples, seed)


def line() -> Problem:
    """A problem: N(1, 1 / 4) in three dimensions."""
    one = torch.ones(3, dtype=torch.float64)
    return gaussian(one, 0.25 * torch.diag(one), title="line", kind="own", known="all")
