"""On probabilistic PCA, x = W z + sigma e, where log p(x) and p(z|x) are known."""

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from elbogap.densities import isotropic_gaussian_log_density, standard_gaussian_log_density
from elbogap.evaluation.iw_svi import estimate, fit
from elbogap.inference.families.base import LogJoint
from elbogap.inference.families.gaussian import DiagonalGaussian

VARIANCE, PIXELS, LATENT, POINTS = 0.3, 6, 2, 40


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def loadings(orthogonal: bool) -> Tensor:
    w = torch.randn(PIXELS, LATENT, dtype=torch.float64, generator=generator(1))
    return torch.linalg.qr(w).Q * torch.tensor([2.0, 0.7], dtype=torch.float64) if orthogonal else w


def model(w: Tensor) -> tuple[Tensor, Tensor, LogJoint]:
    """Observations, their log p(x), and log p(x, z)."""
    covariance = w @ w.T + VARIANCE * torch.eye(PIXELS, dtype=torch.float64)
    marginal = MultivariateNormal(torch.zeros(PIXELS, dtype=torch.float64), covariance)
    noise = torch.randn(POINTS, PIXELS, dtype=torch.float64, generator=generator(2))
    x = noise @ torch.linalg.cholesky(covariance).T

    def log_joint(z: Tensor) -> Tensor:
        return standard_gaussian_log_density(z) + isotropic_gaussian_log_density(x, z @ w.T, VARIANCE)

    return x, marginal.log_prob(x), log_joint


def prior() -> DiagonalGaussian:
    zeros = torch.zeros(1, POINTS, LATENT, dtype=torch.float64)
    return DiagonalGaussian(zeros, zeros)


def test_the_fit_finds_a_posterior_that_is_in_the_family_and_the_estimate_is_then_exact() -> None:
    w = loadings(orthogonal=True)
    x, log_p, log_joint = model(w)
    q = fit(log_joint, prior(), samples=8, steps=2000, learning_rate=0.05, generator=generator())
    precision = w.square().sum(0) / VARIANCE + 1
    torch.testing.assert_close(q.mean[0], x @ w / VARIANCE / precision, atol=5e-3, rtol=0)
    torch.testing.assert_close(q.log_variance, -precision.log().expand_as(q.log_variance), atol=2e-2, rtol=0)
    found = estimate(log_joint, q, samples=200, at_once=64, generator=generator(3))
    torch.testing.assert_close(found, log_p, atol=1e-3, rtol=0)


def test_elsewhere_it_is_near_the_likelihood_and_above_what_it_started_from() -> None:
    _, log_p, log_joint = model(loadings(orthogonal=False))
    q = fit(log_joint, prior(), samples=8, steps=400, learning_rate=0.05, generator=generator())

    def estimated(of: DiagonalGaussian, samples: int) -> Tensor:
        return estimate(log_joint, of, samples=samples, at_once=500, generator=generator(4))

    assert (estimated(q, 50) - estimated(prior(), 50)).mean() > 0.05
    assert (estimated(q, 5000) - estimated(prior(), 5000)).min() > -0.15  # Monte-Carlo error of the start's
    assert (estimated(q, 5000) - log_p).abs().max() < 0.05
    assert (log_p - estimated(q, 1)).mean() > 5 * (log_p - estimated(q, 50)).mean().abs()


def test_no_step_gives_the_start_and_members_do_not_mix() -> None:
    _, _, log_joint = model(loadings(orthogonal=False))
    start = prior()
    same = fit(log_joint, start, samples=2, steps=0, learning_rate=0.1, generator=generator())
    assert torch.equal(same.mean, start.mean)
    two = DiagonalGaussian(
        start.mean.expand(2, 1, -1, -1), torch.stack([start.log_variance, start.log_variance - 1])
    )
    moved = fit(log_joint, two, samples=4, steps=20, learning_rate=0.1, generator=generator())
    assert moved.mean.shape == (2, 1, POINTS, LATENT)
    assert not torch.equal(moved.log_variance[0], moved.log_variance[1])
    scaled = fit(
        lambda z: log_joint(z) * torch.tensor([1.0, 0.0]).view(2, 1, 1), two,
        samples=4, steps=20, learning_rate=0.1, generator=generator(),
    )  # fmt: skip
    assert torch.equal(scaled.mean[0], moved.mean[0])
    assert not torch.equal(scaled.mean[1], moved.mean[1])


@pytest.mark.parametrize("at_once", [1, 7, 100])
def test_with_the_posterior_itself_any_blocks_of_draws_give_the_likelihood(at_once: int) -> None:
    w = loadings(orthogonal=True)
    x, log_p, log_joint = model(w)
    precision = w.square().sum(0) / VARIANCE + 1
    mean = (x @ w / VARIANCE / precision)[None]
    posterior = DiagonalGaussian(mean, -precision.log().expand_as(mean))
    found = estimate(log_joint, posterior, samples=32, at_once=at_once, generator=generator())
    torch.testing.assert_close(found, log_p)
