import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from elbogap import tables
from elbogap.models.image_vae import unpacked
from elbogap.papers.air.experiments import cost, setup
from elbogap.papers.air.methods import Method
from elbogap.papers.air.settings import Cell, Cost, CostOfTraining, Train
from elbogap.papers.air.training import Training
from elbogap.runtime import Run

PARTS = {"binarized_mnist": (60, 30, 30), "omniglot": (45, 11, 7)}


@pytest.fixture(scope="module")
def inputs(images: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The made-up images, and fewer of them under the name of another data set."""
    arrays = tables.read_arrays(images)
    fewer = {
        part: arrays[part][:size]
        for part, size in zip(("train", "valid", "test"), PARTS["omniglot"], strict=True)
    }
    path = tmp_path_factory.mktemp("inputs") / "omniglot.npz"
    tables.write(fewer | {"data": np.array("real"), "dataset": np.array("omniglot")}, path)
    return {"binarized_mnist": images, "omniglot": path}


@pytest.fixture(scope="module")
def both(train_settings: Train) -> Train:
    """Cell `all` on both data sets, `several` on OMNIGLOT alone."""
    cells = train_settings.cells
    changed = {
        "all": cells["all"].model_copy(update={"datasets": ("binarized_mnist", "omniglot")}),
        "several": cells["several"].model_copy(update={"datasets": ("omniglot",)}),
        "large": cells["large"],
    }
    return train_settings.model_copy(update={"cells": changed})


def priced(settings: Train, inputs: dict[str, Path], scratch: Path, **timing: Any) -> pd.DataFrame:
    usual = {"cells": list(settings.cells), "steps": 3, "repeats": 1, "members": 2}
    asked = CostOfTraining(timing=Cost(**usual | timing), train=settings)
    return cost.run(asked, Run("test", inputs=inputs, scratch=scratch))["cost"]


def test_splits_have_the_sizes_of_the_images_and_their_ink(both: Train, inputs: dict[str, Path]) -> None:
    splits = setup.run(both, Run("test", inputs=inputs))["splits"].set_index("dataset")
    assert [tuple(row) for row in splits[["train", "valid", "test"]].to_numpy()] == list(PARTS.values())
    assert splits["data"].tolist() == ["stand-in", "real"]
    for dataset, path in inputs.items():
        expected = unpacked(tables.read_arrays(path), "train").mean().item()
        assert splits.loc[dataset, "ink"] == pytest.approx(expected)
        assert 0.2 < expected < 0.5


def test_settings_have_a_row_per_data_set_and_cell_trained_on_it(
    both: Train, inputs: dict[str, Path]
) -> None:
    table = setup.run(both, Run("test", inputs=inputs))["settings"].set_index(["dataset", "cell"])
    assert table.index.tolist() == [
        ("binarized_mnist", "all"), ("binarized_mnist", "large"), ("omniglot", "all"), ("omniglot",
        "several"),
    ]  # fmt: skip
    layers = {place: (row["encoder"], row["decoder"]) for place, row in table.iterrows()}
    expected = {
        ("binarized_mnist", "all"): ("8-2", "8-784"),
        ("binarized_mnist", "large"): ("12-11-2", "8-784"),
        ("omniglot", "all"): ("9-7-2", "6-784"),
        ("omniglot", "several"): ("9-7-2", "6-784"),
    }
    assert list(layers.items()) == list(expected.items())
    assert table["iterations"].tolist() == [50, 30, 50, 30]
    np.testing.assert_allclose(table["passes"], [50 / 3, 10, 50 * 20 / 45, 30 * 20 / 45], atol=1e-12)
    assert table[["k", "m", "seeds"]].to_numpy().tolist() == [[1, 1, 2], [1, 1, 1], [1, 1, 2], [3, 2, 1]]
    np.testing.assert_allclose(table["learning_rate"], 0.02, atol=1e-12)
    np.testing.assert_allclose(table["final_learning_rate"], 0.002, atol=1e-12)
    assert set(table["activation"]) == {"tanh"}


def test_cost_has_a_row_per_data_set_cell_and_method(
    both: Train, inputs: dict[str, Path], tmp_path: Path
) -> None:
    table = priced(both, inputs, tmp_path)
    rows = table[["dataset", "cell", "method", "alpha"]].itertuples(index=False, name=None)
    whole = [("plain", 0.0), ("denoising", 0.5), ("denoising", 1.0), ("weight_norm", 0.0)]
    expected = [("binarized_mnist", "all", *one) for one in whole]
    expected += [("binarized_mnist", "large", "plain", 0.0)]
    expected += [("omniglot", "all", *one) for one in whole]
    expected += [("omniglot", "several", "plain", 0.0), ("omniglot", "several", "denoising", 1.0)]
    assert list(rows) == expected
    assert table["models"].tolist() == [2, 4, 4, 4, 1, 2, 4, 4, 4, 1, 1]
    assert table["iterations"].tolist() == 4 * [50] + [30] + 4 * [50] + 2 * [30]
    assert (table[["members", "threads"]].to_numpy() == [2, 1]).all()
    assert set(table["device"]) == {"cpu"}


def test_times_are_positive_and_grow_with_the_samples(
    train_settings: Train, images: Path, tmp_path: Path
) -> None:
    large = {"m": 30, "alphas": (), "noise": ()}
    cells = {
        name: train_settings.cells["several"].model_copy(update=change)
        for name, change in (("few", large | {"m": 1}), ("many", large))
    }
    settings = train_settings.model_copy(update={"cells": cells})
    table = priced(settings, {"binarized_mnist": images}, tmp_path, steps=8, repeats=3, members=1)
    times = table.set_index("cell")["seconds_per_1000_steps"]
    assert 0 < times["few"] < times["many"]
    hours = table["seconds_per_1000_steps"] / 1000 * table["iterations"] * table["models"] / 3600
    np.testing.assert_allclose(table["hours"], hours, atol=1e-12)


def make_up_the_clock(monkeypatch: pytest.MonkeyPatch, seconds: Callable[[Training, int], float]) -> None:
    """Let training, which does nothing, take so many seconds for its steps."""
    now = [0.0]

    def fit(training: Training, _: object, *, epochs: int, **__: object) -> None:
        now[0] += seconds(training, epochs * training.settings.round_steps)

    monkeypatch.setattr(Training, "fit", fit)
    monkeypatch.setattr("elbogap.training.time.perf_counter", lambda: now[0])


@pytest.mark.parametrize("repeats", [1, 3])
def test_seconds_are_those_of_a_step_of_one_model_without_start_up(
    both: Train, inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repeats: int
) -> None:
    """A made-up clock: warming up, starts and an interruption take long, a model's step k m / 64 s."""
    calls: list[tuple[Cell, Method, int, int]] = []

    def seconds(training: Training, steps: int) -> float:
        cell, method, members = training.cell, training.method, len(training.members)
        calls.append((cell, method, members, steps))
        same = [call for call in calls if call[:2] == (cell, method)]
        warming, interrupted = len(same) == 1, len(same) == 6
        step = cell.k * cell.m * members / 64
        return 1000 * warming + 5 + steps * step * (3 if interrupted else 1)

    make_up_the_clock(monkeypatch, seconds)
    table = priced(both, inputs, tmp_path, steps=10, repeats=repeats, members=4)
    np.testing.assert_allclose(
        table["seconds_per_1000_steps"], 1000 * table["k"] * table["m"] / 64, atol=1e-12
    )
    np.testing.assert_allclose(
        table["hours"],
        table["k"] * table["m"] / 64 * table["iterations"] * table["models"] / 3600,
        atol=1e-12,
    )
    assert {steps for *_, steps in calls} == {10, 20}
    assert {members for _, _, members, _ in calls} == {4}


def test_equal_networks_are_timed_once(
    both: Train, inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(cost, "_seconds_per_step", lambda *arguments: calls.append(arguments) or 1.0)
    same = both.model_copy(
        update={"architectures": dict.fromkeys(PARTS, both.architectures["binarized_mnist"])}
    )
    rows = len(priced(both, inputs, tmp_path))
    assert len(calls) == rows
    calls.clear()
    assert len(priced(same, inputs, tmp_path)) == rows
    assert len(calls) == rows - 4


def test_a_clock_that_runs_backwards_costs_nothing(
    train_settings: Train, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_up_the_clock(monkeypatch, lambda _, steps: -steps)
    table = priced(train_settings, {"binarized_mnist": images}, tmp_path)
    assert (table["seconds_per_1000_steps"] == 0).all()
    assert not any(math.isnan(hours) for hours in table["hours"])


def test_only_the_cells_that_are_asked_for_are_timed(
    train_settings: Train, images: Path, tmp_path: Path
) -> None:
    table = priced(train_settings, {"binarized_mnist": images}, tmp_path, cells=["several"])
    assert set(table["cell"]) == {"several"}
    with pytest.raises(ValidationError, match="sevral"):
        priced(train_settings, {"binarized_mnist": images}, tmp_path, cells=["sevral"])
