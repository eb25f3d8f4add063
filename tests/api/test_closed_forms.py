"""Fits of posteriors whose moments and evidence are known."""

import pytest
import torch
from problems import CORRELATION, COVARIANCE, LOG_Z, MEAN, PRECISION, SCALE, correlated
from torch import Tensor
from torch.distributions import Gamma, LogNormal, constraints

from elbogap.api import Fit, fit

COUNT = 20_000


def quick(method: str, steps: int = 100) -> Fit:
    return fit(correlated, 3, method, steps=steps, progress=False)


@pytest.mark.parametrize(
    ("method", "of_mean", "of_sd"),
    [("full_rank", 0.03, 0.03), ("flow", 0.05, 0.05), ("sivi", 0.06, 0.1), ("uivi", 0.06, 0.1)],
)
def test_a_badly_scaled_correlated_gaussian_is_found(method: str, of_mean: float, of_sd: float) -> None:
    found = quick(method)
    z = found.sample(COUNT)
    assert isinstance(z, Tensor)
    assert ((z.mean(0) - MEAN).abs() / SCALE).max() < of_mean
    assert (z.std(0) / SCALE - 1).abs().max() < of_sd
    assert (torch.corrcoef(z.T) - CORRELATION).abs().max() < of_sd
    assert found.elbo.value == pytest.approx(LOG_Z, abs=0.1)
    assert found.diagnostics.k_hat < 0.7
    assert found.diagnostics.relative_ess > 0.8


@pytest.mark.filterwarnings("ignore:mean_field")
def test_the_mean_field_s_standard_deviations_are_those_of_its_theory() -> None:
    """The mean and 1 / sqrt(precision); log Z - ELBO = (sum_d log precision_dd + log |covariance|) / 2."""
    found = quick("mean_field")
    z = found.sample(COUNT)
    scale = PRECISION.diagonal().rsqrt()
    assert ((z.mean(0) - MEAN).abs() / SCALE).max() < 0.03
    assert (z.std(0) / scale - 1).abs().max() < 0.03
    gap = 0.5 * (PRECISION.diagonal().log().sum() + torch.linalg.slogdet(COVARIANCE).logabsdet)
    assert LOG_Z - found.elbo.value == pytest.approx(float(gap), abs=0.06)


def test_exact_densities_are_those_of_the_posterior() -> None:
    found = quick("full_rank")
    z = found.sample(100, seed=1)
    assert found.log_prob_is_exact
    torch.testing.assert_close(found.log_prob(z), correlated(z) - LOG_Z, atol=0.1, rtol=0)


@pytest.mark.parametrize(
    "exact", [Gamma(torch.tensor(3.0), torch.tensor(0.01)), LogNormal(torch.tensor(7.0), torch.tensor(0.5))]
)
def test_a_positive_support_is_kept_and_the_moments_are_right(exact: Gamma | LogNormal) -> None:
    found = fit(
        lambda p: exact.log_prob(p["rate"]),
        {"rate": ()},
        "flow",
        support={"rate": constraints.positive},
        steps=100,
        progress=False,
    )
    draws = found.sample(COUNT)
    assert isinstance(draws, dict)
    rate = draws["rate"]
    assert rate.shape == (COUNT,)
    assert (rate > 0).all()
    sd = float(exact.variance) ** 0.5
    assert float(rate.mean()) == pytest.approx(float(exact.mean), abs=0.06 * sd)
    assert float(rate.std()) == pytest.approx(sd, rel=0.12)
    torch.testing.assert_close(
        found.log_prob(draws).mean(), exact.log_prob(rate).mean().double(), atol=0.05, rtol=0
    )


def test_a_simplex_has_the_moments_of_a_dirichlet() -> None:
    exact = torch.distributions.Dirichlet(torch.tensor([2.0, 5.0, 3.0], dtype=torch.float64))
    found = fit(exact.log_prob, 3, "full_rank", support=constraints.simplex, steps=200, progress=False)
    z = found.sample(COUNT)
    assert isinstance(z, Tensor)
    torch.testing.assert_close(z.sum(-1), torch.ones(COUNT, dtype=z.dtype))
    assert ((z.mean(0) - exact.mean).abs() / exact.variance.sqrt()).max() < 0.1
