"""Hamiltonian Monte Carlo as a reference, against exact moments; and where it must say that it is none."""

import math
from functools import partial

import pytest
import torch
from problems import COVARIANCE, MEAN, SCALE, correlated
from torch import Tensor
from torch.distributions import Gamma, constraints

from allowance import within
from elbogap.api import FitWarning, compare, comparison, hmc_reference
from elbogap.errors import UserError
from elbogap.inference.dual_averaging import DualAveraging, iterate


def test_a_badly_scaled_gaussian_has_its_moments() -> None:
    found = hmc_reference(correlated, 3, num_samples=500, burn_in=150)
    assert found.converged
    assert found.r_hat.max() <= 1.01
    z, ess = found.sample(), torch.from_numpy(found.ess_bulk)
    assert isinstance(z, Tensor)
    assert z.shape == (2000, 3)
    assert within((z.mean(0) - MEAN) / SCALE, ess.rsqrt())
    assert within(z.std(0) / SCALE - 1, (2 * ess).rsqrt() * 1.5)
    assert found.acceptance == pytest.approx(0.8, abs=0.1)
    assert list(found.summary().columns) == ["mean", "sd", "lower", "upper", "r_hat", "ess_bulk", "ess_tail"]


def test_draws_keep_their_support_and_names() -> None:
    exact = Gamma(torch.tensor(2.0), torch.tensor(3.0))
    found = hmc_reference(
        lambda p: exact.log_prob(p["rate"]),
        {"rate": ()},
        support={"rate": constraints.positive},
        num_samples=400,
        burn_in=90,
    )
    assert isinstance(found.draws, dict)
    assert found.draws["rate"].shape == (4, 400)
    rate, ess = found.sample()["rate"], found.ess_bulk.min()
    assert within(rate.mean() - exact.mean, float(exact.variance / ess) ** 0.5)


def test_chains_that_do_not_meet_say_so() -> None:
    def two_modes(z: Tensor) -> Tensor:
        return torch.logsumexp(
            torch.stack([-50 * (z - 4).square().sum(-1), -50 * (z + 4).square().sum(-1)]), 0
        )

    with pytest.warns(FitWarning, match=r"the chains have not converged: R-hat up to .* take more samples"):
        found = hmc_reference(two_modes, 1, num_samples=50, burn_in=30)
    assert not found.converged


def test_too_few_iterations_are_refused() -> None:
    with pytest.raises(UserError, match="2 chains, 4 samples"):
        hmc_reference(correlated, 3, num_samples=1)


def test_the_table_can_make_its_own_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "hmc_reference", partial(hmc_reference, num_samples=300, burn_in=60))
    table = compare(correlated, 3, ["full_rank"], reference="hmc", steps=200, progress=False)
    assert table["bias_mean"][0] < 0.1
    assert table["bias_sd"][0] < 0.1


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_dual_averaging_finds_the_step_of_its_acceptance_at_any_scale(scale: float) -> None:
    random, start = torch.Generator().manual_seed(0), torch.zeros(50, 5, dtype=torch.float64)
    rule = DualAveraging(0.5)

    def gaussian(z: Tensor) -> Tensor:
        return -0.5 * (z / scale).square().sum(-1)

    tuned = iterate(gaussian, start, 150, random, rule)
    kept = iterate(gaussian, tuned.last, 40, random, rule.average)
    assert float(kept.acceptance.mean()) == pytest.approx(rule.target, abs=0.06)


def test_dual_averaging_is_the_recursion_of_its_source() -> None:
    rule, shortfall, average = DualAveraging(0.3, 0.8), 0.0, 0.0
    for m, acceptance in enumerate([0.9, 0.2, 1.0, 0.6], 1):
        weight = 1 / (m + 10)
        shortfall = (1 - weight) * shortfall + weight * (0.8 - acceptance)
        log_step = math.log(10 * 0.3) - math.sqrt(m) / 0.05 * shortfall
        average = m**-0.75 * log_step + (1 - m**-0.75) * average
        assert rule.update(acceptance) == pytest.approx(math.exp(log_step), rel=1e-12)
    assert rule.average == pytest.approx(math.exp(average), rel=1e-12)


def test_chains_with_drawn_lengths_leave_a_distribution_as_it_is() -> None:
    random = torch.Generator().manual_seed(1)
    factor = torch.linalg.cholesky(COVARIANCE / SCALE / SCALE[:, None])
    precision = torch.cholesky_inverse(factor)
    start = torch.randn(4000, 3, generator=random, dtype=torch.float64) @ factor.T
    last = iterate(lambda z: -0.5 * ((z @ precision) * z).sum(-1), start, 3, random, 0.6).last
    assert (last != start).any()
    assert within(last.mean(0), last.std(0) / 4000**0.5)
    squares = last[:, :, None] * last[:, None]
    assert within(squares.mean(0) - factor @ factor.T, squares.std(0) / 4000**0.5)
    with pytest.raises(UserError, match="0 iterations"):
        iterate(lambda z: z.sum(-1), start, 0, random, 0.6)
