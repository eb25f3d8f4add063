"""Ground truth and models are linear, x = w z + e, so that likelihoods and posteriors are known."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import stored
import torch
from stored import VARIANCE, linear, marginal
from torch.distributions import Categorical, MultivariateNormal

from allowance import within
from elbogap import tables
from elbogap.densities import gaussian_log_density, standard_gaussian_log_density
from elbogap.errors import OutOfTime, UserError
from elbogap.inference import exact_importance
from elbogap.inference.families.gaussian import FullRankGaussian
from elbogap.inference.objectives.elbo import ELBO
from elbogap.nn.mlp import MLP
from elbogap.papers.mapa import training
from elbogap.papers.mapa.experiments import gaps, gather
from elbogap.papers.mapa.methods import Cell
from elbogap.papers.mapa.model import GroundTruth, Trained, load
from elbogap.papers.mapa.settings import Gaps, Schedule, Train
from elbogap.papers.mapa.training import SomeTerms, objective, proposal
from elbogap.runtime import Run, limit_torch_threads

SLOPE = (1.0, -0.5)
POSTERIOR_VARIANCE = 1 / (1 + sum(value**2 for value in SLOPE) / VARIANCE)
SHIFT = 0.15  # of an encoder's mean, in units of z


def posterior_encoder(shift: float = 0.0) -> MLP:
    """Mean and log-variance of p(z|x), the mean shifted."""
    gain = [value / VARIANCE * POSTERIOR_VARIANCE for value in SLOPE]
    weight = [gain[0], 0.0, gain[1], 0.0]
    return linear([weight] * 2, 2, (shift, float(np.log(POSTERIOR_VARIANCE))))


def code_encoder() -> MLP:
    return linear([[0.8, -0.4]] * 2, 2)


class Setting:
    """A ground truth, models by their encoders, and the table that selects them, as files."""

    def __init__(self, folder: Path, cells: dict[str, MLP]) -> None:
        limit_torch_threads(1)
        self.folder = folder
        self.inputs = {"surrogate": stored.truth(folder / "surrogate.npz", linear([SLOPE]))}
        for name, encoder in cells.items():
            decoder, members = linear([SLOPE] * 2), [(0, 3), (1, 4)]
            path = folder / f"{name}.npz"
            self.inputs[name] = stored.models(path, decoder, encoder, members, points=60, seed=7)
        rows = [
            {"cell": name, "draw": draw, "restart": restart, "prior": prior, "selected": restart > 2}
            for name in cells
            for prior in Cell.parse(name).method.priors
            for draw, restart in ((0, 0), (0, 3), (1, 4))
        ]
        self.inputs["density"] = folder / "density.csv"
        tables.write(pd.DataFrame(rows), self.inputs["density"])
        self.truth = GroundTruth.load("circle", self.inputs["surrogate"])

    def models(self, cell: str) -> list[Trained]:
        return load(self.truth, cell, self.inputs[cell])

    def run(self, settings: Gaps, **options: float) -> pd.DataFrame:
        run = Run("test", {"problem": "circle"}, self.inputs, self.folder / "scratch", **options)
        return gaps.run(settings, run)["gaps"].set_index(["cell", "draw"])


def settings(*cells: str, **changes: int) -> Gaps:
    return Gaps(**{"cells": cells, "points": 40, "samples": 8, "seed": 0} | changes)


def test_an_exact_encoder_has_no_gaps_and_a_shifted_one_an_amortisation_gap(tmp_path: Path) -> None:
    cells = {"vae": posterior_encoder(), "iwae_S3": posterior_encoder()}
    exact = Setting(tmp_path / "a", cells)
    table = exact.run(settings(*cells))
    assert table.index.tolist() == [(name, draw) for name in cells for draw in (0, 1)]
    assert table["restart"].tolist() == [3, 4, 3, 4]
    assert set(table["points"]) == {40}
    for draw in (0, 1):
        _, x = exact.truth.data_set(60, 7, draw)
        expected = float(marginal(SLOPE).log_prob(x[:40]).mean())
        np.testing.assert_allclose(table.xs(draw, level="draw")["log_likelihood"], expected, atol=1e-8)
    gap_columns = ["bound_gap", "inference_gap", "approximation_gap", "amortisation_gap"]
    np.testing.assert_allclose(table[gap_columns], 0, atol=1e-7)

    shifted = Setting(tmp_path / "b", {"vae": posterior_encoder(SHIFT)}).run(settings("vae"))
    divergence = SHIFT**2 / (2 * POSTERIOR_VARIANCE)
    for column in ("bound_gap", "inference_gap", "amortisation_gap"):
        np.testing.assert_allclose(shifted[column], divergence, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(shifted["approximation_gap"], 0, atol=1e-7)
    assert (shifted["largest_gradient"] < 1e-5).all()
    assert shifted["recovery_gap"].isna().all()


def test_the_bound_of_iwae_is_that_by_quadrature(tmp_path: Path) -> None:
    setting = Setting(tmp_path, {"iwae_S3": posterior_encoder(SHIFT)})
    table = setting.run(settings("iwae_S3", samples=400))
    x = setting.truth.data_set(60, 7, 0)[1][:40]
    q_mean, q_log_variance = setting.models("iwae_S3")[0].encode(x).unbind(-1)
    u = torch.linspace(-9, 9, 721, dtype=torch.float64)[:, None]
    mass = standard_gaussian_log_density(u).exp() * 0.025
    z = q_mean + torch.exp(0.5 * q_log_variance) * u
    noise = torch.tensor([VARIANCE], dtype=torch.float64).log()
    log_joint = gaussian_log_density(x, setting.truth.decode(z[..., None]), noise)
    log_joint = log_joint + standard_gaussian_log_density(z[..., None])
    log_weights = log_joint - gaussian_log_density(z[..., None], q_mean[:, None], q_log_variance[:, None])
    exact = [
        float(exact_importance.iwae(exact_importance.weight_transform(mass, column), 3))
        for column in log_weights.T
    ]
    row = table.loc[("iwae_S3", 0)]
    assert within(row["bound"] - np.mean(exact), row["bound_gap_se"])
    assert 0 < row["bound_gap"] < row["inference_gap"]


@pytest.mark.parametrize(
    "cell", ["mapa_S10_k20", "mapa_within_S10_k20", "mapa_gt_S10_k20", "mapa_naive_S10_k20"]
)
def test_mapa_is_measured_on_its_empiricalised_model(tmp_path: Path, cell: str) -> None:
    setting = Setting(tmp_path, {cell: code_encoder(), "mapa_exact": code_encoder()})
    table = setting.run(settings(cell, "mapa_exact", samples=200, points=60))
    z, x = setting.truth.data_set(60, 7, 0)
    model = setting.models(cell)[0]
    outputs = model.decode(model.encode(x))
    joint = MultivariateNormal(outputs, VARIANCE * torch.eye(2, dtype=torch.float64))
    log_likelihood = joint.log_prob(x[:, None])
    evidence = torch.log(log_likelihood.exp().mean(1))
    centre = {"mapa_gt": setting.truth.decode(z)}.get(cell.split("_S")[0], x)
    logits = MultivariateNormal(centre, VARIANCE * torch.eye(2, dtype=torch.float64)).log_prob(x[:, None])
    q = Categorical(logits=torch.zeros_like(logits) if "naive" in cell else logits)
    row, exact = table.loc[(cell, 0)], table.loc[("mapa_exact", 0)]
    assert row["points"] == 60
    assert row["points"] == 60
    assert row["log_likelihood"] == pytest.approx(float(evidence.mean()), abs=1e-9)
    divergence = (q.probs * (q.logits - log_likelihood.log_softmax(1))).sum(1).mean()
    assert row["inference_gap"] == pytest.approx(float(divergence), rel=1e-6)
    assert 0 < row["bound_gap"] < row["inference_gap"]
    assert exact["bound_gap"] == pytest.approx(0, abs=1e-9)
    assert row["recovery_gap"] == pytest.approx(exact["recovery_gap"])
    assert table[["approximation_gap", "amortisation_gap"]].isna().all(axis=None)


@pytest.mark.parametrize("cell", ["mapa_S10_k50", "mapa_naive_S10_k50"])
def test_the_certain_terms_are_those_of_training(tmp_path: Path, cell: str) -> None:
    setting, parsed = Setting(tmp_path, {cell: code_encoder()}), Cell.parse(cell)
    _, model = setting.models(cell)
    q = proposal(setting.truth, parsed, model.points, model.seed, model.draw)
    settings = Train(
        points=60, draws=2, restarts=1, hidden=(2,), batch=20, rows=100, record_epochs=1,
        checkpoint_seconds=1, exceptions={}, seed=7,
        schedule=Schedule(activation="tanh", epochs=1, learning_rate=0.01, final_share=1.0),
    )  # fmt: skip
    trained = objective(settings, setting.truth, parsed, [(1, 0)], "cpu")
    assert isinstance(trained, SomeTerms)
    assert torch.equal(trained.proposals[0].head, q.head)


def test_a_posterior_without_exact_gaps_is_measured_by_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same Gaussian as one with a full covariance, for which there is no quadrature."""
    setting = Setting(tmp_path, {"vae": posterior_encoder(SHIFT), "iwae_plain_S3": posterior_encoder(SHIFT)})
    exact = setting.run(settings("vae", "iwae_plain_S3"))

    def family(outputs: torch.Tensor) -> FullRankGaussian:
        mean, log_variance = outputs.unsqueeze(-3).chunk(2, -1)
        return FullRankGaussian(mean, torch.exp(0.5 * log_variance).unsqueeze(-1))

    monkeypatch.setitem(training.POSTERIORS, "gaussian", training.Posterior(2, family))
    monkeypatch.setitem(training.OBJECTIVES, "elbo", ELBO())
    drawn = setting.run(settings("vae", "iwae_plain_S3", samples=400))
    assert within(drawn["inference_gap"] - exact["inference_gap"], drawn.loc["vae", "bound_gap_se"].max())
    np.testing.assert_allclose(
        drawn.loc["vae", "bound_gap"], drawn.loc["vae", "inference_gap"], rtol=1e-9, atol=1e-9
    )
    for_iwae = drawn.loc["iwae_plain_S3"]
    assert (for_iwae["bound_gap"] < for_iwae["inference_gap"]).all()
    assert drawn[["approximation_gap", "amortisation_gap"]].isna().all(axis=None)


def test_a_stopped_run_goes_on_to_the_same_table(tmp_path: Path) -> None:
    cells = {"vae": posterior_encoder(SHIFT), "mapa_S10_k20": code_encoder()}
    whole = Setting(tmp_path / "a", cells).run(settings(*cells))
    stopped, attempts = Setting(tmp_path / "b", cells), 0
    while True:
        try:
            table = stopped.run(settings(*cells), deadline=time.monotonic())
            break
        except OutOfTime:
            attempts += 1
    assert attempts == 4  # one model each time; the last stop comes after the work is done
    pd.testing.assert_frame_equal(table, whole, check_exact=True)


def test_a_cell_without_a_selected_model_is_refused(tmp_path: Path) -> None:
    setting = Setting(tmp_path, {"vae": posterior_encoder()})
    table = tables.read_table(setting.inputs["density"])
    tables.write(table[table["draw"] == 0], setting.inputs["density"])
    with pytest.raises(UserError, match="no selected model of vae on data set 1"):
        setting.run(settings("vae"))


def test_gather_keeps_all_rows_and_refuses_a_strange_table(tmp_path: Path) -> None:
    inputs = {name: tmp_path / f"{name}.csv" for name in ("circle", "clusters")}
    frames = {name: pd.DataFrame({"problem": [name] * 2, "kl": [0.1, 1 / 3]}) for name in inputs}
    for name, path in inputs.items():
        tables.write(frames[name], path)
    table = gather.run(gather.Settings(), Run("test", inputs=inputs))["table"]
    pd.testing.assert_frame_equal(table, pd.concat(frames.values(), ignore_index=True))
    swapped = {"circle": inputs["clusters"], "clusters": inputs["circle"]}
    with pytest.raises(UserError, match="no table of circle"):
        gather.run(gather.Settings(), Run("test", inputs=swapped))
