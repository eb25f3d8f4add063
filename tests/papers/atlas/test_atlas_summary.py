"""The tables of all scores, from made-up ones."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from elbogap import tables
from elbogap.config.base import Section
from elbogap.papers.atlas.experiments import summary
from elbogap.runtime import Run


def made_up_scores(problem: str = "gaussian_2", dim: int = 2, data: str = "none") -> pd.DataFrame:
    """Two seeds each of a Gaussian with a known best gap of 0.5, and of a method without one."""
    rows = []
    for method, best, gaps in (("mean_field", 0.5, (0.6, 0.8)), ("uivi", math.nan, (0.2, 0.1))):
        for seed, gap in enumerate(gaps):
            rows.append(
                {
                    "document": "atlas", "problem": problem, "kind": "gaussian", "dim": dim, "data": data,
                    "method": method, "seed": seed, "elbo": -gap, "elbo_se": 0.01, "gap": gap,
                    "best_gap": best,
                    "k_hat": 0.1, "relative_ess": 0.9, "mean_bias": gap / 4, "sd_bias": gap,
                    "log_sd_ratio": -gap, "sliced_wasserstein": gap, "mmd": gap,
                    "kl_q_p": gap if method == "mean_field" else math.nan, "kl_p_q": gap,
                    "kl_q_iw_2": gap / 2 if method == "mean_field" else math.nan, "evaluations": 1000.0,
                    "cpu_s": 1.0, "converged": True, "failure": "",
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def test_the_gap_is_what_the_family_and_its_optimisation_cost() -> None:
    table = summary.gaps(made_up_scores())
    np.testing.assert_allclose(table["family_gap"], [0.5, 0.5, 0.1, 0.1], atol=1e-9)
    np.testing.assert_allclose(table["optimisation_gap"], [0.1, 0.3, 0.1, 0.0], atol=1e-12)
    assert table["family_gap_is"].tolist() == ["exact"] * 2 + ["best fit"] * 2


def test_intervals_are_students() -> None:
    table = summary.intervals(made_up_scores()).set_index("method")
    expected = stats.t.interval(0.95, 1, loc=0.7, scale=0.1)  # of 0.6 and 0.8
    np.testing.assert_allclose(
        table.loc["mean_field", ["gap_low", "gap_high"]].astype(float), expected, atol=1e-9
    )
    assert table.loc["mean_field", "gap"] == pytest.approx(0.7)
    one = summary.intervals(made_up_scores().query("seed == 0"))
    assert one["gap_low"].isna().all()


def test_importance_and_bounds_have_the_fits_that_were_integrated() -> None:
    scores = made_up_scores()
    of_iw, bounds = summary.importance(scores), summary.bounds(scores)
    assert of_iw[["method", "k"]].drop_duplicates().to_numpy().tolist() == [["mean_field", 2]]
    np.testing.assert_allclose(of_iw["kl_q_iw"], of_iw["kl_q_p"] / 2, atol=1e-9)
    assert set(bounds["method"]) == {"mean_field"}
    np.testing.assert_allclose(bounds["integrated_elbo"], -bounds["elbo"].abs(), atol=1e-9)  # log Z = 0


def test_methods_are_ranked_on_each_problem() -> None:
    scores = pd.concat([made_up_scores(), made_up_scores("kidscore", 5, "real")])
    failed = scores["method"].eq("uivi") & scores["problem"].eq("kidscore")
    scores.loc[failed, ["sliced_wasserstein", "mean_bias"]] = math.nan
    table = summary.summary(scores).set_index("method")
    assert table["mean_rank"].to_dict() == {"mean_field": 1.5, "uivi": 1.5}
    assert table["near"].to_dict() == {"mean_field": 0, "uivi": 1}
    assert table.loc["mean_field", "median_gap"] == pytest.approx(0.7)


def test_all_files_are_gathered(tmp_path: Path) -> None:
    inputs = {}
    for name, dim in (("gaussian_2", 2), ("gaussian_10", 10)):
        known = pd.DataFrame([{"document": "atlas", "problem": name, "data": "none", "dim": dim}])
        draws = {"answer": np.zeros((3, 2)), "uivi": np.ones((3, 2))}
        for kind, value, suffix in (
            ("scores", made_up_scores(name, dim), "csv"), ("known", known, "csv"), ("draws", draws, "npz")
        ):  # fmt: skip
            inputs[f"{kind}_{name}"] = tmp_path / f"{kind}_{name}.{suffix}"
            tables.write(value, inputs[f"{kind}_{name}"])
    made = summary.run(Section(), Run("smoke", inputs=inputs))
    assert len(made["scores"]) == 8
    assert made["problems"]["problem"].tolist() == ["gaussian_2", "gaussian_10"]
    assert set(made["draws"]) == {"gaussian_2.answer", "gaussian_2.uivi"}
