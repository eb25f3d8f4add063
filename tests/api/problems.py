"""Posteriors whose moments are known."""

import torch
from torch import Tensor

MEAN = torch.tensor([300.0, -0.02, 5.0], dtype=torch.float64)
SCALE = torch.tensor([40.0, 0.001, 2.0], dtype=torch.float64)
CORRELATION = torch.tensor([[1.0, 0.8, -0.3], [0.8, 1.0, 0.1], [-0.3, 0.1, 1.0]], dtype=torch.float64)
COVARIANCE = SCALE[:, None] * CORRELATION * SCALE
PRECISION = COVARIANCE.inverse()
LOG_Z = 1.5


def correlated(z: Tensor) -> Tensor:
    """A Gaussian whose standard deviations differ by four orders of magnitude, times e^1.5."""
    return LOG_Z + torch.distributions.MultivariateNormal(MEAN, COVARIANCE).log_prob(z)


def standard(z: Tensor) -> Tensor:
    """N(0, I), unnormalised."""
    return -0.5 * z.square().sum(-1)
