"""Posteriors on raw scales, where a fit in the user's coordinates ends many standard deviations off."""

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from elbogap.api import fit

random = torch.Generator().manual_seed(0)
IQ = 100 + 15 * torch.randn(200, generator=random, dtype=torch.float64)
SCHOOL = torch.bernoulli(torch.full((200,), 0.8, dtype=torch.float64), generator=random)
X = torch.stack([torch.ones_like(IQ), SCHOOL, IQ, SCHOOL * IQ], -1)
Y = X @ torch.tensor([-10.0, 50.0, 1.0, -0.5], dtype=torch.float64)
Y = Y + 18 * torch.randn(200, generator=random, dtype=torch.float64)
PRECISION = X.T @ X / 18**2
MEAN = torch.linalg.solve(PRECISION, X.T @ Y / 18**2)
SCALE = PRECISION.inverse().diagonal().sqrt()


def regression(z: Tensor) -> Tensor:
    """Flat prior, known noise: N(MEAN, PRECISION^-1), of condition 8e6."""
    return Normal(z @ X.T, 18.0).log_prob(Y).sum(-1)


@pytest.mark.filterwarnings("ignore::elbogap.api.FitWarning")
@pytest.mark.parametrize("method", ["mean_field", "full_rank", "sivi", "uivi"])
def test_a_regression_on_raw_covariates_ends_within_a_tenth_of_a_standard_deviation(method: str) -> None:
    assert float(torch.linalg.cond(PRECISION)) > 5e6
    z = fit(regression, 4, method, steps=60, progress=False).sample(20_000)
    assert isinstance(z, Tensor)
    assert ((z.mean(0) - MEAN).abs() / SCALE).max() < 0.1
