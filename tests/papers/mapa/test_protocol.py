"""Ground truth and models are linear, x = w z + e, so that log p(x) is known."""

import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import stored
import torch
from stored import VARIANCE, linear, marginal

from allowance import within
from elbogap import tables
from elbogap.errors import OutOfTime, UserError
from elbogap.inference.prior_recovery import quantile_map
from elbogap.nn.mlp import MLP
from elbogap.papers.mapa.experiments import protocol
from elbogap.papers.mapa.model import GroundTruth, Model
from elbogap.papers.mapa.settings import Protocol
from elbogap.runtime import Run, limit_torch_threads, torch_generator

TRUE, OTHER = (1.0, -0.5), (0.9, -0.6)
SETTINGS = Protocol(
    cells=("vae", "mapa_S10_k20"), draws=2, test_points=40, components=4, hidden=(8,), samples=40, batch=100,
    epochs=50, learning_rate=0.01, bound_samples=4000, seed=0,
)  # fmt: skip
FEW = SETTINGS.model_copy(update={"epochs": 2, "bound_samples": 40, "test_points": 10})


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    limit_torch_threads(1)
    folder = tmp_path_factory.mktemp("protocol")
    paths = {"surrogate": stored.truth(folder / "surrogate.npz", linear([TRUE]))}
    for cell, outputs in zip(SETTINGS.cells, (2, 1), strict=True):
        encoder = MLP(4, [2, 5, outputs], "tanh", torch_generator(0, "encoder")).double()
        members = [(0, 0), (0, 1), (1, 0), (1, 1)]
        paths[cell] = stored.models(folder / f"{cell}.npz", linear([OTHER] * 4), encoder, members, seed=7)
    rows = [
        {"cell": cell, "draw": draw, "restart": restart, "prior": prior, "selected": restart == draw}
        for cell, prior in zip(SETTINGS.cells, ("standard", "quantile map"), strict=True)
        for draw in (0, 1)
        for restart in (0, 1)
    ]
    paths["density"] = folder / "density.csv"
    tables.write(pd.DataFrame(rows), paths["density"])
    return paths


def estimated(
    inputs: dict[str, Path], scratch: Path, settings: Protocol = FEW, **options: float
) -> tuple[pd.DataFrame, dict[str, Any]]:
    result = protocol.run(settings, Run("test", {"problem": "circle"}, inputs, scratch, **options))
    return result["protocol"], result["timing"]


def test_the_estimate_is_the_likelihood_up_to_its_own_error(inputs: dict[str, Path], tmp_path: Path) -> None:
    table, timing = estimated(inputs, tmp_path, SETTINGS)
    truth = GroundTruth.load("circle", inputs["surrogate"])
    assert table["cell"].tolist() == ["ground_truth"] * 2 + ["vae"] * 2 + ["mapa_S10_k20"] * 2
    assert table["restart"].tolist()[2:] == [0, 1, 0, 1]
    for draw, rows in table.groupby("draw"):
        _, x = truth.data_set(40, 7, draw, "test")
        true, other = marginal(TRUE).log_prob(x), marginal(OTHER).log_prob(x)
        row = rows.set_index("cell")
        assert row.loc["ground_truth", "loglik_quadrature"] == pytest.approx(float(true.mean()), abs=1e-7)
        assert row.loc["vae", "loglik_quadrature"] == pytest.approx(float(other.mean()), abs=1e-7)
        assert row.loc["vae", "kl_quadrature"] == pytest.approx(float((true - other).mean()), abs=1e-7)
        assert row.loc["ground_truth", "kl_protocol"] == pytest.approx(0, abs=1e-12)
    assert within(table["bias"], table["bias_se"], times=5)
    assert (table["bias_se"] < 0.02).all()
    np.testing.assert_allclose(
        table["bias"], table["loglik_protocol"] - table["loglik_quadrature"], atol=1e-12
    )
    np.testing.assert_allclose(
        table["kl_difference"], table["kl_protocol"] - table["kl_quadrature"], atol=1e-12
    )
    for one in json.loads(json.dumps(timing))["models"]:
        assert one["ratio"] == pytest.approx((one["fit_s"] + one["bound_s"]) / one["quadrature_s"])


def test_fitting_the_encoder_raises_the_bound(inputs: dict[str, Path], tmp_path: Path) -> None:
    """By more than four standard errors of the mean over all models, with one draw per component."""
    bias, error = [], []
    for epochs in (1, 50):
        change = {"cells": ("vae",), "epochs": epochs, "test_points": 400, "bound_samples": 4}
        table, _ = estimated(inputs, tmp_path / str(epochs), FEW.model_copy(update=change))
        bias.append(table["bias"].mean())
        error.append((table["bias_se"] ** 2).sum() ** 0.5 / len(table))
    assert bias[0] + 4 * (error[0] ** 2 + error[1] ** 2) ** 0.5 < bias[1] < 0


@pytest.mark.parametrize("recovered", [False, True])
def test_frozen_decoders_have_the_values_and_slopes_of_the_models(recovered: bool) -> None:
    decoder = MLP(2, [1, 6, 2], "tanh", torch_generator(0, "decoder")).double()
    models = []
    for m in range(2):
        codes = torch.randn(50, generator=torch_generator(m, "codes"), dtype=torch.float64)
        law = quantile_map(codes) if recovered else None
        models.append(Model(decoder=decoder.select([m]), noise_variance=VARIANCE, law=law))
    means = protocol.means(models, "cpu")
    z = torch.linspace(-2, 2, 31).expand(2, -1)[..., None].clone().requires_grad_()
    value = means(z)
    for m, model in enumerate(models):
        torch.testing.assert_close(value[m], model.mean(z[m].double().detach()).float())
    (slope,) = torch.autograd.grad(value[..., 0].sum(), z)
    h, exact = 1e-7, z.detach().double()
    for m, model in enumerate(models):
        expected = (model.mean(exact[m] + h) - model.mean(exact[m] - h))[:, :1] / (2 * h)
        torch.testing.assert_close(slope[m].double(), expected, rtol=1e-4, atol=1e-4)


def test_draws_come_in_blocks_that_cover_all_of_them(
    inputs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where q is the posterior itself every draw gives log p(x), so that a lost one would show."""
    truth = GroundTruth.load("circle", inputs["surrogate"])
    _, x = truth.data_set(7, 7, 0, "test")
    precision = 1 + (TRUE[0] ** 2 + TRUE[1] ** 2) / VARIANCE
    weight, bias = torch.zeros(1, 2, 12, dtype=torch.float64), torch.zeros(1, 1, 12, dtype=torch.float64)
    weight[0, :, 4:8] = torch.tensor(TRUE, dtype=torch.float64)[:, None] / VARIANCE / precision
    bias[..., 8:] = -math.log(precision)
    heads = MLP.from_tensors([weight], [bias], "tanh")
    for most in (1, 16 * 13, 16 * 100 * 3, 2**18):
        monkeypatch.setitem(protocol.TERMS, "cpu", most)
        settings = SETTINGS.model_copy(update={"bound_samples": 400})
        bound = protocol.bound_of(settings, truth, x, heads, torch_generator(0, "bound"))
        torch.testing.assert_close(bound, marginal(TRUE).log_prob(x))


def test_models_are_estimated_alike_alone_and_together(
    inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together, _ = estimated(inputs, tmp_path / "a")
    monkeypatch.setitem(protocol.ROWS, "cpu", 1)
    alone, _ = estimated(inputs, tmp_path / "b")
    pd.testing.assert_frame_equal(together, alone, rtol=1e-3, atol=1e-4)


def test_a_stopped_run_goes_on_to_the_same_table_without_its_time(
    inputs: dict[str, Path], tmp_path: Path
) -> None:
    whole, timing = estimated(inputs, tmp_path / "whole")
    again, _ = estimated(inputs, tmp_path / "again")
    pd.testing.assert_frame_equal(whole, again, check_exact=True)
    assert all(one["fit_s"] > 0 for one in timing["models"])
    stops = 0
    while True:
        try:
            table, timing = estimated(inputs, tmp_path / "stopped", deadline=time.monotonic())
            break
        except OutOfTime:
            stops += 1
    assert stops > 10
    pd.testing.assert_frame_equal(table, whole, check_exact=True)
    assert all(one["fit_s"] is None and one["ratio"] is None for one in timing["models"])
    assert all(one["bound_s"] > 0 and one["quadrature_s"] > 0 for one in timing["models"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 201}, "batch 201 exceeds the 200 training points"),
        ({"draws": 3}, "no selected model of vae on data set 2"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(
    inputs: dict[str, Path], tmp_path: Path, change: dict[str, int], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        estimated(inputs, tmp_path, FEW.model_copy(update=change))
