"""Images, training, evaluation, tables and timing of the models with one latent variable per image."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from elbogap import tables
from elbogap.config.base import Section
from elbogap.densities import bernoulli_log_likelihood
from elbogap.errors import OutOfTime, UserError
from elbogap.models.image_vae import unpacked
from elbogap.nn.mlp import MLP
from elbogap.nn.store import Stored
from elbogap.papers.implicit.experiments import images as images_experiment
from elbogap.papers.implicit.experiments import vae_evaluate, vae_summary, vae_time, vae_train
from elbogap.papers.implicit.settings import (
    ImplicitImages,
    TimeOfTraining,
    VaeEvaluate,
    VaeTime,
    VaeTrain,
)
from elbogap.runtime import Run
from toy_data import stand_in_record

EVALUATE = VaeEvaluate(
    burn_in=100, kept=100, widening=1.2, samples=2000, own_samples=500, own_noises=500, rows=100000, seed=0
)  # fmt: skip


def training_run(images: Path, cell: str, scratch: Path) -> Run:
    return Run("smoke", {"cell": cell, "dataset": "binarized_mnist"}, {"images": images}, scratch=scratch)


@pytest.mark.parametrize("dataset", ["binarized_mnist", "fashion_mnist"])
def test_images_are_binary_and_chosen_at_random(dataset: str, tmp_path: Path) -> None:
    record = stand_in_record(tmp_path, dataset)
    settings = ImplicitImages(train=50, test=10, seed=0)
    run = Run("smoke", {"dataset": dataset}, {"data": record})
    found = images_experiment.run(settings, run)["images"]
    assert str(found["data"]) == "stand-in"
    values = unpacked(found, "train").numpy()
    assert values.shape == (50, 784)
    assert set(np.unique(values)) == {0.0, 1.0}
    assert unpacked(found, "test").shape == (10, 784)
    again = images_experiment.run(settings.model_copy(update={"seed": 1}), run)["images"]
    assert not np.array_equal(again["train"], found["train"])


@pytest.mark.parametrize("cell", ["elbo", "sivi", "uivi", "hoffman", "vcd", "factorisation"])
def test_training_raises_the_bound(vae_settings: VaeTrain, images: Path, cell: str, tmp_path: Path) -> None:
    found = vae_train.run(vae_settings, training_run(images, cell, tmp_path))
    curves = found["curves"]
    assert list(curves["step"].unique()) == [10, 20]
    assert set(curves["seed"]) == {0, 1}
    for _, curve in curves.groupby("seed"):
        assert curve["bound"].is_monotonic_increasing
    networks = Stored.from_arrays(found["models"]).networks
    assert set(networks) == {"mean", "scale", "decoder"}


def test_a_seed_is_the_same_alone(vae_settings: VaeTrain, images: Path, tmp_path: Path) -> None:
    both = vae_train.run(vae_settings, training_run(images, "vcd", tmp_path / "a"))["curves"]
    cell = vae_settings.cells["vcd"].model_copy(update={"seeds": 1})
    settings = vae_settings.model_copy(update={"cells": {"vcd": cell}})
    alone = vae_train.run(settings, training_run(images, "vcd", tmp_path / "b"))["curves"]
    expected = both.loc[both["seed"] == 0, "bound"].to_numpy()
    np.testing.assert_allclose(alone["bound"].to_numpy(), expected, rtol=1e-4, atol=1e-12)


def test_an_interrupted_training_goes_on_where_it_was(
    vae_settings: VaeTrain, images: Path, tmp_path: Path
) -> None:
    whole = vae_train.run(vae_settings, training_run(images, "vcd", tmp_path / "a"))
    settings = vae_settings.model_copy(update={"checkpoint_seconds": 1e-9})
    expected = vae_train.run(settings, training_run(images, "vcd", tmp_path / "b"))
    late = replace(training_run(images, "vcd", tmp_path / "c"), deadline=time.monotonic())
    for _ in range(7):
        with pytest.raises(OutOfTime):
            vae_train.run(settings, late)
    resumed = vae_train.run(settings, replace(late, deadline=float("inf")))
    for name, value in expected["models"].items():
        np.testing.assert_array_equal(resumed["models"][name], value)
        np.testing.assert_array_equal(whole["models"][name], value)
    pd.testing.assert_frame_equal(resumed["curves"], expected["curves"])


def test_wrong_settings_are_named(vae_settings: VaeTrain, images: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no cell 'other'; there are: elbo"):
        vae_train.run(vae_settings, training_run(images, "other", tmp_path))
    large = vae_settings.model_copy(update={"batch": 100})
    with pytest.raises(UserError, match=r"batch 100 exceeds the 60 training images"):
        vae_train.run(large, training_run(images, "elbo", tmp_path))


def evaluated(settings: VaeEvaluate, models: dict[str, MLP], method: str, images: Path, folder: Path) -> dict:
    """What `implicit.vae_evaluate` says of made-up models."""
    key = {"document": "implicit", "dataset": "binarized_mnist", "data": "stand-in", "cell": "made_up"}
    key |= {"group": "vcd", "model": "vae", "method": method, "refinements": 0}
    tables.write(Stored(models).to_arrays(), folder / "models.npz")
    tables.write(pd.DataFrame([{**key, "seed": 0, "step": 1, "bound": 0.0}]), folder / "curves.csv")
    inputs = {"images": images, "models": folder / "models.npz", "curves": folder / "curves.csv"}
    keys = {"dataset": "binarized_mnist", "cell": "made_up"}
    return vae_evaluate.run(settings, Run("smoke", keys, inputs, scratch=folder))


def small_models(semi_implicit: bool) -> dict[str, MLP]:
    """One latent dimension and a gentle decoder, so that quadrature is exact and any q is a fair proposal."""
    generator = torch.Generator().manual_seed(0)
    decoder = MLP(1, [1, 5, 784], "tanh", generator)
    inputs = 784 + (2 if semi_implicit else 0)
    models = {"decoder": decoder, "mean": MLP(1, [inputs, 4, 1], "relu", generator, "xavier")}
    scale = MLP.constant(torch.ones(1, 1)) if semi_implicit else MLP(1, [784, 4, 1], "relu", generator)
    return models | {"scale": scale}


def exact(models: dict[str, MLP], images: Path) -> np.ndarray:
    """log p(x) of the test images by the trapezoidal rule."""
    x = unpacked(tables.read_arrays(images), "test")
    z = torch.linspace(-8, 8, 2001)[:, None]
    with torch.no_grad():
        pixels = bernoulli_log_likelihood(x[None], models["decoder"](z[None])[0][:, None])
    prior = torch.distributions.Normal(0, 1).log_prob(z)
    return (torch.logsumexp(pixels.double() + prior, 0) + np.log(16 / 2000)).numpy()


@pytest.mark.parametrize("method", ["elbo", "uivi"])
def test_both_estimates_are_near_the_exact_likelihood(method: str, images: Path, tmp_path: Path) -> None:
    models = small_models(method == "uivi")
    found = evaluated(EVALUATE, models, method, images, tmp_path)
    expected = exact(models, images)
    table = found["evaluation"].iloc[0]
    assert table["test_images"] == 12
    assert table["test_loglik"] == pytest.approx(expected.mean(), abs=0.05)
    assert table["test_loglik_q"] == pytest.approx(expected.mean(), abs=0.5)
    assert 0.6 < table["acceptance"] < 1
    assert table["difference"] == pytest.approx(table["test_loglik_q"] - table["test_loglik"])


def test_few_noises_push_the_own_estimate_up(images: Path, tmp_path: Path) -> None:
    """E log(1 / q^) >= log(1 / q): the fewer noises, the higher the estimate, up to sampling error."""
    models = small_models(semi_implicit=True)
    with torch.no_grad():
        models["mean"].weights[0][:, 784:] *= 20
        models["scale"].biases[0].fill_(0.135)
    means = []
    for noises in (1, 500):
        settings = EVALUATE.model_copy(update={"own_noises": noises})
        found = evaluated(settings, models, "uivi", images, tmp_path / str(noises))
        means.append(found["evaluation"]["test_loglik_q"].iloc[0])
    assert means[0] > means[1] + 0.5


def test_blocks_of_images_are_joined(images: Path, tmp_path: Path) -> None:
    settings = EVALUATE.model_copy(update={"rows": 2500})  # blocks of five
    found = evaluated(settings, small_models(False), "elbo", images, tmp_path)
    expected = exact(small_models(False), images).mean()
    assert found["evaluation"]["test_loglik"].item() == pytest.approx(expected, abs=0.15)


def test_tables_have_the_means_and_spreads_over_seeds_of_their_cells(tmp_path: Path) -> None:
    inputs = {}
    for cell, method, group, shift in (
        ("kl", "elbo", "vcd", 0),
        ("vcd", "vcd", "vcd+steps", 2),
        ("u", "uivi", "uivi", 5),
    ):
        values = np.array([-100.0, -104.0]) + shift
        rows = pd.DataFrame(
            {
                "document": "implicit", "dataset": "d", "data": "real", "cell": cell, "group": group,
                "model": "vae", "method": method, "refinements": 0, "seed": range(2), "test_images": 50,
                "test_loglik": values, "test_loglik_se": 1.0, "test_loglik_q": values + 1,
                "difference": 1.0, "acceptance": 0.9,
            }
        )  # fmt: skip
        inputs[f"evaluation_d_{cell}"] = tmp_path / f"{cell}.csv"
        tables.write(rows, inputs[f"evaluation_d_{cell}"])
    found = vae_summary.run(Section(), Run("smoke", inputs=inputs))
    assert len(found["seeds"]) == 6
    assert list(found["tab01"]["cell"]) == ["u"]
    assert list(found["steps"]["cell"]) == ["vcd"]
    table = found["tab02"].set_index("cell")
    assert table["test_loglik"].to_dict() == {"kl": -102, "vcd": -100}
    assert table["test_loglik_q"].to_dict() == {"kl": -101, "vcd": -99}
    assert table["test_loglik_seed_sd"].tolist() == pytest.approx([np.sqrt(8)] * 2)
    assert (table["seeds"] == 2).all()


def time_of_training(train: VaeTrain, images: Path, folder: Path, **timing: Any) -> pd.DataFrame:
    settings = TimeOfTraining(timing=VaeTime(**timing), train=train)
    return vae_time.run(settings, Run("smoke", inputs={"images": images}, scratch=folder))["time"]


def test_training_is_timed_for_each_number_of_iterations(
    vae_settings: VaeTrain, images: Path, tmp_path: Path
) -> None:
    found = time_of_training(vae_settings, images, tmp_path, refinements=(1, 10), steps=2, repeats=1)
    assert list(found["refinements"]) == [1, 10]
    assert (found["seconds"] > 0).all()


def test_the_time_of_an_iteration_is_the_slope_over_medians_without_the_first_round(
    vae_settings: VaeTrain, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = [[9.0, 9.0, 9.0], [0.12, 0.30, 0.90], [0.12, 0.30, 0.90], [0.10, 0.50, 1.00]]
    seconds = iter(np.ravel(rounds))
    monkeypatch.setattr(vae_time, "seconds_per_step", lambda *_: next(seconds))
    found = time_of_training(vae_settings, images, tmp_path, refinements=(1, 10, 40), steps=2, repeats=3)
    assert found["seconds"].tolist() == [0.12, 0.30, 0.90]
    assert found["seconds_low"].tolist() == [0.10, 0.30, 0.90]
    assert found["seconds_high"].tolist() == [0.12, 0.50, 1.00]
    assert found["seconds_per_hmc"].tolist() == pytest.approx([0.02] * 3)
    assert found["line_error"].tolist() == pytest.approx([0] * 3, abs=1e-9)
