import time
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from elbogap import tables
from elbogap.errors import OutOfTime, UserError
from elbogap.models.image_vae import unpacked
from elbogap.nn.norm_bounded import NormBoundedMLP
from elbogap.nn.store import Stored
from elbogap.papers.air.experiments import train
from elbogap.papers.air.methods import Method, methods
from elbogap.papers.air.settings import Train
from elbogap.papers.air.training import Training
from elbogap.runtime import Run

KEY = ["method", "alpha", "strength", "seed"]
METHODS = [
    ("plain", 0.0, (0.0,)),
    ("denoising", 0.5, (0.2, 0.8)),
    ("denoising", 1.0, (0.2, 0.8)),
    ("weight_norm", 0.0, (0.5, 3.0)),
]


def run(settings: Train, images: Path, scratch: Path, cell: str = "all", **options: float) -> dict:
    keys = {"dataset": "binarized_mnist", "cell": cell}
    return train.run(settings, Run("test", keys, {"images": images}, scratch, **options))


@pytest.fixture(scope="module")
def models(trained: dict[str, Path]) -> Stored:
    return Stored.load(trained["models"])


def keys(models: Stored) -> list[tuple]:
    return list(zip(*(models.values[name].tolist() for name in KEY), strict=True))


def test_all_methods_strengths_and_seeds_are_trained_in_order(models: Stored) -> None:
    expected = [
        (name, alpha, strength, seed)
        for name, alpha, strengths in METHODS
        for seed, strength in product(range(2), strengths)
    ]
    assert keys(models) == expected
    assert models.networks["encoder"].sizes == [784, 8, 4]
    assert models.networks["decoder"].sizes == [2, 8, 784]
    weights = models.networks["decoder"].weights[0].detach().numpy()
    assert len({weight.tobytes() for weight in weights}) == len(expected)


def test_curves_have_a_row_per_model_and_measurement(
    trained: dict[str, Path], models: Stored, train_settings: Train
) -> None:
    curves = tables.read_table(trained["curves"])
    assert list(curves) == [
        "document", "dataset", "data", "cell", "k", "m", "encoder", *KEY, "step", "passes", "train_bound",
        "valid_bound", "test_bound",
    ]  # fmt: skip
    assert len(curves) == 3 * len(keys(models))
    for m, key in enumerate(keys(models)):
        rows = curves.iloc[3 * m : 3 * m + 3]
        assert (rows[KEY] == list(key)).all(axis=None)
        assert rows["step"].tolist() == [20, 40, 50]
    np.testing.assert_allclose(curves["passes"], curves["step"] * train_settings.batch / 60, atol=1e-12)
    first = curves.iloc[0]
    assert first[["document", "dataset", "data", "cell", "encoder"]].tolist() == [
        "air", "binarized_mnist", "stand-in", "all", "standard",
    ]  # fmt: skip
    assert (first["k"], first["m"]) == (1, 1)
    assert np.isfinite(curves[["train_bound", "valid_bound", "test_bound"]]).all(axis=None)


def test_training_raises_the_bounds_of_all_methods(trained: dict[str, Path]) -> None:
    curves = tables.read_table(trained["curves"])
    ends = curves.groupby(KEY)[["train_bound", "valid_bound", "test_bound"]].agg(["first", "last"])
    for part in ("train_bound", "valid_bound", "test_bound"):
        assert (ends[part, "last"] > ends[part, "first"]).all()
    # coin flips of each pixel's frequency are what a decoder can learn at once; untrained ones have even odds
    assert (ends["valid_bound", "last"] > -784 * np.log(2) + 50).all()


def test_the_networks_kept_are_those_of_the_best_validation_bound(
    images: Path, train_settings: Train, tmp_path: Path
) -> None:
    """At so large a rate that the bound does not rise steadily; the models give the curve's values again."""
    settings = train_settings.model_copy(update={"learning_rate": 0.3, "measure_rounds": 1, "final_share": 1})
    found = run(settings, images, tmp_path)
    curves, kept = found["curves"], found["models"]["kept_step"]
    best = curves.loc[curves.groupby(KEY, sort=False)["valid_bound"].idxmax()]
    assert kept.tolist() == best["step"].tolist()
    assert len(set(kept.tolist())) > 1
    nets, arrays = Stored.from_arrays(found["models"]).networks, tables.read_arrays(images)
    for part, k in (("valid", 4), ("test", 1)):
        again = train.bounds(
            nets,
            unpacked(arrays, part, count=25),
            k=k,
            draws=1,
            rows=settings.rows,
            generator=train.torch_generator(0, "air.train", "binarized_mnist", part),
        )
        np.testing.assert_allclose(again.mean(1), best[f"{part}_bound"], rtol=1e-4, atol=1e-12)


def test_norm_bounded_encoders_come_back_as_plain_ones_within_their_bounds(models: Stored) -> None:
    weights = models.networks["encoder"].weights
    lengths = torch.cat([weight.detach().norm(dim=1) for weight in weights], 1).max(1).values
    method, strength = models.values["method"], models.values["strength"]
    bounded = method == "weight_norm"
    assert (lengths[bounded].numpy() <= strength[bounded] * (1 + 1e-5)).all()
    assert (lengths[bounded & (strength == 0.5)].numpy() > 0.2).all()
    assert (lengths[method == "plain"] > 1).all()


@pytest.mark.parametrize("cell", ["all", "several"])
def test_members_do_not_depend_on_their_companions(
    images: Path, train_settings: Train, tmp_path: Path, cell: str
) -> None:
    short = {"round_steps": 4, "learning_rate": 0.005}
    settings = train_settings.model_copy(update=short)
    together = run(settings, images, tmp_path / "a", cell)
    alone = run(settings.model_copy(update={"rows": 100}), images, tmp_path / "b", cell)
    for name, values in together["models"].items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(values, alone["models"][name], rtol=1e-3, atol=1e-4, err_msg=name)
    np.testing.assert_allclose(
        together["curves"]["train_bound"], alone["curves"]["train_bound"], rtol=1e-4, atol=1e-12
    )


@pytest.mark.parametrize("cell", ["all", "several"])
def test_training_in_many_pieces_gives_the_same_models_and_curves(
    images: Path, train_settings: Train, tmp_path: Path, cell: str
) -> None:
    settings = train_settings.model_copy(update={"round_steps": 2, "rows": 150})
    whole, pieces = run(settings, images, tmp_path / "whole", cell), 1
    while True:
        try:
            found = run(settings, images, tmp_path / "pieces", cell, deadline=time.monotonic() + 0.01)
            break
        except OutOfTime:
            pieces += 1
    assert pieces > 2
    for name, values in whole["models"].items():
        np.testing.assert_array_equal(found["models"][name], values, err_msg=name)
    assert found["curves"].equals(whole["curves"])


def test_members_of_equal_seed_start_from_equal_weights(train_settings: Train) -> None:
    cell = train_settings.cells["all"]
    starts = []
    for method in methods(cell):
        members = list(product(range(cell.seeds), method.strengths))
        nets = Training(train_settings, "binarized_mnist", cell, method, members).initial_networks()
        assert isinstance(nets["encoder"], NormBoundedMLP) == (method.name == "weight_norm")
        starts += [
            (seed, [one[m] for one in nets["encoder"].weights], [one[m] for one in nets["decoder"].weights])
            for m, (seed, _) in enumerate(members)
        ]
    for network in (1, 2):
        for seed in range(2):
            same = [one[network] for one in starts if one[0] == seed]
            assert len(same) == 7
            assert all(torch.equal(*pair) for one in same for pair in zip(same[0], one, strict=True))
        different = [starts[place][network][0] for place in (0, 1)]
        assert not torch.equal(*different)


def test_initial_weights_are_glorot_s_with_the_layers_of_the_settings(train_settings: Train) -> None:
    plain = Method("plain", 0.0, (0.0,))
    cells = train_settings.cells
    ordinary, large = (
        Training(train_settings, "omniglot", cells[name], plain, [(0, 0.0)]).initial_networks()
        for name in ("all", "large")
    )
    assert ordinary["encoder"].sizes == [784, 9, 7, 4]
    assert large["encoder"].sizes == [784, 12, 11, 4]
    assert ordinary["decoder"].sizes == large["decoder"].sizes == [2, 6, 784]
    assert all(bias.abs().max() == 0 for bias in ordinary["encoder"].biases)
    limit = (6 / (784 + 9)) ** 0.5
    assert 0.95 * limit < ordinary["encoder"].weights[0].abs().max().item() <= limit


def test_methods_are_those_of_the_cell_and_the_unregularised_one_comes_first(train_settings: Train) -> None:
    cells = train_settings.cells
    assert list(methods(cells["all"])) == [Method(*one) for one in METHODS]
    assert list(methods(cells["large"])) == [Method("plain", 0.0, (0.0,))]


def test_rows_of_a_step_count_samples_copies_and_views(train_settings: Train) -> None:
    several = train_settings.cells["several"]
    counts = [
        Training(train_settings, "omniglot", several, Method("denoising", alpha, ()), []).rows_per_member()
        for alpha in (0.5, 1)
    ]
    assert counts == [2 * 20 * 3 * 2, 20 * 3 * 2]


def test_impossible_requests_are_refused(images: Path, train_settings: Train, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="batch 61 exceeds the 60 training images"):
        run(train_settings.model_copy(update={"batch": 61}), images, tmp_path)
    with pytest.raises(UserError, match="no cell 'k8'; there are: all, several, large"):
        run(train_settings, images, tmp_path, "k8")
