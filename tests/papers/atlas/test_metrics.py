"""Scores against closed forms."""

import math

import pytest
import torch
from results import GaussianResult
from torch.distributions import MultivariateNormal, kl_divergence

from allowance import within
from elbogap.papers.atlas import metrics
from elbogap.papers.atlas.metrics import OnGrid
from elbogap.papers.atlas.problems.registry import problem

P = problem("gaussian_2")
EXACT = MultivariateNormal(torch.ones(2).double(), torch.tensor([[1.0, 0.9], [0.9, 1.0]]).double())
Q = GaussianResult(torch.tensor([1.2, 0.9]).double(), torch.diag(torch.tensor([0.5, 0.3]).double()))


def test_divergences_are_those_of_torch() -> None:
    q = MultivariateNormal(Q.mean, Q.covariance)
    on_grid = OnGrid.of(P, Q)
    assert on_grid is not None
    kl_q_p, kl_p_q = on_grid.divergences()
    assert kl_q_p == pytest.approx(float(kl_divergence(q, EXACT)), rel=1e-6)
    assert kl_p_q == pytest.approx(float(kl_divergence(EXACT, q)), rel=1e-4)


def test_q_iw_is_q_for_one_draw_and_better_for_more() -> None:
    on_grid = OnGrid.of(P, Q)
    assert on_grid is not None
    values = [on_grid.resampled(k) for k in (1, 2, 10, 1000)]
    assert values[0] == pytest.approx(on_grid.divergences()[0], rel=1e-6)
    assert values == sorted(values, reverse=True)
    assert 0 < values[-1] < 0.05 * values[0]


def test_two_draws_of_q_iw_by_a_double_sum() -> None:
    """q_IW(z) = 2 q(z) E w(z) / (w(z) + w(z')), z' ~ q."""
    on_grid = OnGrid.of(P, Q)
    assert on_grid is not None
    near = on_grid.log_q > -12
    log_q, log_w = on_grid.log_q[near], (on_grid.log_p - on_grid.log_q)[near]
    mass = log_q.exp() * on_grid.grid.cell
    fraction = torch.sigmoid(log_w[:, None] - log_w)
    iw = 2 * log_q.exp() * (fraction @ mass)
    kl = float((iw * (iw.log() - on_grid.log_p[near])).sum() * on_grid.grid.cell)
    assert on_grid.resampled(2) == pytest.approx(kl, abs=1e-4)


@pytest.mark.parametrize("mean", [0.0, 30.0])
def test_a_grid_that_misses_q_says_nothing(mean: float) -> None:
    """Too narrow for its spacing, or elsewhere."""
    narrow = GaussianResult(torch.full((2,), mean).double(), 1e-4 * torch.eye(2).double())
    assert OnGrid.of(P, narrow) is None


def test_moments_in_posterior_deviations() -> None:
    draws = Q.sample(100_000)
    found = metrics.moments(P, draws)
    error = math.sqrt(0.5 / len(draws))
    assert within(found["mean_bias"] - 0.2, error)
    assert within(found["sd_bias"] - (1 - math.sqrt(0.3)), error)
    assert within(found["log_sd_ratio"] - 0.25 * math.log(0.15), error)


def test_the_gap_is_the_divergence() -> None:
    draws = Q.sample(50_000)
    found = metrics.weights(P, Q, draws)
    exact = float(kl_divergence(MultivariateNormal(Q.mean, Q.covariance), EXACT))
    assert within(found["gap"] - exact, found["elbo_se"])
    assert found["elbo"] == pytest.approx(-found["gap"])


def test_the_answer_itself_has_equal_weights() -> None:
    found = metrics.weights(
        P, GaussianResult(EXACT.mean, EXACT.covariance_matrix), P.sample(500, torch.Generator())
    )
    assert found["gap"] == pytest.approx(0, abs=1e-6)
    assert found["relative_ess"] == pytest.approx(1)


def test_own_weights_are_taken_where_the_density_is_an_estimate() -> None:
    own = GaussianResult(Q.mean, Q.covariance)
    own.log_weights = torch.linspace(-4, -2, 100)
    own.log_prob_is_exact = False
    assert metrics.weights(P, own, Q.sample(10))["elbo"] == pytest.approx(-3)


def test_draws_of_the_answer_are_near_it_and_others_are_not() -> None:
    random = torch.Generator().manual_seed(1)
    same = metrics.distances(P, P.sample(2000, random), random)
    other = metrics.distances(P, Q.sample(2000), random)
    assert same["sliced_wasserstein"] < 0.1 < other["sliced_wasserstein"]
    assert same["mmd"] < 0.1 < other["mmd"]


def test_a_score_without_a_density_has_distances_and_moments_alone() -> None:
    class Draws:
        sample = staticmethod(Q.sample)

    found = metrics.score(P, Draws(), num_samples=500, ks=(2,), seed=0)
    missing = {name for name, value in found.items() if math.isnan(value)}
    assert missing == {"elbo", "elbo_se", "gap", "k_hat", "relative_ess", "kl_q_p", "kl_p_q", "kl_q_iw_2"}
