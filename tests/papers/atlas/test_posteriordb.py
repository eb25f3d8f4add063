"""The posteriors of posteriordb: log-densities against torch's distributions, and against Stan's draws."""

import math

import numpy as np
import pytest
import torch
from test_problems import fulfils_steins_identities
from torch.distributions import Beta, Gamma, HalfCauchy, HalfNormal, MultivariateNormal, Normal, Poisson

from allowance import within
from elbogap.data.loaders import Dataset
from elbogap.papers.atlas.problems.posteriordb import MODELS, vectors
from elbogap.papers.atlas.problems.registry import POSTERIORS, problem

DRAWS = dict.fromkeys(POSTERIORS, 10_000) | {"low_dim_gauss_mix": 3000, "logearn": 5000}  # of many rows


@pytest.mark.parametrize("name", POSTERIORS)
def test_reference_draws_are_of_the_log_density(name: str, real: Dataset) -> None:
    """Stein's identities, as of other problems: a wrong prior, Jacobian or predictor breaks them."""
    known = problem(name, real)
    z = known.sample(DRAWS[name], torch.Generator().manual_seed(0))
    assert fulfils_steins_identities(known, z)


@pytest.mark.parametrize("name", POSTERIORS)
def test_coordinates_and_parameters_are_inverse(name: str, stand_in: Dataset) -> None:
    known, model = problem(name, stand_in), MODELS[name]
    z = known.sample(50, torch.Generator().manual_seed(0))
    values = known.parameters(z)
    data = vectors(model.data, stand_in.arrays)
    np.testing.assert_allclose(model.coordinates(data, values), z, rtol=1e-6, atol=1e-4)
    stored = stand_in.arrays[model.draws]
    assert set(np.round(values[:, 0].numpy(), 6)) <= set(np.round(stored[:, 0], 6))
    assert known.data == "stand-in"


def test_both_forms_of_eight_schools_have_one_evidence(real: Dataset) -> None:
    forms = [problem(name, real) for name in ("eight_schools", "eight_schools_centred")]
    (first, second), errors = zip(*((p.log_evidence, p.log_evidence_error) for p in forms), strict=True)
    assert within(first - second, math.hypot(*errors))


def test_evidence_of_a_regression_in_closed_form(real: Dataset) -> None:
    """Of n rows, k predictors and the squared residuals S of least squares, flat in b and s:

    Z = (2 pi)^(-m / 2) |X^T X|^(-1/2) 1/2 (2 / S)^((m - 1) / 2) Gamma((m - 1) / 2), m = n - k.
    """
    height, male = (vector(real, f"earnings.{name}") for name in ("height", "male"))
    x, y = torch.stack([torch.ones_like(male), height, male, height * male], 1), vector(real, "earnings.earn")
    y = y.log()
    squares = (y - x @ torch.linalg.lstsq(x, y[:, None]).solution[:, 0]).square().sum()
    m = len(y) - x.shape[1]
    expected = -0.5 * m * math.log(2 * math.pi) - 0.5 * torch.linalg.slogdet(x.mT @ x).logabsdet
    expected = expected + math.lgamma((m - 1) / 2) + 0.5 * (m - 1) * (2 / squares).log() - math.log(2)
    known = problem("logearn", real)
    assert within(known.log_evidence - float(expected), known.log_evidence_error)


def values_of(name: str, data: Dataset) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The log-density, coordinates and parameters of ten draws."""
    known = problem(name, data)
    z = known.sample(10, torch.Generator().manual_seed(0))
    return known.log_density(z), z, known.parameters(z)


def vector(data: Dataset, name: str) -> torch.Tensor:
    return torch.from_numpy(data.arrays[name])


@pytest.mark.parametrize("name", ["eight_schools", "eight_schools_centred"])
def test_eight_schools(name: str, stand_in: Dataset) -> None:
    found, z, values = values_of(name, stand_in)
    effects, mu, tau = values[:, :8], values[:, 8], values[:, 9]
    y, sigma = (vector(stand_in, f"eight_schools.{part}") for part in ("y", "sigma"))
    expected = Normal(effects, sigma).log_prob(y).sum(1) + Normal(0, 5).log_prob(mu)
    expected = expected + HalfCauchy(5.0).log_prob(tau) + tau.log()
    if name == "eight_schools":
        expected = expected + Normal(0, 1).log_prob(z[:, :8]).sum(1)
    else:
        expected = expected + Normal(mu[:, None], tau[:, None]).log_prob(effects).sum(1)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)


def test_kidscore(stand_in: Dataset) -> None:
    found, _, values = values_of("kidscore", stand_in)
    score, hs, iq = (vector(stand_in, f"kidiq.{part}") for part in ("kid_score", "mom_hs", "mom_iq"))
    b, sigma = values[:, :4, None], values[:, 4:]
    mean = b[:, 0] + b[:, 1] * hs + b[:, 2] * iq + b[:, 3] * hs * iq
    expected = Normal(mean, sigma).log_prob(score).sum(1)
    expected = expected + (HalfCauchy(2.5).log_prob(sigma) + sigma.log())[:, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)


def test_mixture(stand_in: Dataset) -> None:
    found, z, values = values_of("low_dim_gauss_mix", stand_in)
    y = vector(stand_in, "low_dim_gauss_mix.y")
    mean, sigma, share = values[:, :2], values[:, 2:4], values[:, 4]
    parts = Normal(mean[:, None], sigma[:, None]).log_prob(y[:, None])
    log_share = torch.stack([share.log(), (1 - share).log()], 1)
    expected = (parts + log_share[:, None]).logsumexp(2).sum(1) + Normal(0, 2).log_prob(mean).sum(1)
    expected = expected + HalfNormal(2.0).log_prob(sigma).sum(1) + Beta(5.0, 5.0).log_prob(share)
    jacobian = z[:, 1] + sigma.log().sum(1) + (share * (1 - share)).log()
    np.testing.assert_allclose(found, expected + jacobian, rtol=1e-7, atol=1e-9)


def test_gaussian_process(stand_in: Dataset) -> None:
    """Of f itself, with the determinant of f = L u."""
    known = problem("gp_pois_regr", stand_in)
    z = torch.randn(10, known.dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = known.parameters(z)
    rho, alpha, f = values[:, 0], values[:, 1], values[:, 2:]
    x, k = vector(stand_in, "gp_pois_regr.x"), vector(stand_in, "gp_pois_regr.k")
    covariance = alpha[:, None, None] ** 2 * torch.exp(-(((x[:, None] - x) / rho[:, None, None]) ** 2) / 2)
    law = MultivariateNormal(torch.zeros(11).double(), covariance + 1e-10 * torch.eye(11).double())
    jacobian = law.scale_tril.diagonal(dim1=1, dim2=2).log().sum(1) + rho.log() + alpha.log()
    expected = law.log_prob(f) + Poisson(f.exp()).log_prob(k).sum(1)
    expected = expected + Gamma(25.0, 4.0).log_prob(rho) + HalfNormal(2.0).log_prob(alpha) + jacobian
    np.testing.assert_allclose(known.log_density(z), expected, rtol=1e-6, atol=1e-9)


def test_the_gaussian_process_is_defined_where_its_scale_is_large(stand_in: Dataset) -> None:
    known = problem("gp_pois_regr", stand_in)
    z = torch.zeros(1, known.dim, dtype=torch.float64)
    z[:, :2] = torch.tensor([5.0, 12.0])  # rho = 148, alpha = 163,000
    assert known.log_density(z).isfinite().all()
