import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import distributions

from elbogap import densities

REAL = st.floats(-5, 5)


def tensor(values: list[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@given(st.lists(st.tuples(REAL, REAL, REAL), min_size=1, max_size=5))
@settings(deadline=None)
def test_gaussian_agrees_with_torch_distributions(rows: list[tuple[float, float, float]]) -> None:
    value, mean, log_variance = tensor([list(row) for row in rows]).T
    normal = distributions.Normal(mean, torch.exp(0.5 * log_variance))
    torch.testing.assert_close(
        densities.gaussian_log_density(value, mean, log_variance), normal.log_prob(value).sum()
    )
    standard = distributions.Normal(torch.zeros_like(mean), 1)
    torch.testing.assert_close(densities.standard_gaussian_log_density(value), standard.log_prob(value).sum())
    kl = distributions.kl_divergence(normal, standard).sum()
    torch.testing.assert_close(densities.gaussian_kl_to_standard(mean, log_variance), kl)


def test_isotropic_log_variance_counts_once_per_dimension() -> None:
    value, mean = tensor([0.3, -1.0, 2.0]), tensor([0.0, 0.5, 1.0])
    isotropic = densities.gaussian_log_density(value, mean, tensor([0.7]))
    torch.testing.assert_close(isotropic, densities.gaussian_log_density(value, mean, tensor([0.7] * 3)))
    by_variance = densities.isotropic_gaussian_log_density(value, mean, math.exp(0.7))
    torch.testing.assert_close(by_variance, isotropic)


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.floats(-30, 30)), min_size=1, max_size=5))
@settings(deadline=None)
def test_bernoulli_agrees_with_torch_distributions(rows: list[tuple[float, float]]) -> None:
    value, logits = tensor([list(row) for row in rows]).T
    expected = distributions.Bernoulli(logits=logits).log_prob(value).sum()
    torch.testing.assert_close(densities.bernoulli_log_likelihood(value, logits), expected)


def test_bernoulli_stays_finite_at_extreme_logits() -> None:
    assert densities.bernoulli_log_likelihood(
        tensor([0.0, 1.0]), tensor([1e6, -1e6])
    ).item() == pytest.approx(-2e6)


def test_bernoulli_gradient_is_value_minus_probability() -> None:
    logits = tensor([-2.0, 0.5, 3.0]).requires_grad_()
    value = tensor([1.0, 0.0, 1.0])
    densities.bernoulli_log_likelihood(value, logits).backward()
    torch.testing.assert_close(logits.grad, value - torch.sigmoid(logits.detach()))


def test_pairwise_densities_are_the_plain_ones_for_every_pair() -> None:
    generator = torch.Generator().manual_seed(0)
    value, mean = (torch.randn(2, rows, 3, dtype=torch.float64, generator=generator) for rows in (4, 5))
    gaussian = densities.gaussian_log_density(value[:, :, None], mean[:, None], tensor([math.log(0.3)]))
    torch.testing.assert_close(densities.pairwise_gaussian_log_density(value, mean, 0.3), gaussian)
    binary = (value > 0).double()
    bernoulli = densities.bernoulli_log_likelihood(binary[:, :, None], mean[:, None])
    torch.testing.assert_close(densities.pairwise_bernoulli_log_likelihood(binary, mean), bernoulli)


def test_pairwise_gaussian_does_not_cancel_in_single_precision() -> None:
    value, mean = torch.tensor([[1000.0, 1000.0]]), torch.tensor([[1000.0, 1000.125]])
    expected = -0.5 * (0.125**2 / 0.01 + 2 * math.log(2 * math.pi * 0.01))
    assert densities.pairwise_gaussian_log_density(value, mean, 0.01).item() == pytest.approx(
        expected, rel=1e-6
    )


def test_log_mean_exp_is_the_log_of_the_mean_and_never_overflows() -> None:
    values = tensor([[0.1, 0.2], [0.7, 0.4], [1.0, 3.0]])
    torch.testing.assert_close(densities.log_mean_exp(values.log(), 0), values.mean(0).log())
    torch.testing.assert_close(densities.log_mean_exp(values.log() + 1e4, 1), values.mean(1).log() + 1e4)


def test_categorical_kl_on_two_points() -> None:
    p, q = tensor([0.25, 0.75]), tensor([0.5, 0.5])
    expected = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    assert densities.categorical_kl(p.log(), q.log()).item() == pytest.approx(expected)
    assert densities.categorical_kl(tensor([1.0, 0.0]).log(), q.log()).item() == pytest.approx(math.log(2))
    assert densities.categorical_kl(q.log(), tensor([1.0, 0.0]).log()).item() == math.inf
    assert densities.categorical_kl(
        tensor([1.0, 0.0]).log(), tensor([1.0, 0.0]).log()
    ).item() == pytest.approx(0)


@given(st.lists(REAL, min_size=1, max_size=5))
@settings(deadline=None)
def test_bernoulli_kl_to_uniform_agrees_with_torch_distributions(logits: list[float]) -> None:
    found = densities.bernoulli_kl_to_uniform(tensor(logits))
    uniform = distributions.Bernoulli(torch.full((len(logits),), 0.5, dtype=torch.float64))
    kl = distributions.kl_divergence(distributions.Bernoulli(logits=tensor(logits)), uniform).sum()
    torch.testing.assert_close(found, kl, rtol=1e-7, atol=1e-12)


def test_certain_bits_are_one_bit_away_from_uniform() -> None:
    found = densities.bernoulli_kl_to_uniform(tensor([-800.0, 800.0]))
    torch.testing.assert_close(found, 2 * tensor([math.log(2)]).squeeze())
