"""On probabilistic PCA with orthogonal loadings, where p(x) and the factorised posterior are known."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from allowance import within
from elbogap.densities import isotropic_gaussian_log_density, standard_gaussian_log_density
from elbogap.evaluation.iw_svi import estimate
from elbogap.inference.families.gaussian import DiagonalGaussian
from elbogap.papers.implicit.experiments import vae_evaluate
from elbogap.papers.implicit.settings import VaeEvaluate

VARIANCE, PIXELS, LATENT, POINTS = 0.3, 6, 2, 30


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed))


LOADINGS = torch.linalg.qr(normal(PIXELS, LATENT, seed=1)).Q * torch.tensor([2.0, 0.7])
COVARIANCE = LOADINGS @ LOADINGS.T + VARIANCE * torch.eye(PIXELS, dtype=torch.float64)
MARGINAL = MultivariateNormal(torch.zeros(PIXELS, dtype=torch.float64), COVARIANCE)
X = normal(POINTS, PIXELS, seed=2) @ torch.linalg.cholesky(COVARIANCE).T
PRECISION = LOADINGS.square().sum(0) / VARIANCE + 1
MEAN = X @ LOADINGS / VARIANCE / PRECISION


def log_joint(z: Tensor) -> Tensor:
    return standard_gaussian_log_density(z) + isotropic_gaussian_log_density(X, z @ LOADINGS.T, VARIANCE)


SETTINGS = VaeEvaluate(
    burn_in=100, kept=400, widening=1.2, samples=1, own_samples=1, own_noises=1, rows=1, seed=0
)  # fmt: skip


def proposed(start: Tensor | None = None, **changes: float) -> DiagonalGaussian:
    settings = SETTINGS.model_copy(update=changes)
    first = torch.zeros(POINTS, LATENT, dtype=torch.float64) if start is None else start
    return vae_evaluate.proposal(settings, log_joint, first, generator(3))[0]


def test_it_has_the_posteriors_mean_and_its_widened_deviation() -> None:
    q = proposed(kept=1500)
    deviation = PRECISION.rsqrt()
    assert within(q.mean - MEAN, deviation, times=0.25)
    torch.testing.assert_close(
        q.log_variance.exp().sqrt().mean((0, 1)), 1.2 * deviation, rtol=0.02, atol=1e-12
    )
    assert q.mean.shape == q.log_variance.shape == (1, POINTS, LATENT)
    assert not q.mean.requires_grad


def test_the_estimate_is_near_the_likelihood() -> None:
    found = estimate(log_joint, proposed(), samples=4000, at_once=1000, generator=generator(4))
    torch.testing.assert_close(found, MARGINAL.log_prob(X), atol=0.05, rtol=0)


def test_the_estimate_is_below_the_likelihood_on_average_and_unbiased_before_its_logarithm() -> None:
    q = proposed()
    z = q.rsample({"normal": normal(20_000, POINTS, LATENT, seed=5)})
    log_weights = log_joint(z) - q.log_prob(z) - MARGINAL.log_prob(X)
    for samples in (1, 5):
        estimates = torch.logsumexp(log_weights.unflatten(0, (-1, samples)), 1) - math.log(samples)
        means = estimates.mean(1)
        assert means.mean() < -10 * means.std() / len(means) ** 0.5
    weights = log_weights.exp()
    assert within(weights.mean(0) - 1, weights.std(0) / len(weights) ** 0.5, times=5)


def test_it_depends_on_the_start_no_more_than_two_chains_differ() -> None:
    """From a hundred posterior deviations away, or from the posterior itself."""
    away, near = proposed(MEAN + 100 * PRECISION.rsqrt()), proposed(MEAN)
    assert within(away.mean - near.mean, PRECISION.rsqrt(), times=0.5)
    torch.testing.assert_close(away.log_variance, near.log_variance, atol=0.5, rtol=0)
    found = [estimate(log_joint, q, samples=4000, at_once=1000, generator=generator(6)) for q in (away, near)]
    torch.testing.assert_close(*found, atol=0.05, rtol=0)


def test_deviations_have_a_floor_and_are_then_widened(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, wide = proposed(kept=20, widening=1.0), proposed(kept=20, widening=3.0)
    torch.testing.assert_close(wide.log_variance, plain.log_variance + 2 * math.log(3))
    monkeypatch.setattr(vae_evaluate, "GAUSSIAN_FLOOR", 0.25)
    floored = proposed(kept=20, widening=3.0)
    expected = plain.log_variance.exp().sqrt().clamp(min=0.25) * 3
    torch.testing.assert_close(floored.log_variance.exp().sqrt(), expected)
    assert (expected == 0.75).any()
    assert (expected > 0.75).any()


@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
def test_leading_axes_are_kept_and_each_chain_is_its_own(lead: tuple[int, ...]) -> None:
    """A chain whose target is flat far away neither moves nor slows the others."""
    flat = torch.zeros((*lead, 1, POINTS), dtype=torch.float64)
    flat[..., 0] = 1

    def with_one_wide(z: Tensor) -> Tensor:
        return torch.where(flat == 1, -5e-3 * z.square().sum(-1), log_joint(z))

    start = MEAN.expand(*lead, POINTS, LATENT)
    alike, mixed = (
        vae_evaluate.proposal(SETTINGS, joint, start, generator(7))[0] for joint in (log_joint, with_one_wide)
    )
    assert mixed.mean.shape == mixed.log_variance.shape == (*lead, 1, POINTS, LATENT)
    torch.testing.assert_close(mixed.mean[..., 1:, :], alike.mean[..., 1:, :])
    torch.testing.assert_close(mixed.log_variance[..., 1:, :], alike.log_variance[..., 1:, :])
    assert not torch.allclose(mixed.mean[..., 0, :], alike.mean[..., 0, :])


@pytest.mark.parametrize("scale", [1.0, 0.05])
def test_chains_of_many_dimensions_find_their_step_size_whatever_the_scale(scale: float) -> None:
    """50 independent dimensions, as of the factorisation: chains must move, and not be refused throughout."""
    scales = scale * torch.linspace(0.3, 1.7, 50, dtype=torch.float64)

    def log_density(z: Tensor) -> Tensor:
        return -0.5 * (z / scales).square().sum(-1)

    settings = SETTINGS.model_copy(update={"kept": 300})
    start = torch.zeros(4, 50, dtype=torch.float64)
    q, acceptance = vae_evaluate.proposal(settings, log_density, start, generator(8))
    assert acceptance.shape == (1, 4)
    assert (acceptance > 0.7).all()
    found = (0.5 * q.log_variance).exp() / (1.2 * scales)
    assert found.mean().item() == pytest.approx(1, abs=0.1)
