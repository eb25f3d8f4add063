from pathlib import Path

import numpy as np
import pytest

from elbogap import tables
from elbogap.models.image_vae import unpacked
from elbogap.papers.air.experiments import setup
from elbogap.papers.air.settings import Train
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
