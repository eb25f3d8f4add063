"""The game and the finite sample, where closed forms or quadrature say what they must give."""

import math
import time
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm

from elbogap.errors import OutOfTime
from elbogap.nn.mlp import MLP
from elbogap.papers.implicit.experiments import density_ratio
from elbogap.papers.implicit.game import Game, best_gaussian, posterior
from elbogap.papers.implicit.settings import AdversarialGame, DensityRatio, FiniteSample
from elbogap.runtime import Run
from elbogap.training import Work

GAME = AdversarialGame(
    observation=1.5, deviation=0.5, noise=2, hidden=(8,), discriminator_steps=(1, 4), batch=32,
    learning_rate=0.01, rounds=3, round_steps=2, draws=500, cell=0.2, shown=7,
    grid=81, half_width=5.0, seeds=2,
)  # fmt: skip
FINITE = FiniteSample(
    dimensions=(1, 30), divergence=1.0, points=60, held_out=2000, hidden=(16,), batch=20, epochs=40,
    learning_rate=0.01, seeds=2,
)  # fmt: skip
SETTINGS = DensityRatio(game=GAME, finite_sample=FINITE, seed=0)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    return density_ratio.run(SETTINGS, Run("test", scratch=tmp_path_factory.mktemp("run")))


def work(folder: Path, deadline: float = math.inf) -> Work:
    return Work("game", folder / "game.pt", "", deadline=deadline)


def records(folder: Path, *, steps: int = 4, **changed: object) -> torch.Tensor:
    settings = GAME.model_copy(update=changed)
    return Game(settings, steps, 0, "cpu").train(work(folder))


# The game


def test_the_posterior_is_normalised_with_the_evidence_of_an_integral_over_one_latent() -> None:
    """x = z_1^2 + noise of variance 1 + s^2, once z_2 is integrated out."""
    arrays = posterior(GAME)
    axis, density = arrays["axis"], arrays["posterior"]
    noise = math.sqrt(1 + GAME.deviation**2)
    evidence, _ = quad(lambda z: norm.pdf(z) * norm.pdf(GAME.observation, z**2, noise), -9, 9)
    assert arrays["log_evidence"] == pytest.approx(math.log(evidence), abs=1e-6)
    assert density.sum() * (axis[1] - axis[0]) ** 2 == pytest.approx(1)
    z1, z2 = (float(axis[i]) for i in divmod(density.argmax(), GAME.grid))
    assert abs(z1) == pytest.approx(1, abs=0.2)
    assert z2 == pytest.approx(0.4, abs=0.2)


def test_no_gaussian_on_a_grid_of_them_has_a_larger_bound_than_the_best() -> None:
    """The ELBO of N(m, L L^T) is written out with the moments of Gaussians."""
    mean1, mean2 = np.meshgrid(np.linspace(-1.5, 1.5, 31), np.linspace(-1, 2, 31), indexing="ij")
    elbos = []
    for s1, s2, rho in product((0.3, 0.35, 0.4, 0.5, 0.6, 0.8), (0.4, 0.5, 0.6, 0.8), (-0.8, -0.5, 0, 0.5)):
        # x - z_1^2 - z_2 has mean r and variance v
        r = GAME.observation - mean1**2 - s1**2 - mean2
        v = 2 * s1**4 + 4 * mean1**2 * s1**2 + s2**2 + 4 * mean1 * rho * s1 * s2
        expected = norm.logpdf(0, 0, GAME.deviation) - 0.5 * (r**2 + v) / GAME.deviation**2
        kl = 0.5 * (s1**2 + s2**2 + mean1**2 + mean2**2 - 2 - math.log(s1**2 * s2**2 * (1 - rho**2)))
        elbos.append((expected - kl).max())
    best = best_gaussian(GAME)
    assert max(elbos) < best < max(elbos) + 0.02
    assert best < posterior(GAME)["log_evidence"] - 0.1


def test_the_measured_bound_of_the_prior_itself_is_its_elbo() -> None:
    """q = N(0, I) from a network that is the identity; a discriminator that is 0 everywhere is then right."""
    settings = GAME.model_copy(update={"hidden": (4,), "draws": 200_000})
    game = Game(settings, 1, 0, "cpu")
    half = torch.cat([torch.eye(2), -torch.eye(2)], 1)
    weights = [half.expand(2, -1, -1), half.T.expand(2, -1, -1)]
    game._q = MLP.from_tensors(weights, [torch.zeros(2, 1, 4), torch.zeros(2, 1, 2)], "relu")
    with torch.no_grad():
        for parameter in game._discriminator.parameters():
            parameter.zero_()
    estimate, elbo = game._measure(1)
    # E (x - z_1^2 - z_2)^2 = (x - 1)^2 + 2 + 1
    squares = (GAME.observation - 1) ** 2 + 3
    exact = norm.logpdf(0, 0, GAME.deviation) - 0.5 * squares / GAME.deviation**2
    # of one draw the likelihood's logarithm has a standard deviation of about 11
    np.testing.assert_allclose(estimate, exact, atol=0.1)
    np.testing.assert_allclose(elbo - estimate, 0, atol=0.01)


def test_members_do_not_depend_on_their_companions(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    two, three = records(tmp_path), records(tmp_path / "more", seeds=3)
    torch.testing.assert_close(two, three[..., :2], rtol=1e-3, atol=1e-3)
    assert not torch.allclose(two[..., 0], two[..., 1], atol=1e-2)


def test_a_game_in_pieces_is_the_uninterrupted_game(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = records(tmp_path / "whole")
    for _ in range(GAME.rounds):
        with pytest.raises(OutOfTime):
            Game(GAME, 4, 0, "cpu").train(work(tmp_path, time.monotonic()))
    found = Game(GAME, 4, 0, "cpu").train(work(tmp_path))
    assert torch.equal(found, whole)


def test_a_discriminator_that_follows_brings_q_to_the_posterior(tmp_path: Path) -> None:
    longer = {"hidden": (24,), "rounds": 6, "round_steps": 30, "draws": 5000, "batch": 64, "noise": 3}
    estimate, elbo = records(tmp_path, steps=20, **longer).unbind(1)
    distance = float(posterior(GAME)["log_evidence"]) - elbo
    assert (distance[-1] < 0.4).all()
    assert (distance[-1] < 0.5 * distance[0]).all()
    assert (distance > -0.02).all()
    assert ((estimate - elbo)[-1].abs() < 0.4).all()


# The finite sample


def test_the_best_discriminator_by_quadrature() -> None:
    divergence = 1.7
    exact = density_ratio.exact(divergence)
    mean = math.sqrt(2 * divergence)  # in one dimension

    def fraction(inside: object) -> float:
        z = np.linspace(-12, 12, 2_000_001)
        log_ratio = mean * z - divergence
        densities = norm.pdf(z, mean) * inside(log_ratio, 1) + norm.pdf(z) * inside(log_ratio, -1)
        return float(0.5 * densities.sum() * (z[1] - z[0]))

    assert exact["accuracy"] == pytest.approx(fraction(lambda ratio, side: side * ratio > 0), abs=1e-5)
    certain = fraction(lambda ratio, side: np.abs(1 / (1 + np.exp(-ratio)) - 0.5) > 0.49)
    assert exact["certain"] == pytest.approx(certain, abs=1e-5)


def test_with_many_points_in_one_dimension_the_discriminator_finds_the_divergence(tmp_path: Path) -> None:
    settings = FINITE.model_copy(update={"points": 20_000, "batch": 500, "epochs": 8, "held_out": 20_000})
    exact = density_ratio.exact(settings.divergence)
    for values in density_ratio.measured(settings, 1, 0, work(tmp_path), "cpu").values():
        np.testing.assert_allclose(values["kl_estimate"], settings.divergence, atol=0.12)
        np.testing.assert_allclose(values["accuracy"], exact["accuracy"], atol=0.01)
        np.testing.assert_allclose(values["certain"], exact["certain"], atol=0.02)


def test_a_few_points_in_many_dimensions_are_memorised(
    result: dict[str, pd.DataFrame | dict[str, np.ndarray]],
) -> None:
    seen = result["dimensions"].set_index(["part", "dimension"])
    assert (seen.loc[("training", 30), "accuracy"] == 1).all()
    assert (seen.loc[("held-out", 30), "accuracy"] < 0.75).all()
    assert (seen.loc[("training", 30), "certain"] > 0.5).all()
    assert (seen.loc[("training", 1), "certain"] < 0.5).all()


# The tables


def test_tables_have_a_row_per_cell_and_agree_with_each_other(
    result: dict[str, pd.DataFrame | dict[str, np.ndarray]],
) -> None:
    curves, training, samples = result["curves"], result["training"], result["samples"]
    assert len(curves) == 2 * GAME.seeds * GAME.rounds
    assert sorted(curves["step"].unique()) == [2, 4, 6]
    one = curves[(curves["discriminator_steps"] == 4) & (curves["seed"] == 1) & (curves["step"] > 3)]
    row = training.set_index(["discriminator_steps", "seed"]).loc[(4, 1)]
    assert row["kl"] == pytest.approx(float(samples["log_evidence"]) - one["elbo"].mean())
    assert row["elbo_sd"] == pytest.approx(one["elbo"].std())
    assert row["gaussian_kl"] == pytest.approx(float(samples["log_evidence"]) - best_gaussian(GAME))
    over = one["elbo_estimate"] - one["elbo"]
    assert row["overestimate"] == pytest.approx(over.mean())
    assert samples["z"].shape == (2, GAME.shown, 2)

    dimensions, table = result["dimensions"], result["table"]
    assert len(dimensions) == 2 * 2 * FINITE.seeds
    assert (dimensions["error"] == (dimensions["kl_estimate"] - 1).abs()).all()
    assert list(table["dimension"]) == [1, 1, 30, 30]
    own = dimensions[(dimensions["dimension"] == 30) & (dimensions["part"] == "held-out")]
    assert table["kl_estimate"].iloc[3] == pytest.approx(own["kl_estimate"].mean())
    assert table["kl_estimate_seed_sd"].iloc[3] == pytest.approx(own["kl_estimate"].std())
    for name in ("curves", "training", "dimensions", "table"):
        assert (result[name]["document"] == "implicit").all()
        assert result[name].notna().all(axis=None)
