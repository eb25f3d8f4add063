"""Density ratios where the expectations are exact.

Discrete distributions with rational probabilities are sampled without error, each atom as often as it is
likely. For Gaussians z = m + s e and integrands of second degree, e = -1 and e = 1 are exact.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from elbogap.densities import gaussian_kl_to_standard, gaussian_log_density, standard_gaussian_log_density
from elbogap.inference.families.base import LogJoint
from elbogap.inference.families.gaussian import DiagonalGaussian
from elbogap.inference.families.semi_implicit import Implicit
from elbogap.inference.objectives.adversarial import Classification, DensityRatio, discriminator_objective
from elbogap.inference.objectives.base import StandardNormalPrior
from elbogap.nn.mlp import MLP

COUNTS = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=2, max_size=5)
SEEDS = st.integers(0, 2**31)
X, SCALE = 0.7, 0.4
ENDS = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def atoms(counts: list[tuple[int, int]]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """log q - log p at every draw of q and of p, and the probabilities of the atoms."""
    n = torch.tensor(counts)
    q, p = (n / n.sum(0)).double().unbind(1)
    log_ratio = q.log() - p.log()
    return log_ratio.repeat_interleave(n[:, 0]), log_ratio.repeat_interleave(n[:, 1]), q, p


def log_likelihood(z: Tensor) -> Tensor:
    """x ~ N(sum_d z_d, SCALE^2)."""
    return Normal(z.sum(-1), SCALE).log_prob(torch.tensor(X, dtype=z.dtype))


def log_ratio_of(mean: Tensor, log_scale: Tensor) -> LogJoint:
    """log N(z; m, s^2) - log N(z; 0, I)."""
    return lambda z: gaussian_log_density(z, mean, 2 * log_scale) - standard_gaussian_log_density(z)


def elbo_at(z: Tensor, likelihood: LogJoint, discriminator: LogJoint) -> Tensor:
    """The mean bound of draws `[..., S, D]`."""
    q, model = Implicit(lambda e: e, z.shape[-1]), StandardNormalPrior(likelihood)
    return DensityRatio(discriminator).estimate(q, model, {"normal": z}).mean()


# The discriminator's objective


@settings(deadline=None)
@given(COUNTS)
def test_the_objective_of_the_best_discriminator_is_the_jensen_shannon_divergence(
    counts: list[tuple[int, int]],
) -> None:
    at_q, at_p, q, p = atoms(counts)
    middle = (q + p) / 2
    twice_jsd = (q * (q / middle).log()).sum() + (p * (p / middle).log()).sum()
    torch.testing.assert_close(discriminator_objective(at_q, at_p), twice_jsd - 2 * math.log(2))


@settings(deadline=None)
@given(COUNTS, SEEDS)
def test_no_other_discriminator_does_better(counts: list[tuple[int, int]], seed: int) -> None:
    n = torch.tensor(counts)
    at_q, at_p, *_ = atoms(counts)
    other = 0.3 * draw(seed, len(counts))
    worse = discriminator_objective(
        at_q + other.repeat_interleave(n[:, 0]), at_p + other.repeat_interleave(n[:, 1])
    )
    assert worse < discriminator_objective(at_q, at_p)


def test_the_objective_stays_finite_where_the_discriminator_is_certain() -> None:
    sure = torch.tensor([1e4], dtype=torch.float64)
    assert float(discriminator_objective(sure, -sure)) == pytest.approx(0)
    assert float(discriminator_objective(-sure, sure)) == pytest.approx(-2e4)


def test_the_objective_of_draws_trains_the_discriminator_alone() -> None:
    discriminator = MLP(2, [1, 4, 1], "tanh", torch.Generator().manual_seed(0), dtype=torch.float64)
    mean = draw(1, 2, 1, 1).requires_grad_()
    noise = {"normal": draw(2, 2, 5, 1), "prior": draw(3, 2, 5, 1)}
    objective = Classification(lambda z: discriminator(z).squeeze(-1), 1)
    q = DiagonalGaussian(mean, torch.zeros_like(mean))
    value = objective.estimate(q, log_likelihood, noise).mean()
    at_q, at_p = (discriminator(z).squeeze(-1) for z in (mean + noise["normal"], noise["prior"]))
    expected = discriminator_objective(at_q, at_p)
    torch.testing.assert_close(value, expected)
    parameters = list(discriminator.parameters())
    slopes = [torch.autograd.grad(one.sum(), parameters, retain_graph=True) for one in (value, expected)]
    for ours, theirs in zip(*slopes, strict=True):
        torch.testing.assert_close(ours, theirs)
    value.sum().backward()
    assert mean.grad is None


# The bound


@settings(deadline=None)
@given(SEEDS)
def test_with_the_true_ratio_the_bound_and_its_gradient_are_those_of_the_elbo(seed: int) -> None:
    mean, log_scale = (0.5 * draw(seed + i, 1).requires_grad_() for i in range(2))
    leaves = [mean, log_scale]
    objective = DensityRatio(log_ratio_of(mean, log_scale))
    q = DiagonalGaussian(mean, 2 * log_scale)
    bound = objective.estimate(q, StandardNormalPrior(log_likelihood), {"normal": ENDS}).mean()
    expected = log_likelihood(mean) - 0.5 * (2 * log_scale).exp().sum() / SCALE**2
    elbo = expected - gaussian_kl_to_standard(mean, 2 * log_scale)
    torch.testing.assert_close(bound, elbo)
    found, right = (torch.autograd.grad(value, leaves) for value in (bound, elbo))
    torch.testing.assert_close(found, right)


def test_a_wrong_ratio_moves_bound_and_gradient_by_its_error() -> None:
    mean = draw(0, 1).requires_grad_()
    right = log_ratio_of(mean, torch.zeros(1, dtype=torch.float64))
    true, shifted = (
        elbo_at(mean + ENDS, log_likelihood, ratio)
        for ratio in (right, lambda z: right(z) + 0.1 + 0.2 * z.sum(-1))
    )
    torch.testing.assert_close(true - shifted, 0.1 + 0.2 * mean[0])
    slopes = [torch.autograd.grad(value, mean)[0] for value in (true, shifted)]
    torch.testing.assert_close(slopes[0] - slopes[1], torch.full((1,), 0.2, dtype=torch.float64))


def test_the_discriminator_gets_no_gradient_and_the_likelihood_does() -> None:
    discriminator = MLP(1, [2, 4, 1], "tanh", torch.Generator().manual_seed(0), dtype=torch.float64)
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    z = draw(0, 1, 5, 2).requires_grad_()
    value = elbo_at(z, lambda z: scale * z.sum(-1), lambda z: discriminator(z).squeeze(-1))
    value.sum().backward()
    assert all(one.grad is None for one in discriminator.parameters())
    torch.testing.assert_close(scale.grad, z.detach().sum(-1).mean())
    free = z.detach().requires_grad_()
    plain = (free.sum(-1) - discriminator(free).squeeze(-1)).mean(-1)
    (slope,) = torch.autograd.grad(plain.sum(), free)
    torch.testing.assert_close(z.grad, slope)


def test_draws_without_gradient_have_the_same_value() -> None:
    z = draw(1, 3, 6, 2)
    plain, differentiable = (
        elbo_at(one, log_likelihood, lambda z: z.sin().sum(-1)) for one in (z, z.clone().requires_grad_())
    )
    assert torch.equal(plain, differentiable.detach())
    assert not plain.requires_grad


def test_leading_axes_are_independent_problems() -> None:
    z, at_q, at_p = draw(2, 3, 4, 6, 2), draw(3, 3, 4, 5), draw(4, 3, 4, 7)
    bounds = elbo_at(z, log_likelihood, lambda z: z.cos().sum(-1))
    objectives = discriminator_objective(at_q, at_p)
    assert bounds.shape == objectives.shape == (3, 4)
    alone = elbo_at(z[1, 2], log_likelihood, lambda z: z.cos().sum(-1))
    torch.testing.assert_close(bounds[1, 2], alone)
    torch.testing.assert_close(objectives[1, 2], discriminator_objective(at_q[1, 2], at_p[1, 2]))


# A discriminator that is trained


def quadratic(z: Tensor) -> Tensor:
    """The features in which the log ratio of two Gaussians is linear."""
    return torch.stack([torch.ones_like(z), z, z**2], -1)


def estimated_kl(q: Normal, p: Normal, points: int) -> float:
    """E_q[T] of the logistic regression on features of second degree, at equally likely quantiles."""
    levels = (torch.arange(points, dtype=torch.float64) + 0.5) / points
    at_q, at_p = (quadratic(one.icdf(levels)) for one in (q, p))
    weights = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS(
        [weights], max_iter=500, tolerance_grad=1e-12, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        search.zero_grad()
        loss = -discriminator_objective(at_q @ weights, at_p @ weights)
        loss.backward()
        return loss

    search.step(closure)
    return float((at_q @ weights).mean().detach())


@pytest.mark.parametrize(("mean", "deviation"), [(0.8, 0.6), (-1.5, 1.0), (0.0, 1.7)])
def test_a_trained_discriminator_estimates_the_divergence_of_gaussians(mean: float, deviation: float) -> None:
    numbers = (torch.tensor(value, dtype=torch.float64) for value in (mean, deviation, 0.0, 1.0))
    m, s, zero, one = numbers
    q, p = Normal(m, s), Normal(zero, one)
    exact = float(kl_divergence(q, p))
    errors = [abs(estimated_kl(q, p, points) - exact) for points in (100, 1000, 10000)]
    assert errors[2] < errors[1] < errors[0]
    assert errors[2] < 3e-3 * exact
