import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from elbogap.papers.qiw.experiments import posterior_2d
from elbogap.papers.qiw.settings import Posterior2D
from elbogap.runtime import Run

SETTINGS = Posterior2D(
    ks=(1, 2, 10, 100),
    figure_half_width=6.0,
    figure_points=31,
    half_width=10.0,
    points=51,
    batches=200,
    batch_seeds=3,
    seed=0,
)


@pytest.fixture(scope="module")
def result() -> dict[str, pd.DataFrame]:
    return posterior_2d.run(SETTINGS, Run("smoke"))


def test_target_is_the_sum_of_eight_gaussians() -> None:
    z = np.random.default_rng(0).normal(scale=3, size=(20, 2))
    expected = sum(
        stats.multivariate_normal(centre, math.exp(log_variance) * np.eye(2)).pdf(z)
        for centre, log_variance in zip(posterior_2d.CENTRES, posterior_2d.LOG_VARIANCES, strict=True)
    )
    np.testing.assert_allclose(
        posterior_2d.log_joint(torch.from_numpy(z)).exp(), expected, rtol=1e-12, atol=1e-12
    )
    proposal = stats.multivariate_normal([0, 0], math.e * np.eye(2)).pdf(z)
    np.testing.assert_allclose(
        posterior_2d.Q.log_prob(torch.from_numpy(z)).exp(), proposal, rtol=1e-12, atol=1e-12
    )


def test_grid_is_fine_and_wide_enough() -> None:
    """The integrals do not change by 1e-6 nats on a finer and wider grid."""
    coarse = _bounds(SETTINGS.points, SETTINGS.half_width)
    fine = _bounds(121, 12.0)
    np.testing.assert_allclose(coarse, fine, atol=1e-6)


def _bounds(points: int, half_width: float) -> list[float]:
    grid = posterior_2d.Grid.of(points, half_width)
    transform = posterior_2d.exact_importance.weight_transform(grid.log_q.exp() * grid.cell, grid.log_w)
    return [value for k in SETTINGS.ks for value in posterior_2d._exact(grid, transform, k).values()]


def test_table_shows_the_identity_and_its_limits(result: dict[str, pd.DataFrame]) -> None:
    bounds = result["bounds"].set_index("k")
    assert (bounds["identity_z"].abs() < 4).all()
    assert (bounds["mass_z"].abs() < 4).all()
    assert (bounds["l_vae_conditional_se"].drop(1) < 0.05).all()
    assert bounds.loc[1, "l_vae_marginal"] == pytest.approx(bounds.loc[1, "l_iwae"], abs=1e-6)
    assert (bounds["l_vae_marginal"] - bounds["l_iwae"]).drop(1).gt(0.005).all()
    assert bounds["kl_q_iw_to_p"].is_monotonic_decreasing
    np.testing.assert_allclose(bounds["l_vae_marginal_mc"], bounds["l_vae_marginal"], atol=0.02)
    # E_q log w in closed form is out of reach, but L_VAE[q] = log Z - KL(q || p) must hold
    assert bounds.loc[1, "l_iwae"] + bounds.loc[1, "kl_q_iw_to_p"] == pytest.approx(math.log(8), abs=1e-6)


def test_density_of_the_figure(result: dict[str, pd.DataFrame]) -> None:
    density = result["density"]
    cell = (density["axis"][1] - density["axis"][0]) ** 2
    assert density["q_iw"].shape == (4, 31, 31)
    np.testing.assert_allclose(density["q_iw"].sum((1, 2)) * cell, 1, atol=0.01)
    distance = np.abs(density["q_iw"] - density["target"]).sum((1, 2)) * cell
    assert (np.diff(distance) < 0).all()
    np.testing.assert_allclose(density["q_iw"][0], density["q_iw"][0].T, atol=1e-12)  # round at k = 1


def test_same_settings_give_the_same_bits(result: dict[str, pd.DataFrame]) -> None:
    again = posterior_2d.run(SETTINGS, Run("smoke"))
    pd.testing.assert_frame_equal(result["bounds"], again["bounds"], check_exact=True)
