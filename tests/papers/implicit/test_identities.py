import numpy as np
import pandas as pd
import pytest
import torch

from allowance import within
from elbogap.papers.implicit.experiments import identities
from elbogap.papers.implicit.experiments.identities import Exact, Fixed
from elbogap.papers.implicit.settings import Identities
from elbogap.runtime import Run

SETTINGS = Identities(
    hidden=(6,),
    deviation=1.0,
    half_width=14.0,
    points=81,
    nodes=121,
    others=(0, 1, 5, 20),
    chain_lengths=(1, 10),
    burn_in=5,
    kept=5,
    leapfrog_steps=5,
    step_size=0.3,
    bound_draws=3000,
    gradient_draws=400,
    gradients=20,
    seed=0,
)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    return identities.run(SETTINGS, Run("test", scratch=tmp_path_factory.mktemp("scratch")))


@pytest.fixture(scope="module")
def exact() -> Exact:
    return exactly()


def exactly(**changes: float) -> Exact:
    settings = SETTINGS.model_copy(update=changes)
    return Exact(settings, Fixed(settings))


def test_quadrature_has_converged(exact: Exact) -> None:
    finer = exactly(points=161, nodes=301, half_width=16.0)
    assert exact.elbo == pytest.approx(finer.elbo, abs=1e-6)
    torch.testing.assert_close(exact.gradient, finer.gradient, rtol=0, atol=1e-6)


def test_the_exact_gradient_is_that_of_finite_differences(
    exact: Exact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In sigma, the last two parameters: both move together, so the derivative is the sum."""
    step = 1e-4

    def elbo(factor: float) -> float:
        return exactly(deviation=SETTINGS.deviation * factor).elbo

    slope = (elbo(np.exp(step)) - elbo(np.exp(-step))) / (2 * step)
    assert float(exact.gradient[-2:].sum()) == pytest.approx(slope, abs=1e-5)


def test_the_marginal_integrates_to_one_and_is_the_average_of_the_conditionals(exact: Exact) -> None:
    q = Fixed(SETTINGS).q.detach()
    axis = torch.linspace(-14, 14, 113, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis)[None]
    log_q = exact.log_marginal(q, z)
    assert float(log_q.exp().sum() * 0.25**2) == pytest.approx(1, abs=1e-6)
    e = torch.randn(1, 40_000, 1, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    some = q.mean(torch.tensor([[[-0.8], [0.0], [1.1]]], dtype=torch.float64))
    estimate = q.log_prob(some, {"more": e})
    torch.testing.assert_close(estimate, exact.log_marginal(q, some), rtol=0, atol=0.03)


def test_the_bound_rises_to_the_elbo(tables: dict[str, pd.DataFrame], exact: Exact) -> None:
    bound = tables["bound"]
    assert bound["samples"].tolist() == [0, 1, 5, 20]
    assert (bound["gap"].diff().dropna() < 0).all()
    assert (bound["gap"] > 0).all()
    np.testing.assert_allclose(bound["elbo"], exact.elbo, rtol=1e-12, atol=1e-12)
    assert bound["identity_z"].abs().max() < 4
    assert within(bound["elbo"] - bound["gap"] - bound["bound"], bound["bound_se"])


def test_chains_take_the_bias_away_and_noises_lessen_it(tables: dict[str, pd.DataFrame]) -> None:
    gradient = tables["gradient"].set_index(["estimator", "samples"])
    assert gradient.loc[("uivi_averaged", 10), "bias"] < gradient.loc[("sivi", 0), "bias"]
    assert gradient.loc[("uivi", 10), "bias_in_errors"] < 3
    assert gradient.loc[("sivi", 0), "bias_in_errors"] > 4
    assert gradient.loc[("sivi", 20), "bias"] < gradient.loc[("sivi", 1), "bias"]
    np.testing.assert_allclose(gradient["bias"] / gradient["bias_se"], gradient["bias_in_errors"], atol=1e-12)
    squares, noise = gradient["bias"] ** 2, gradient["bias_se"] ** 2
    np.testing.assert_allclose(gradient["bias_squared"], squares - noise, rtol=1e-9, atol=1e-12)
    assert gradient.loc[("sivi", 0), "bias_squared"] > 4 * gradient.loc[("sivi", 0), "bias_squared_se"]


def test_the_square_of_a_mean_is_estimated_without_bias_and_with_its_error() -> None:
    """By repetition, for means of length 0 and 1; the jackknife does not understate the error."""
    generator = torch.Generator().manual_seed(0)
    for mean, most in ((0.0, 2.0), (0.5, 1.1)):
        draws = mean + torch.randn(2000, 20, 4, dtype=torch.float64, generator=generator)
        found, errors = np.array([identities._square(draw) for draw in draws]).T
        assert within(found.mean() - 4 * mean**2, found.std() / len(found) ** 0.5)
        assert found.std() * 0.95 < np.sqrt(np.mean(errors**2)) < found.std() * most


def test_the_error_of_the_square_is_the_jackknife_s() -> None:
    draws = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    whole, error = identities._square(draws)
    pairs = [float(a @ b) for i, a in enumerate(draws) for j, b in enumerate(draws) if i != j]
    assert whole == pytest.approx(np.mean(pairs), rel=1e-12)
    without = [identities._square(torch.cat([draws[:i], draws[i + 1 :]]))[0] for i in range(6)]
    assert error == pytest.approx(np.sqrt(5 * np.var(without)), rel=1e-9)
