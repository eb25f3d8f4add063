"""What is said to be known of each problem, against its log-density, other oracles and its own draws."""

import math
from functools import cache, partial

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from allowance import within
from elbogap.data import synthetic
from elbogap.densities import pairwise_gaussian_log_density
from elbogap.errors import UserError
from elbogap.evaluation import quadrature
from elbogap.papers.atlas.problems.base import Grid, Problem
from elbogap.papers.atlas.problems.mapa import DECODERS, OBSERVED
from elbogap.papers.atlas.problems.registry import MADE, POSTERIORS
from elbogap.papers.atlas.problems.registry import problem as make
from elbogap.papers.implicit.targets import largest_elbo

DRAWS = 20_000
WELL_TAILED = [name for name in MADE if not name.startswith("funnel")]  # whose squares have a variance


problem = cache(make)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def standard_errors(values: Tensor) -> tuple[Tensor, Tensor]:
    """Means over draws, and their standard errors."""
    return values.mean(0), values.std(0) / math.sqrt(len(values))


def score(known: Problem, z: Tensor) -> Tensor:
    """d log p~ / dz."""
    z = z.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(known.log_density(z).sum(), z)
    return gradient


def fulfils_steins_identities(known: Problem, z: Tensor) -> bool:
    """Whether draws have E d log p = 0 and E <z, d log p> = -D, as those of p do."""
    slope = score(known, z)
    mean, error = standard_errors(slope)
    radial, radial_error = standard_errors((z * slope).sum(1))
    return within(mean, error, times=4.5) and within(radial + known.dim, radial_error, times=4.5)


@pytest.mark.parametrize("name", MADE)
def test_draws_are_of_the_log_density(name: str) -> None:
    known = problem(name)
    z = known.sample(DRAWS, generator())
    assert z.shape == (DRAWS, known.dim)
    assert fulfils_steins_identities(known, z)


def test_draws_of_something_else_are_found_out() -> None:
    """Wider by a twentieth, or moved by a twentieth of a deviation."""
    known = problem("logistic")
    z = known.sample(DRAWS, generator())
    assert not fulfils_steins_identities(known, known.mean + 1.05 * (z - known.mean))
    assert not fulfils_steins_identities(known, z + 0.05 * known.sd)


@pytest.mark.parametrize("name", WELL_TAILED)
def test_moments_are_those_of_the_draws(name: str) -> None:
    known = problem(name)
    values = known.parameters(known.sample(DRAWS, generator()))
    mean, error = standard_errors(values)
    assert within(mean - known.mean, error, times=4.5)
    square, error = standard_errors((values - known.mean).square())
    assert within(square - known.sd**2, error, times=4.5)


@pytest.mark.parametrize("name", MADE)
def test_single_precision_and_leading_axes(name: str) -> None:
    known = problem(name)
    z = known.sample(6, generator()).view(2, 3, known.dim)
    found = known.log_density(z)
    assert found.shape == (2, 3)
    single = known.log_density(z.float())
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single.double(), found, rtol=2e-4, atol=2e-3)


def test_gaussians_are_those_of_torch() -> None:
    known = problem("gaussian_10")
    distance = (torch.arange(10.0)[:, None] - torch.arange(10.0)).abs().double()
    exact = MultivariateNormal(torch.ones(10).double(), 0.9**distance)
    z = exact.sample((5,))
    np.testing.assert_allclose(known.log_density(z), exact.log_prob(z), rtol=1e-10, atol=1e-9)


def test_the_posterior_of_ppca_is_the_joint_over_its_evidence() -> None:
    known = problem("ppca")
    z = known.sample(100, generator())
    others = problem("ppca").sample(DRAWS, generator())
    posterior = MultivariateNormal(known.mean, others.mT.cov())
    ratio = known.log_density(z) - posterior.log_prob(z)
    assert known.log_evidence == pytest.approx(float(ratio.mean()), abs=0.02)


def test_evidence_of_the_planar_targets() -> None:
    assert problem("eight_gaussians").log_evidence == pytest.approx(math.log(8), abs=1e-6)
    for name in ("banana", "x_shaped", "multimodal"):
        assert problem(name).log_evidence == pytest.approx(0, abs=1e-6), name


def test_moments_of_the_banana() -> None:
    """z_2 = x_2 - x_1^2 - 1 has mean -2 and variance 1 + Var x_1^2 = 3."""
    known = problem("banana")
    np.testing.assert_allclose(known.mean, [0, -2], atol=1e-5)
    np.testing.assert_allclose(known.sd, [1, math.sqrt(3)], rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("name", DECODERS)
def test_decoders_are_those_of_the_document(name: str) -> None:
    z = np.linspace(-3, 3, 201)
    found = DECODERS[name](torch.from_numpy(z)[:, None])
    np.testing.assert_allclose(found, synthetic.problem(name).decoder(z), atol=1e-12)


@pytest.mark.parametrize("name", DECODERS)
def test_evidence_of_mapa_is_that_of_adapted_quadrature(name: str) -> None:
    known = problem(name)
    likelihood = partial(pairwise_gaussian_log_density, variance=synthetic.problem(name).noise_variance)
    x = DECODERS[name](torch.tensor([[OBSERVED[name]]]).double())
    parts = DECODERS[name], likelihood, x
    exact = quadrature.log_evidence(*parts, quadrature.adapted_panels(*parts))
    assert known.log_evidence == pytest.approx(exact.item(), abs=1e-5)


def test_the_best_gaussians_of_a_gaussian() -> None:
    known = problem("gaussian_2")
    for correlated in (False, True):
        found = largest_elbo(known.log_density, [(0.0, 0.0)], correlated=correlated)
        assert known.best_gaussian(correlated) == pytest.approx(found, abs=1e-5)


def test_the_best_factorised_gaussian_of_the_funnel() -> None:
    """Its ELBO by sampling, and those of its neighbours."""
    known = problem("funnel_10")
    variance = 1 / (1 / 9 + 9 / 2)
    noise = torch.randn(DRAWS, 10, generator=generator(), dtype=torch.float64)
    noise = torch.cat([noise, -noise])

    def elbo(of_v: float, of_x: float) -> Tensor:
        scale = torch.tensor([of_v, *[of_x] * 9], dtype=torch.float64).sqrt()
        log_q = MultivariateNormal(torch.zeros(10).double(), torch.diag(scale**2)).log_prob(noise * scale)
        return known.log_density(noise * scale) - log_q

    best = elbo(variance, math.exp(-variance / 2))
    mean, error = standard_errors(best)
    assert within(mean - known.best_gaussian(False), error)
    for of_v, of_x in ((1.3, 1.0), (0.7, 1.0), (1.0, 1.3), (1.0, 0.7)):
        assert elbo(variance * of_v, of_x * math.exp(-variance / 2)).mean() < mean


@pytest.mark.parametrize("name", ["multimodal", "circle", "clusters"])
def test_no_gaussian_is_better_than_the_best(name: str) -> None:
    """The ELBO of a Gaussian with the moments of p, by quadrature on the problem's axes."""
    known = problem(name)
    grid = Grid.of(known.axes)
    log_q = MultivariateNormal(known.mean, torch.diag(known.sd**2)).log_prob(grid.nodes)
    elbo = float((log_q.exp() * (known.log_density(grid.nodes) - log_q)).sum() * grid.cell)
    assert known.best_gaussian(False) >= elbo
    assert known.best_gaussian(False) < known.log_evidence


def test_a_problem_that_there_is_not() -> None:
    with pytest.raises(UserError, match=r"no problem 'bananas'; there are: gaussian_2"):
        problem("bananas")
    with pytest.raises(UserError, match="problem 'kidscore' is one of posteriordb's"):
        problem("kidscore")
    assert not set(MADE) & set(POSTERIORS)
