from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from elbogap import tables
from elbogap.papers.mapa.experiments import density_summary
from elbogap.papers.mapa.settings import DensitySummary
from elbogap.runtime import Run

SETTINGS = DensitySummary(drift=0.01)
RECOVERED = ("smoothed map", "quantile map", "network")


def rows(
    method: str,
    test_kl: float | Mapping[int, float],
    *,
    samples: int | None = 10,
    share: float | None = None,
    valid: float = -1.0,
    draws: int = 4,
    distillation: float = 0.5,
    passes: float = 1.0,
    drift: float = 0.0,
) -> list[dict[str, object]]:
    """One selected and one other restart per draw; `network` costs `distillation` more than the exact map."""
    priors = RECOVERED if method.startswith("mapa") else ("standard",)
    return [
        {
            "document": "mapa", "problem": "circle", "cell": f"{method}-{samples}-{share}", "method": method,
            "S": samples, "k_share": share, "draw": draw, "restart": restart, "prior": prior,
            "valid_loglik": valid - restart, "test_loglik": -1.0,
            "test_kl": (test_kl if isinstance(test_kl, float) else test_kl[draw])
            + distillation * (prior == "network") - 9.0 * restart,
            "test_kl_se": 0.1, "selected": restart == 0, "passes_per_point": passes, "train_bound": -1.0,
            "drift": drift,
        }
        for draw in range(draws)
        for prior in priors
        for restart in range(2)
    ]  # fmt: skip


def summary(
    folder: Path, table: list[dict[str, object]], seconds: Mapping[str, float] | None = None
) -> dict[str, pd.DataFrame]:
    """Each cell's step takes a second, or as many `seconds`; of three repeats one was disturbed."""
    density = pd.DataFrame(table)
    costs = [
        {
            "problem": "circle",
            "cell": cell,
            "repeat": repeat,
            "seconds_per_step": (seconds or {}).get(cell, 1.0) * factor,
        }
        for cell in density["cell"].unique()
        for repeat, factor in enumerate((1.0, 7.0, 0.9))
    ]
    inputs = {name: folder / f"{name}.csv" for name in ("density_circle", "cost_circle")}
    for values, path in zip((density, pd.DataFrame(costs)), inputs.values(), strict=True):
        tables.write(values, path)
    return density_summary.run(SETTINGS, Run("test", inputs=inputs))


def test_the_share_is_chosen_by_validation_whatever_the_test_says(tmp_path: Path) -> None:
    table = rows("mapa", 0.3, share=0.1, valid=-1.0) + rows("mapa", 0.1, share=0.9, valid=-2.0)
    density = summary(tmp_path, table)["density"]
    assert len(density) == 4 * 3
    assert (density["k_share"] == 0.1).all()
    assert (density["restart"] == 0).all()
    assert density.loc[density["prior"] == "quantile map", "test_kl"].tolist() == [0.3] * 4
    assert density.loc[density["prior"] == "network", "test_kl"].tolist() == [0.8] * 4


def test_differences_are_paired_by_data_set(tmp_path: Path) -> None:
    """Data sets differ far more than methods do; the difference is the same on each."""
    hard = {0: 1.0, 1: 50.0, 2: 7.0, 3: 100.0}
    table = rows("mapa", hard) + rows("vae", {draw: kl + 0.25 for draw, kl in hard.items()}, samples=1)
    orderings = summary(tmp_path, table)["orderings"].set_index("prior")
    exact, network = orderings.loc["quantile map"], orderings.loc["network"]
    assert (exact["better"], exact["worse"], exact["S"], exact["draws"]) == ("mapa", "vae", 10, 4)
    np.testing.assert_allclose(exact[["difference", "low", "high"]].to_numpy(float), 0.25, atol=1e-12)
    np.testing.assert_allclose(network[["difference", "low", "high"]].to_numpy(float), -0.25, atol=1e-12)


def test_methods_with_one_budget_are_compared_at_each_and_missing_ones_at_none(tmp_path: Path) -> None:
    table = rows("vae", 0.5, samples=1) + rows("mapa_exact", 0.1, samples=None)
    table += rows("mapa", 0.2, samples=10) + rows("mapa", 0.3, samples=50) + rows("iwae", 0.6, samples=50)
    orderings = summary(tmp_path, table)["orderings"]
    exact = orderings[orderings["prior"] == "quantile map"]
    pairs = exact.set_index(["S", "better", "worse"])["difference"]
    assert pairs.index.tolist() == [
        (10, "mapa", "vae"),
        (10, "mapa_exact", "mapa"),
        (50, "mapa", "vae"),
        (50, "mapa", "iwae"),
        (50, "mapa_exact", "mapa"),
    ]
    np.testing.assert_allclose(pairs.to_numpy(), [0.3, 0.1, 0.2, 0.3, 0.2], atol=1e-12)


def test_budgets_of_different_size_are_not_mixed(tmp_path: Path) -> None:
    table = rows("mapa", 0.2, samples=10) + rows("mapa_naive", 0.5, samples=10)
    table += rows("mapa", 0.1, samples=50) + rows("mapa_naive", 0.9, samples=50)
    orderings = summary(tmp_path, table)["orderings"]
    assert orderings["S"].tolist() == [10, 50] * 3
    np.testing.assert_allclose(orderings["difference"], [0.3, 0.8] * 3, atol=1e-12)


def test_recovery_is_the_cost_of_distillation_in_the_chosen_models(tmp_path: Path) -> None:
    table = rows("mapa", 0.2, distillation=1.5) + rows("mapa_exact", 0.1, samples=None, distillation=0.0)
    both = summary(tmp_path, table + rows("vae", 0.3, samples=1))["recovery"]
    np.testing.assert_allclose(both.loc[both["prior"] == "smoothed map", "difference"], 0, atol=1e-12)
    recovery = both[both["prior"] == "network"]
    assert recovery["method"].tolist() == ["mapa"] * 4 + ["mapa_exact"] * 4
    np.testing.assert_allclose(recovery["difference"], [1.5] * 4 + [0.0] * 4, atol=1e-12)
    np.testing.assert_allclose(
        recovery["test_kl"] - recovery["test_kl_quantile_map"],
        recovery["difference"],
        atol=1e-12,
    )
    assert recovery["S"].isna().tolist() == [False] * 4 + [True] * 4


@pytest.mark.parametrize("draws", [3, 10])
def test_student_s_intervals_cover_the_mean_as_often_as_they_say(draws: int) -> None:
    values = 0.7 + np.random.default_rng(0).standard_normal((2000, draws))
    intervals = np.array([density_summary.ordering(row)[1:3] for row in values])
    covered = ((intervals[:, 0] <= 0.7) & (intervals[:, 1] >= 0.7)).mean()
    assert covered == pytest.approx(0.95, abs=4 * (0.95 * 0.05 / 2000) ** 0.5)


def test_recovery_compares_one_model_where_the_selections_differ(tmp_path: Path) -> None:
    table = rows("mapa", 0.2, distillation=1.5, draws=1)
    for row in table:  # by its networks the other restart is the better
        row["selected"] = row["restart"] == (row["prior"] == "network")
    both = summary(tmp_path, table)["recovery"]
    recovery = both[both["prior"] == "network"]
    assert recovery["restart"].tolist() == [0]
    np.testing.assert_allclose(recovery["difference"], 1.5, atol=1e-12)


def test_one_data_set_has_no_interval(tmp_path: Path) -> None:
    table = rows("mapa", 0.2, draws=1) + rows("vae", 0.3, samples=1, draws=1)
    row = summary(tmp_path, table)["orderings"].iloc[0]
    assert row["difference"] == pytest.approx(0.1)
    assert np.isnan(row["low"])
    assert np.isnan(row["high"])


def test_without_mapa_there_are_tables_without_rows(tmp_path: Path) -> None:
    result = summary(tmp_path, rows("vae", 0.3, samples=1))
    assert len(result["density"]) == 4
    for name in ("orderings", "recovery"):
        assert len(result[name]) == 0
        tables.write(result[name], tmp_path / f"{name}.csv")
        assert tables.read_table(tmp_path / f"{name}.csv").columns.tolist() == result[name].columns.tolist()


def test_at_equal_passes_each_method_takes_its_best_model_that_it_can_afford(tmp_path: Path) -> None:
    table = (
        rows("vae", 0.9, samples=1)
        + rows("iwae", 0.5, samples=10, valid=-2.0, passes=10.0)
        + rows("iwae", 0.4, samples=50, valid=-1.0, passes=50.0)
        + rows("mapa", 0.45, samples=10, valid=-3.0, share=0.1, passes=8.0)
        + rows("mapa", 0.2, samples=50, valid=-1.0, share=0.1, passes=10.4)  # within a twentieth of 10
    )
    budget = summary(tmp_path, table)["budget"]
    of_passes = budget[budget["unit"] == "decoder passes per point"]
    exact = of_passes[of_passes["prior"] == "quantile map"]
    assert len(exact) == 4 * 2 * 2
    gain = exact.groupby(["budget", "worse"])["gain"].mean()
    expected = {(10, "vae"): 0.7, (10, "iwae"): 0.3, (50, "vae"): 0.7, (50, "iwae"): 0.2}
    for key, value in expected.items():
        assert gain[key] == pytest.approx(value, rel=1e-9)


def test_a_budget_of_seconds_takes_the_median_of_the_timed_steps(tmp_path: Path) -> None:
    table = (
        rows("vae", 0.9, samples=1)
        + rows("iwae", 0.5, samples=10)
        + rows("mapa", 0.45, samples=10, share=0.1, valid=-2.0)
        + rows("mapa", 0.2, samples=50, share=0.1)
    )
    seconds = {"vae-1-None": 0.1, "iwae-10-None": 2.0, "mapa-10-0.1": 2.05, "mapa-50-0.1": 2.2}
    budget = summary(tmp_path, table, seconds)["budget"]
    own = budget[(budget["unit"] == "seconds per step") & (budget["prior"] == "quantile map")]
    assert own["budget"].unique() == pytest.approx([2.0])
    gain = own.groupby("worse")["gain"].mean()
    assert gain["iwae"] == pytest.approx(0.05)  # that of S = 50 costs a tenth more
    assert gain["vae"] == pytest.approx(0.45)


@pytest.mark.parametrize(
    ("kl", "drift", "converged"),
    [
        (0.5, 0.009, True),
        (0.5, 0.011, True),
        (0.5, 0.031, False),
        (0.25, 0.011, False),
        (0.25, -0.011, False),
        (0.25, np.nan, False),
    ],
)
def test_a_comparison_counts_unless_what_the_objectives_still_rose_by_could_have_made_it(
    tmp_path: Path, kl: float, drift: float, converged: bool
) -> None:
    table = rows("mapa", 0.2) + rows("vae", kl, samples=1, drift=drift)
    gains = summary(tmp_path, table)["gains"]
    exact = gains[gains["prior"] == "quantile map"]
    assert exact["converged"].tolist() == [converged] * 4
