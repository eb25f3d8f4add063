"""q_IW of a bimodal one-dimensional target, against quadrature on a grid that serves as the truth."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, Normal

from allowance import within
from elbogap.inference import bounds, exact_importance, importance


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@dataclass(frozen=True)
class Problem:
    """log p(x, z) = log Z + log of a two-component mixture, q = N(0.5, 1.5^2), on a fine grid."""

    grid: Tensor
    step: float
    log_evidence: float
    log_q: Tensor
    log_weight: Tensor

    def draw(self, *shape: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        z = 0.5 + 1.5 * torch.randn(
            *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
        )
        log_q = Q.log_prob(z)
        return z, log_q, TARGET.log_prob(z) + self.log_evidence - log_q


Q = Normal(tensor(0.5).squeeze(), tensor(1.5).squeeze())
TARGET = MixtureSameFamily(Categorical(tensor(0.4, 0.6)), Normal(tensor(-1.0, 2.0), tensor(0.8, 0.6)))
BATCHES = 20_000


@pytest.fixture(scope="module")
def problem() -> Problem:
    grid = torch.linspace(-12, 13, 2501, dtype=torch.float64)
    log_evidence = 0.7
    log_q = Q.log_prob(grid)
    return Problem(grid, 0.01, log_evidence, log_q, TARGET.log_prob(grid) + log_evidence - log_q)


@pytest.fixture(scope="module")
def transform(problem: Problem) -> exact_importance.WeightTransform:
    return exact_importance.weight_transform(problem.log_q.exp(), problem.log_weight)


def elbo_of(problem: Problem, log_density: Tensor) -> Tensor:
    """int q' log(p / q') dz by quadrature, for each row of a density on the grid."""
    log_joint = problem.log_weight + problem.log_q
    return (log_density.exp() * (log_joint - log_density)).sum(-1) * problem.step


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 2**31))
def test_batch_conditional_is_the_joint_over_the_mean_weight(draws: int, points: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    log_q, log_w = torch.randn(2, 3, draws, points, dtype=torch.float64, generator=generator) * 5
    value = importance.log_batch_conditional(log_q, log_w)
    expected = (log_q + log_w) - bounds.iwae(log_w).unsqueeze(-2)
    torch.testing.assert_close(value, expected)
    for i in range(draws):  # at a draw of the batch, "the others" are the rest of the batch
        others = torch.cat([log_w[:, :i], log_w[:, i + 1 :]], dim=1)
        at_draw = importance.log_conditional(log_q[:, i], log_w[:, i], others)
        torch.testing.assert_close(at_draw, expected[:, i], rtol=1e-10, atol=1e-10)


def test_one_draw_gives_q(problem: Problem, transform: exact_importance.WeightTransform) -> None:
    nobody = torch.empty(0, 1, dtype=torch.float64)
    assert torch.equal(importance.log_conditional(problem.log_q, problem.log_weight, nobody), problem.log_q)
    marginal = importance.log_marginal(problem.log_q, problem.log_weight, nobody.expand(3, 0, 1))
    torch.testing.assert_close(marginal, problem.log_q)
    exact = exact_importance.log_marginal(transform, problem.log_q, problem.log_weight, 1)
    torch.testing.assert_close(exact, problem.log_q, rtol=1e-9, atol=1e-9)


def test_bound_of_one_draw_is_the_elbo(problem: Problem, transform: exact_importance.WeightTransform) -> None:
    elbo = (problem.log_q.exp() * problem.log_weight).sum() * problem.step
    torch.testing.assert_close(exact_importance.iwae(transform, 1), elbo, rtol=1e-9, atol=1e-9)


def test_two_draws_against_the_double_integral(
    problem: Problem, transform: exact_importance.WeightTransform
) -> None:
    q, w = problem.log_q.exp() * problem.step, problem.log_weight.exp()
    density = 2 * problem.log_q.exp() * w * ((q / (w[:, None] + w)).sum(-1))
    exact = exact_importance.log_marginal(transform, problem.log_q, problem.log_weight, 2).exp()
    torch.testing.assert_close(exact, density, rtol=1e-8, atol=1e-12)
    bound = q @ ((w[:, None] + w) / 2).log() @ q
    torch.testing.assert_close(exact_importance.iwae(transform, 2), bound, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("k", [1, 2, 5, 10, 100])
def test_exact_bound_is_the_mean_of_the_estimator(
    problem: Problem, transform: exact_importance.WeightTransform, k: int
) -> None:
    _, _, log_w = problem.draw(k, 50_000, seed=2)
    estimates = bounds.iwae(log_w)
    error = estimates.std() / math.sqrt(len(estimates))
    assert within(estimates.mean() - exact_importance.iwae(transform, k), error)


@pytest.mark.parametrize("k", [2, 5, 10])
def test_identity_holds_for_the_batch_conditional(
    problem: Problem, transform: exact_importance.WeightTransform, k: int
) -> None:
    """E over z_2..z_k of L_VAE[q_IW(. | z_2..z_k)] = L_IWAE[q], Cremer et al. 2017."""
    coarse = slice(None, None, 10)  # spacing 0.1 of standard deviations 0.6: exact to 1e-9
    _, _, log_others = problem.draw(BATCHES, k - 1, 1, seed=k)
    conditional = importance.log_conditional(problem.log_q[coarse], problem.log_weight[coarse], log_others)
    log_joint = (problem.log_weight + problem.log_q)[coarse]
    values = (conditional.exp() * (log_joint - conditional)).sum(-1) * problem.step * 10
    error = values.std() / math.sqrt(BATCHES)
    assert error < 0.01
    assert within(values.mean() - exact_importance.iwae(transform, k), error)


@pytest.mark.parametrize("k", [2, 5, 10, 100])
def test_marginal_is_normalised_and_has_the_larger_bound(
    problem: Problem, transform: exact_importance.WeightTransform, k: int
) -> None:
    log_density = exact_importance.log_marginal(transform, problem.log_q, problem.log_weight, k)
    assert float(log_density.exp().sum() * problem.step) == pytest.approx(1, abs=1e-8)
    elbo, iwae = elbo_of(problem, log_density), exact_importance.iwae(transform, k)
    assert iwae + 1e-3 < elbo < problem.log_evidence
    # KL(q_IW || p) = log Z - L_VAE[q_IW]
    log_posterior = problem.log_weight + problem.log_q - problem.log_evidence
    kl = (log_density.exp() * (log_density - log_posterior)).sum() * problem.step
    assert float(kl) == pytest.approx(float(problem.log_evidence - elbo), abs=1e-8)


def test_bounds_rise_with_k_towards_the_evidence(
    problem: Problem, transform: exact_importance.WeightTransform
) -> None:
    ks = [1, 2, 3, 5, 10, 30, 100, 1000]
    iwae = torch.stack([exact_importance.iwae(transform, k) for k in ks])
    elbo = torch.stack(
        [
            elbo_of(problem, exact_importance.log_marginal(transform, problem.log_q, problem.log_weight, k))
            for k in ks
        ]
    )
    assert (iwae.diff() > 0).all()
    assert (elbo.diff() > 0).all()
    assert problem.log_evidence - elbo[-1] < problem.log_evidence - iwae[-1] < 1e-2


@pytest.mark.parametrize("k", [2, 5, 10])
def test_estimated_marginal_converges_to_the_exact_one(
    problem: Problem, transform: exact_importance.WeightTransform, k: int
) -> None:
    points = slice(
        950, 1551, 25
    )  # z in [-2.5, 3.5]; further out the estimator's errors are far from Gaussian
    log_q, log_w = problem.log_q[points], problem.log_weight[points]
    _, _, log_others = problem.draw(BATCHES, k - 1, 1, seed=10 + k)
    conditional = importance.log_conditional(log_q, log_w, log_others).exp()
    estimate = importance.log_marginal(log_q, log_w, log_others).exp()
    torch.testing.assert_close(estimate, conditional.mean(0))
    error = conditional.std(0) / math.sqrt(BATCHES)
    exact = exact_importance.log_marginal(transform, log_q, log_w, k).exp()
    # 25 correlated points: 5 standard errors have a probability below 2e-5
    assert ((estimate - exact).abs() < 5 * error + 1e-12).all()


@pytest.mark.parametrize(("k", "mass"), [(2, 0.667), (5, 0.833), (10, 0.909), (100, 0.990)])
def test_authors_estimator_has_mass_k_over_k_plus_1(problem: Problem, k: int, mass: float) -> None:
    """Their code draws k others and divides w(z) + sum of k others by k; integrate just that."""
    log_w = problem.log_weight[::10]
    log_joint = log_w + problem.log_q[::10]
    _, _, log_others = problem.draw(4000, k, 1, seed=20 + k)
    theirs = log_joint.exp() / ((log_w.exp() + log_others.exp().sum(1)) / k)
    masses = theirs.sum(-1) * problem.step * 10
    error = float(masses.std() / math.sqrt(len(masses)))
    assert float(masses.mean()) == pytest.approx(mass, abs=4 * error + 1e-3)
    ours = importance.log_conditional(problem.log_q[::10], log_w, log_others).exp()
    torch.testing.assert_close(theirs, ours * k / (k + 1))


@pytest.mark.parametrize("k", [1, 2, 5, 20])
def test_resampled_draws_have_the_marginal_density(
    problem: Problem, transform: exact_importance.WeightTransform, k: int
) -> None:
    """Chi-square test of algorithm 1 against the exact marginal q_IW; p below 1e-4 is a failure."""
    z, _, log_w = problem.draw(k, 40_000, seed=30 + k)
    kept = importance.resample(z.unsqueeze(-1), log_w, torch.Generator().manual_seed(k)).squeeze(-1)
    assert _goodness_of_fit(problem, transform, kept, k) > 1e-4
    if k > 1:  # the test has power: draws of q are refused
        assert _goodness_of_fit(problem, transform, z[0], k) < 1e-6


def _goodness_of_fit(
    problem: Problem, transform: exact_importance.WeightTransform, draws: Tensor, k: int
) -> float:
    density = exact_importance.log_marginal(transform, problem.log_q, problem.log_weight, k).exp()
    cumulative = torch.cumulative_trapezoid(density, dx=problem.step)
    probability = np.interp(draws, problem.grid[1:], cumulative)
    counts, _ = np.histogram(probability, bins=50, range=(0, 1))
    return float(stats.chisquare(counts).pvalue)


def test_resampling_follows_the_weights_for_every_leading_axis() -> None:
    """Two data points and two members with their own weights; exact binomial test of each share."""
    log_w = torch.tensor([[[0.0, 1.0], [1.0, -2.0]], [[3.0, 0.0], [0.0, 0.0]]], dtype=torch.float64)
    draws = torch.arange(2.0, dtype=torch.float64)[:, None, None].expand(2, 2, 1)
    generator = torch.Generator().manual_seed(5)
    n = 20_000
    kept = importance.resample(draws.expand(n, 2, 2, 2, 1), log_w.expand(n, 2, 2, 2), generator)
    assert kept.shape == (n, 2, 2, 1)
    share = bounds.normalised_weights(log_w)[:, 1]
    for member in range(2):
        for point in range(2):
            count = int(kept[:, member, point, 0].sum())
            assert stats.binomtest(count, n, float(share[member, point])).pvalue > 1e-4


def test_exact_bound_is_differentiable(problem: Problem) -> None:
    """d L_IWAE / d mean of q by autograd through the transform, against a central difference."""

    def bound(mean: Tensor) -> Tensor:
        log_q = Normal(mean, 1.5).log_prob(problem.grid)
        log_w = TARGET.log_prob(problem.grid) - log_q
        return exact_importance.iwae(exact_importance.weight_transform(log_q.exp(), log_w), 5)

    mean = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(bound(mean), mean)
    difference = (bound(mean.detach() + 1e-5) - bound(mean.detach() - 1e-5)) / 2e-5
    torch.testing.assert_close(gradient, difference, rtol=1e-6, atol=1e-8)
