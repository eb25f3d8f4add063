"""The tables from made-up evaluations, whose answers are known."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from elbogap import tables
from elbogap.config.base import Bootstrap, Section
from elbogap.errors import UserError
from elbogap.papers.air.experiments import seeds, summary
from elbogap.runtime import Run

SETTINGS = Bootstrap(resamples=500, seed=0)
IMAGES = 40
STRENGTHS: dict[tuple[str, float], dict[float, tuple[float, float]]] = {
    ("plain", 0.0): {0.0: (-100.0, -104.0)},
    ("denoising", 0.5): {0.1: (-99.0, -104.0), 0.4: (-97.0, -102.0), 0.8: (-98.0, -101.0)},
    ("denoising", 1.0): {0.1: (-101.0, -105.0), 0.4: (-102.0, -103.0), 0.8: (-110.0, -120.0)},
    ("weight_norm", 0.0): {1.0: (-105.0, -110.0), 4.0: (-98.5, -102.0), 16.0: (-99.5, -103.0)},
}
"""Mean likelihood on the test images and mean validation bound of each strength."""
CHOSEN = {("denoising", 0.5): 0.8, ("denoising", 1.0): 0.4, ("weight_norm", 0.0): 4.0}
STEPS = (10, 20, 30)


class Cells:
    """Files of made-up evaluations, curves and images, and the inputs that name them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.inputs = folder, dict[str, Path]()

    def add(
        self,
        name: str,
        dataset: str = "omniglot",
        *,
        k: int = 1,
        m: int = 1,
        encoder: str = "standard",
        seeds: int = 2,
        better: float = 0.0,
        methods: dict[tuple[str, float], dict[float, tuple[float, float]]] = STRENGTHS,
        fall: float = 0.0,
    ) -> None:
        """All likelihoods are `better`, and test bounds of curves fall by `fall` after their second step."""
        key = {"document": "air", "dataset": dataset, "data": "real", "cell": name, "k": k, "m": m}
        key["encoder"] = encoder
        spread = np.random.default_rng(0).normal(size=IMAGES)
        spread = 5 * (spread - spread.mean())
        rows, loglik, curves = [], [], []
        for member in self._members(methods, seeds):
            test, valid = methods[member["method"], member["alpha"]][member["strength"]]
            side = (member["seed"] - (seeds - 1) / 2) * 0.2
            own = test + better + side + spread * (1 + member["strength"])
            loglik.append(own)
            rows.append(
                key
                | member
                | {"kept_step": 10, "valid_bound": valid + 3 * side, "test_images": IMAGES}
                | {"test_loglik": own.mean(), "test_bound": own.mean() - 7, "test_gap": 7.0}
                | {"test_iwae": own.mean() - 1, "iw_svi_share": 0.9}
            )
            rises = test + np.array([-20.0, 0.0, -fall]) + side + 1 - k
            curves += [
                key | member | {"step": step, "passes": step / 4, "train_bound": bound + 1}
                | {"valid_bound": bound + 2, "test_bound": bound}
                for step, bound in zip(STEPS, rises, strict=True)
            ]  # fmt: skip
        place = f"{dataset}_{name}"
        for kind, value, suffix in (
            ("evaluation", pd.DataFrame(rows), "csv"),
            ("curves", pd.DataFrame(curves), "csv"),
            ("images", {"loglik": np.stack(loglik)}, "npz"),
        ):
            self.inputs[f"{kind}_{place}"] = self.folder / f"{kind}_{place}.{suffix}"
            tables.write(value, self.inputs[f"{kind}_{place}"])

    def summarise(self) -> dict[str, pd.DataFrame]:
        return summary.run(SETTINGS, Run("test", inputs=self.inputs))

    def by_seed(self, strengths: pd.DataFrame) -> dict[str, pd.DataFrame]:
        inputs = {**self.inputs, "strengths": self.folder / "strengths.csv"}
        tables.write(strengths, inputs["strengths"])
        return seeds.run(Section(), Run("test", inputs=inputs))

    @staticmethod
    def _members(methods: dict, seeds: int) -> Iterator[dict[str, Any]]:
        for (method, alpha), strengths in methods.items():
            for seed in range(seeds):
                for strength in strengths:
                    yield {"method": method, "alpha": alpha, "strength": strength, "seed": seed}


@pytest.fixture
def cells(tmp_path: Path) -> Cells:
    return Cells(tmp_path)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    """Two data sets, all k, large encoders on one of them for two k, and Figure 4's m."""
    cells = Cells(tmp_path_factory.mktemp("summary"))
    plain = {("plain", 0.0): STRENGTHS["plain", 0.0]}
    for place, dataset in enumerate(("omniglot", "binarized_mnist")):
        for k in (1, 8, 64):
            cells.add(f"k{k}", dataset, k=k, better=100 * place + k)
    for k in (1, 8):
        cells.add(f"large_k{k}", "binarized_mnist", k=k, encoder="large", better=150 + k, methods=plain)
    few = plain | {("denoising", 1.0): {0.4: (-90.0, -50.0)}}
    cells.add("m8", "omniglot", m=8, methods=few, better=500, fall=6.0)
    cells.add("m64", "omniglot", m=64, methods=few, better=500, fall=9.0)
    return cells.summarise()


def of(table: pd.DataFrame, **values: object) -> pd.DataFrame:
    return table[(table[list(values)] == pd.Series(values)).all(axis=1)]


def test_a_strength_is_chosen_by_its_mean_validation_bound(found: dict[str, pd.DataFrame]) -> None:
    """Not by the test likelihood, which is largest elsewhere."""
    chosen = found["strengths"][found["strengths"]["chosen"]]
    for dataset in ("omniglot", "binarized_mnist"):
        for (method, alpha), strength in CHOSEN.items():
            for k in (1, 8, 64):
                rows = of(chosen, dataset=dataset, method=method, alpha=alpha, k=k, m=1)
                assert rows["strength"].tolist() == [strength]
    assert (chosen.groupby(["dataset", "encoder", "k", "m", "method", "alpha"]).size() == 1).all()


def test_gain_and_loss_are_differences_of_mean_likelihoods(found: dict[str, pd.DataFrame]) -> None:
    for (method, alpha), strengths in STRENGTHS.items():
        best = max(-100.0, *(test for test, _ in strengths.values()))  # no regularisation is a strength
        for strength, (test, valid) in strengths.items():
            place = {"dataset": "omniglot", "k": 8, "method": method, "alpha": alpha, "strength": strength}
            row = of(found["strengths"], **place).iloc[0]
            assert row["gain"] == pytest.approx(test + 100)
            assert row["loss"] == pytest.approx(best - test)
            assert row["test_loglik"] == pytest.approx(test + 8)
            assert row["valid_bound"] == pytest.approx(valid)
            assert row["test_gap"] == pytest.approx(7)
            assert row["test_bound"] == pytest.approx(test + 1)
            assert (row["seeds"], row["test_images"]) == (2, IMAGES)
    assert (found["strengths"]["loss"] >= 0).all()


def test_standard_errors_are_over_images_and_spreads_over_seeds(found: dict[str, pd.DataFrame]) -> None:
    spread = np.random.default_rng(0).normal(size=IMAGES)
    for strength in (0.1, 0.8):
        row = of(found["strengths"], dataset="omniglot", k=1, m=1, alpha=1.0, strength=strength).iloc[0]
        expected = 5 * (1 + strength) * spread.std(ddof=1) / math.sqrt(IMAGES)
        assert row["test_loglik_se"] == pytest.approx(expected)
        assert row["test_loglik_spread"] == pytest.approx(0.2 / math.sqrt(2))


def test_intervals_are_those_of_the_paired_difference(found: dict[str, pd.DataFrame]) -> None:
    """Images differ by far more than methods do: the interval is that of what a strength changes."""
    table = found["strengths"]
    assert (table["gain_low"] <= table["gain"] + 1e-9).all()
    assert (table["gain"] <= table["gain_high"] + 1e-9).all()
    plain = table[table["method"] == "plain"]
    np.testing.assert_allclose(plain[["gain", "gain_low", "gain_high"]], 0, atol=1e-9)
    deviation = np.random.default_rng(0).normal(size=IMAGES).std()
    for strength in (0.1, 0.4, 0.8):
        row = of(table, dataset="omniglot", k=64, alpha=0.5, strength=strength).iloc[0]
        width = 2 * 1.96 * 5 * strength * deviation / math.sqrt(IMAGES)
        assert row["gain_high"] - row["gain_low"] == pytest.approx(width, rel=0.15)


def test_tables_1_to_3_hold_the_chosen_strengths_of_their_k(found: dict[str, pd.DataFrame]) -> None:
    for name, k in (("tab01", 1), ("tab02", 8), ("tab03", 64)):
        table = found[name]
        assert set(table["k"]) == {k}
        assert set(table["encoder"]) == {"standard"}
        assert "m" not in table
        rows = table[["dataset", "method", "alpha", "strength"]].itertuples(index=False, name=None)
        expected = [
            (dataset, *method, strength)
            for dataset in ("binarized_mnist", "omniglot")
            for method, strength in sorted({**CHOSEN, ("plain", 0.0): 0.0}.items())
        ]
        assert list(rows) == expected
        assert (table["test_loglik"] < 101).all()  # the cells with m > 1 have 500 more


def test_table_4_has_large_encoders_beside_the_ordinary_ones_of_the_same_data_and_k(
    found: dict[str, pd.DataFrame],
) -> None:
    table = found["tab04"]
    assert set(table["dataset"]) == {"binarized_mnist"}
    assert set(table["k"]) == {1, 8}
    for k in (1, 8):
        large, ordinary = (of(table, k=k, encoder=encoder) for encoder in ("large", "standard"))
        assert large["method"].tolist() == ["plain"]
        assert large["test_loglik"].iloc[0] == pytest.approx(50 + k)
        assert len(ordinary) == 4
        assert of(ordinary, method="plain")["test_loglik"].iloc[0] == pytest.approx(k)
        beside = ordinary.set_index(["method", "alpha"])["strength"].to_dict()
        assert beside == CHOSEN | {("plain", 0.0): 0.0}


def test_table_7_has_what_was_searched_and_chosen(found: dict[str, pd.DataFrame]) -> None:
    table = found["tab07"]
    assert len(table) == 2 * 3 * 3
    for (method, alpha), strength in CHOSEN.items():
        for _, row in of(table, method=method, alpha=alpha).iterrows():
            searched = STRENGTHS[method, alpha]
            assert row["parameter"] == ("H" if method == "weight_norm" else "sigma")
            assert (row["smallest"], row["largest"]) == (min(searched), max(searched))
            assert (row["searched"], row["chosen"]) == (3, strength)


def test_shapes_name_the_best_strength_and_what_the_strongest_loses(found: dict[str, pd.DataFrame]) -> None:
    expected = {
        ("denoising", 0.5): (0.4, 1, 0.8, 1.0),
        ("denoising", 1.0): (0.0, 0, 0.8, 10.0),
        ("weight_norm", 0.0): (4.0, 1, 1.0, 6.5),
    }
    table = found["shapes"]
    assert len(table) == 2 * 3 * 3
    for (method, alpha), (best, interior, common, loss) in expected.items():
        rows = of(table, method=method, alpha=alpha)
        assert set(rows["k"]) == {1, 8, 64}
        np.testing.assert_allclose(
            rows[["best", "interior", "common"]], [[best, interior, common]] * 6, atol=1e-12
        )
        np.testing.assert_allclose(rows["loss"], loss, atol=1e-12)


def test_the_common_strength_is_one_that_every_k_has(cells: Cells) -> None:
    strong = {**STRENGTHS, ("denoising", 1.0): {0.4: (-90.0, -1.0), 1.6: (-80.0, -1.0)}}
    cells.add("k1")
    cells.add("k8", k=8, methods=strong)
    cells.add("m8", m=8)
    shapes = of(cells.summarise()["shapes"], method="denoising", alpha=1.0).set_index("k")
    assert shapes["common"].tolist() == [0.4, 0.4]
    np.testing.assert_allclose(shapes["loss"], [2, 10], atol=1e-12)
    assert shapes["best"].tolist() == [0.0, 1.6]
    assert shapes["interior"].tolist() == [0, 0]


def test_curves_of_several_copies_stand_beside_those_of_one(found: dict[str, pd.DataFrame]) -> None:
    """Of the methods and strengths that have both; averaged over seeds."""
    curves = found["curves"]
    assert set(curves["dataset"]) == {"omniglot"}
    assert set(zip(curves["method"], curves["strength"], strict=True)) == {("plain", 0.0), ("denoising", 0.4)}
    assert set(curves["m"]) == {1, 8, 64}
    assert len(curves) == 2 * 3 * len(STEPS)
    one = of(curves, method="denoising", m=1).sort_values("step")
    np.testing.assert_allclose(one["test_bound"], [-122, -102, -102], atol=1e-12)
    np.testing.assert_allclose(one["train_bound"], one["test_bound"] + 1, atol=1e-12)
    np.testing.assert_allclose(one["valid_bound"], one["test_bound"] + 2, atol=1e-12)
    eight = of(curves, method="denoising", m=8).sort_values("step")
    np.testing.assert_allclose(eight["test_bound"], [-110, -90, -96], atol=1e-12)
    np.testing.assert_allclose(eight["passes"], [2.5, 5, 7.5], atol=1e-12)


def test_the_fall_is_from_the_largest_test_bound_to_the_last(found: dict[str, pd.DataFrame]) -> None:
    table = found["gradient_samples"]
    assert len(table) == 6
    for m, fall in ((1, 0), (8, 6), (64, 9)):
        rows = of(table, m=m)
        np.testing.assert_allclose(rows["fall"], fall, atol=1e-9)
        np.testing.assert_allclose(rows["largest"] - rows["last"], fall, atol=1e-9)
        assert (rows["steps"] == 30).all()


def test_ties_choose_one_strength(cells: Cells) -> None:
    even = {("plain", 0.0): {0.0: (-1.0, -1.0)}, ("denoising", 1.0): {0.1: (-2.0, -3.0), 0.2: (-1.5, -3.0)}}
    cells.add("k1", methods=even, seeds=1)
    cells.add("m8", m=8, methods=even, seeds=1)
    found = cells.summarise()
    assert of(found["tab01"], method="denoising")["strength"].tolist() == [0.1]
    assert found["strengths"]["test_loglik_spread"].isna().all()


def test_the_order_of_the_inputs_and_repetition_change_nothing(tmp_path: Path) -> None:
    results: list[dict[str, pd.DataFrame]] = []
    add: list[Callable[[Cells], None]] = [lambda one: one.add("k1"), lambda one: one.add("m8", m=8)]
    for number, order in enumerate((add, add[::-1], add)):
        (tmp_path / str(number)).mkdir()
        cells = Cells(tmp_path / str(number))
        for step in order:
            step(cells)
        results.append(cells.summarise())
    for other in results[1:]:
        for name, table in results[0].items():
            pd.testing.assert_frame_equal(table, other[name])


def test_the_mean_over_seeds_of_their_gains_is_the_summary_s(cells: Cells) -> None:
    for k in (1, 8):
        cells.add(f"k{k}", k=k, seeds=3)
    cells.add("m8", m=8, seeds=3)
    strengths = cells.summarise()["strengths"]
    table = cells.by_seed(strengths)["seeds"]
    assert len(table) == 3 * len(strengths)
    key = ["dataset", "encoder", "k", "m", "method", "alpha", "strength"]
    means = table.groupby(key)[["gain", "gap_change", "test_loglik", "chosen"]].mean()
    expected = strengths.set_index(key)[list(means)].astype(float).loc[means.index]
    np.testing.assert_allclose(means, expected, rtol=1e-9, atol=1e-9)
    assert table["chosen"].dtype == bool


def test_a_gain_is_over_the_unregularised_model_of_the_same_seed(cells: Cells) -> None:
    cells.add("k1")
    cells.add("m8", m=8)
    path = cells.inputs["evaluation_omniglot_k1"]
    table = pd.read_csv(path)
    table.loc[(table["method"] == "plain") & (table["seed"] == 1), "test_loglik"] += 3
    tables.write(table, path)
    found = of(cells.by_seed(cells.summarise()["strengths"])["seeds"], m=1, alpha=0.5, strength=0.4)
    assert found.set_index("seed")["gain"].to_dict() == pytest.approx({0: 3, 1: 0})


def test_falls_are_those_of_each_seed_s_curve(cells: Cells) -> None:
    cells.add("k1")
    cells.add("m8", m=8, fall=6.0)
    path = cells.inputs["curves_omniglot_m8"]
    curves = pd.read_csv(path)
    curves.loc[(curves["seed"] == 1) & (curves["step"] == STEPS[-1]), "test_bound"] -= 2
    tables.write(curves, path)
    found = of(cells.by_seed(cells.summarise()["strengths"])["falls"], m=8, method="denoising", strength=0.4)
    assert found.set_index("seed")["fall"].to_dict() == pytest.approx({0: 6, 1: 8})


def test_without_evaluations_it_says_so(cells: Cells) -> None:
    with pytest.raises(UserError, match="no evaluations"):
        cells.summarise()
