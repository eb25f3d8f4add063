"""The rows of the atlas: the project's own methods on a small problem, and methods that fail."""

import math

import pytest
import torch
from results import Moments, line

from elbogap.api.methods import METHODS as FITTED
from elbogap.errors import UserError
from elbogap.papers.atlas import scoring
from elbogap.papers.atlas.methods import METHODS, Counted
from elbogap.papers.atlas.problems.registry import problem

COUNTS = {"num_samples": 300, "ks": (2,), "seed": 0}


def refused(log_density: object, dim: int, seed: int, steps: object) -> None:
    raise UserError("the start is bad;\nmend it")


def test_a_method_that_fails_has_a_row_that_says_so() -> None:
    methods = {"refused": refused, "moments": Moments}
    first, second = scoring.rows("line", line(), methods, seeds=1, steps=1, **COUNTS)
    assert first["failure"] == "the start is bad; mend it"
    assert not first["converged"]
    assert "elbo" not in first
    assert (second["failure"], second["converged"], second["evaluations"]) == ("", True, 3)


def test_draws_of_the_first_seed_are_kept_in_two_coordinates() -> None:
    draws: scoring.Draws = {}
    rows = scoring.rows(
        "line", line(), {"moments": Moments}, seeds=2, steps=1, draws=draws, shown=7, **COUNTS
    )
    assert [row["seed"] for row in rows] == [0, 1]
    assert draws["moments"].shape == (7, 2)


def test_fits_of_gaussians_have_the_gap_of_the_best_one() -> None:
    known = problem("gaussian_2")
    methods = {name: METHODS[name] for name in ("mean_field", "full_rank")}
    of_mean_field, of_full_rank = scoring.rows("gaussian_2", known, methods, seeds=1, steps=200, **COUNTS)
    exact = -0.5 * math.log(1 - 0.9**2)
    assert of_mean_field["best_gap"] == pytest.approx(exact)
    assert of_full_rank["best_gap"] == pytest.approx(0)
    for row in (of_mean_field, of_full_rank):
        assert row["gap"] == pytest.approx(row["best_gap"], abs=0.05)
        assert row["kl_q_p"] == pytest.approx(row["best_gap"], abs=0.05)
        assert row["kl_q_iw_2"] <= row["kl_q_p"]
        assert row["evaluations"] > 0
    assert of_mean_field["log_sd_ratio"] < -0.5 < of_full_rank["log_sd_ratio"]


def test_chains_come_as_near_as_their_number_of_draws_allows() -> None:
    (row,) = scoring.rows("line", line(), {"hmc": METHODS["hmc"]}, seeds=1, steps=100, **COUNTS)
    assert row["sliced_wasserstein"] < 0.15
    assert abs(row["log_sd_ratio"]) < 0.1
    assert row["evaluations"] > 4 * 200  # four chains of 200 iterations, and more of them each
    assert math.isnan(row["elbo"])


def test_vcd_is_compared_with_its_own_family_fitted_by_kl() -> None:
    """As the claim on their widths presumes."""
    assert FITTED["vcd"].approximation is FITTED["full_rank"].approximation


def test_points_with_a_derivative_are_counted() -> None:
    counted = Counted(lambda z: z.sum(-1))
    counted(torch.zeros(4, 5, 2, requires_grad=True))
    with torch.no_grad():
        counted(torch.zeros(3, 2, requires_grad=True))
    counted(torch.zeros(3, 2))
    assert counted.evaluations == 20


def test_what_is_known_of_a_problem_is_one_row() -> None:
    table = scoring.known("line", line())
    assert table.loc[0, ["problem", "data", "dim", "log_evidence"]].tolist() == ["line", "none", 3, 0.0]
