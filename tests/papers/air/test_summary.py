"""The tables from made-up evaluations, whose answers are known."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from elbogap import tables
from elbogap.config.base import Section
from elbogap.errors import UserError
from elbogap.papers.air.experiments import summary
from elbogap.runtime import Run

IMAGES = 40
STRENGTHS: dict[tuple[str, float], dict[float, tuple[float, float]]] = {
    ("plain", 0.0): {0.0: (-100.0, -104.0)},
    ("denoising", 0.5): {0.1: (-99.0, -104.0), 0.4: (-97.0, -102.0), 0.8: (-98.0, -101.0)},
    ("denoising", 1.0): {0.1: (-101.0, -105.0), 0.4: (-102.0, -103.0), 0.8: (-110.0, -120.0)},
    ("weight_norm", 0.0): {1.0: (-105.0, -110.0), 4.0: (-98.5, -102.0), 16.0: (-99.5, -103.0)},
}
"""Mean likelihood of the test images and of the validation images, for each strength."""
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
        rows, curves = [], []
        for member in self._members(methods, seeds):
            test, valid = methods[member["method"], member["alpha"]][member["strength"]]
            side = (member["seed"] - (seeds - 1) / 2) * 0.2
            own = test + better + side * (1 + member["strength"])
            rows.append(
                key
                | member
                | {"kept_step": 10, "test_images": IMAGES, "valid_bound": valid - member["strength"]}
                | {"valid_loglik": valid + 3 * side, "test_loglik": own, "test_loglik_se": 0.5}
                | {"test_bound": own - 7, "test_gap": 7.0, "test_iwae": own - 1}
            )
            rises = test + np.array([-20.0, 0.0, -fall]) + side + 1 - k
            curves += [
                key | member | {"step": step, "passes": step / 4, "train_bound": bound + 1}
                | {"valid_bound": bound + 2, "test_bound": bound}
                for step, bound in zip(STEPS, rises, strict=True)
            ]  # fmt: skip
        place = f"{dataset}_{name}"  # with m > 1 nothing is evaluated
        for kind, value, suffix in (
            ("evaluation", pd.DataFrame(rows), "csv"),
            ("curves", pd.DataFrame(curves), "csv"),
        ):
            if kind == "evaluation" and m > 1:
                continue
            self.inputs[f"{kind}_{place}"] = self.folder / f"{kind}_{place}.{suffix}"
            tables.write(value, self.inputs[f"{kind}_{place}"])

    def summarise(self) -> dict[str, pd.DataFrame]:
        return summary.run(Section(), Run("test", inputs=self.inputs))

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


def test_a_strength_is_chosen_by_its_mean_validation_likelihood(found: dict[str, pd.DataFrame]) -> None:
    """Not by the test likelihood, which is largest elsewhere."""
    chosen = found["strengths"][found["strengths"]["chosen"]]
    for dataset in ("omniglot", "binarized_mnist"):
        for (method, alpha), strength in CHOSEN.items():
            for k in (1, 8, 64):
                rows = of(chosen, dataset=dataset, method=method, alpha=alpha, k=k, m=1)
                assert rows["strength"].tolist() == [strength]
    assert (chosen.groupby(["dataset", "encoder", "k", "m", "method", "alpha"]).size() == 1).all()


def test_gains_are_differences_of_mean_likelihoods(found: dict[str, pd.DataFrame]) -> None:
    for (method, alpha), strengths in STRENGTHS.items():
        for strength, (test, valid) in strengths.items():
            place = {"dataset": "omniglot", "k": 8, "method": method, "alpha": alpha, "strength": strength}
            row = of(found["strengths"], **place).iloc[0]
            assert row["gain"] == pytest.approx(test + 100)
            assert row["test_loglik"] == pytest.approx(test + 8)
            assert row["valid_loglik"] == pytest.approx(valid)
            assert row["test_gap"] == pytest.approx(7)
            assert row["gap_change"] == pytest.approx(0)
            assert row["test_bound"] == pytest.approx(test + 1)
            assert (row["seeds"], row["test_images"]) == (2, IMAGES)


def test_intervals_are_student_s_over_the_seeds_paired_gains(found: dict[str, pd.DataFrame]) -> None:
    """Two seeds lie 0.2 (1 + strength) apart, and their gains 0.2 strength; t is 12.706 for one freedom."""
    for strength in (0.1, 0.8):
        row = of(found["strengths"], dataset="omniglot", k=1, m=1, alpha=1.0, strength=strength).iloc[0]
        assert row["test_loglik_se"] == pytest.approx(0.5)
        assert row["test_loglik_spread"] == pytest.approx(0.2 * (1 + strength) / math.sqrt(2))
        half = 12.7062 * 0.1 * strength
        assert row["gain_high"] - row["gain"] == pytest.approx(half, rel=1e-5)
        assert row["gain"] - row["gain_low"] == pytest.approx(half, rel=1e-5)
    plain = of(found["strengths"], method="plain")
    np.testing.assert_allclose(plain[["gain", "gain_low", "gain_high"]], 0, atol=1e-9)


def test_the_bound_s_choice_stands_beside(cells: Cells) -> None:
    """The made-up bound prefers weak noise, by more than the likelihoods differ."""
    cells.add("k1", methods=STRENGTHS | {("denoising", 1.0): {0.1: (-1.0, -10.0), 2.0: (-1.0, -9.0)}})
    cells.add("m8", m=8)
    table = of(cells.summarise()["tab07"], alpha=1.0)
    assert table[["chosen", "chosen_by_bound"]].to_numpy().tolist() == [[2.0, 0.1]]


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


def test_transitions_are_from_none_to_the_chosen_and_on_to_the_strongest(
    found: dict[str, pd.DataFrame],
) -> None:
    """Gains of the chosen strength and of the strongest, whose seeds lie 0.2 strength apart."""
    expected = {
        ("denoising", 0.5): (0.8, 0.8, 2.0, 0.0),
        ("denoising", 1.0): (0.4, 0.8, -2.0, 8.0),
        ("weight_norm", 0.0): (4.0, 1.0, 1.5, 6.5),
    }
    table = found["transitions"]
    assert len(table) == 2 * 3 * 3 * 2
    for (method, alpha), (chosen, strongest, gain, loss) in expected.items():
        for seed, side in ((0, -0.1), (1, 0.1)):
            rows = of(table, method=method, alpha=alpha, seed=seed)
            assert set(rows["k"]) == {1, 8, 64}
            gain_here, loss_here = gain + side * chosen, loss + side * (chosen - strongest)
            values = [chosen, strongest, gain_here, loss_here, min(gain_here, loss_here)]
            columns = ["own_choice", "strongest", "gain", "loss", "transition"]
            np.testing.assert_allclose(rows[columns], [values] * 6, atol=1e-9)
    pd.testing.assert_frame_equal(found["attenuation"], table)


def test_only_methods_and_seeds_of_every_k_tell_of_attenuation(cells: Cells) -> None:
    strong = {**STRENGTHS, ("denoising", 1.0): {0.4: (-90.0, -1.0), 1.6: (-80.0, -2.0)}}
    del strong["denoising", 0.5]
    cells.add("k1", seeds=3)
    cells.add("k8", k=8, methods=strong)
    cells.add("other", "binarized_mnist")
    cells.add("m8", m=8)
    table = cells.summarise()["attenuation"]
    assert set(table["dataset"]) == {"omniglot"}
    assert set(table["alpha"]) == {0.0, 1.0}
    assert table.groupby("k")["seed"].unique().map(list).to_dict() == {1: [0, 1], 8: [0, 1]}
    assert set(of(table, alpha=1.0)["strongest"]) == {0.4}  # the strongest that both have


def test_curves_of_several_copies_stand_beside_those_of_one(found: dict[str, pd.DataFrame]) -> None:
    """Of the methods and strengths that have both, seed by seed."""
    curves = found["curves"]
    assert set(curves["dataset"]) == {"omniglot"}
    assert set(zip(curves["method"], curves["strength"], strict=True)) == {("plain", 0.0), ("denoising", 0.4)}
    assert set(curves["m"]) == {1, 8, 64}
    assert len(curves) == 2 * 3 * 2 * len(STEPS)
    curves = curves.groupby(["dataset", "method", "m", "step"], as_index=False).mean(numeric_only=True)
    one = of(curves, method="denoising", m=1).sort_values("step")
    np.testing.assert_allclose(one["test_bound"], [-122, -102, -102], atol=1e-12)
    np.testing.assert_allclose(one["train_bound"], one["test_bound"] + 1, atol=1e-12)
    np.testing.assert_allclose(one["valid_bound"], one["test_bound"] + 2, atol=1e-12)
    eight = of(curves, method="denoising", m=8).sort_values("step")
    np.testing.assert_allclose(eight["test_bound"], [-110, -90, -96], atol=1e-12)
    np.testing.assert_allclose(eight["passes"], [2.5, 5, 7.5], atol=1e-12)


def test_the_fall_is_from_the_largest_test_bound_to_the_last(found: dict[str, pd.DataFrame]) -> None:
    table = found["falls"]
    assert len(table) == 12
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


def test_a_gain_is_over_the_unregularised_model_of_the_same_seed(cells: Cells) -> None:
    cells.add("k1")
    cells.add("m8", m=8)
    path = cells.inputs["evaluation_omniglot_k1"]
    table = pd.read_csv(path)
    table.loc[(table["method"] == "plain") & (table["seed"] == 1), "test_loglik"] += 3
    tables.write(table, path)
    found = of(cells.summarise()["seeds"], m=1, alpha=0.5, strength=0.4)
    assert found.set_index("seed")["gain"].to_dict() == pytest.approx({0: 2.96, 1: 0.04})
    assert found["chosen"].dtype == bool


def test_falls_are_those_of_each_seed_s_curve(cells: Cells) -> None:
    cells.add("k1")
    cells.add("m8", m=8, fall=6.0)
    path = cells.inputs["curves_omniglot_m8"]
    curves = pd.read_csv(path)
    curves.loc[(curves["seed"] == 1) & (curves["step"] == STEPS[-1]), "test_bound"] -= 2
    tables.write(curves, path)
    found = of(cells.summarise()["falls"], m=8, method="denoising", strength=0.4)
    assert found.set_index("seed")["fall"].to_dict() == pytest.approx({0: 6, 1: 8})


def test_without_evaluations_it_says_so(cells: Cells) -> None:
    with pytest.raises(UserError, match="no evaluations"):
        cells.summarise()
