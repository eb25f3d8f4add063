import time
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import stored
import torch
from stored import linear, marginal
from torch import Tensor
from torch.distributions import kl_divergence
from torch.special import ndtri

from allowance import within
from elbogap.errors import OutOfTime, UserError
from elbogap.inference.prior_recovery import quantile_map
from elbogap.nn.mlp import MLP
from elbogap.papers.mapa.experiments import density
from elbogap.papers.mapa.model import GroundTruth, Trained, load
from elbogap.papers.mapa.settings import Density, Distillation
from elbogap.runtime import Run, limit_torch_threads

SETTINGS = Density(
    cells=("vae",), valid_points=150, test_points=225, tolerance=1e-8,
    smoothing=(0.1, 0.4), checkpoint_seconds=1e9, seed=0,
    distillation=Distillation(epochs=2, batches=(100,), learning_rate=0.003, rows=10**6),
)  # fmt: skip
TRUE_SLOPE = (1.0, -0.5)

Models = Callable[[Path], Path]
"""Writes the models of a cell to a file."""


def models(decoder: MLP, encoder: MLP, draws: int, points: int = 200, seed: int = 0) -> Models:
    restarts = decoder.members // draws
    members = list(product(range(draws), range(restarts)))
    return partial(
        stored.models, decoder=decoder, encoder=encoder, members=members, points=points, seed=seed,
        passes=[place + 0.5 for place in range(len(members))],
    )  # fmt: skip


def encoders(members: int) -> MLP:
    return linear([[0.1, 0.2, 0.3, 0.4]] * members, 2)


@pytest.fixture
def surrogate(tmp_path: Path) -> Path:
    limit_torch_threads(1)
    return stored.truth(tmp_path / "surrogate.npz", linear([TRUE_SLOPE]))


def evaluated(
    folder: Path, cells: dict[str, Models], settings: Density = SETTINGS, scratch: str = "s", **options: float
) -> pd.DataFrame:
    inputs = {"surrogate": folder / "surrogate.npz"}
    for name, one in cells.items():
        inputs[name] = one(folder / f"{name}.npz")
    keys = {"problem": "circle"}
    return density.run(settings, Run("test", keys, inputs, folder / scratch, **options))["density"]


def held_out(folder: Path, part: str, points: int, draw: int) -> Tensor:
    return GroundTruth.load("circle", folder / "surrogate.npz").data_set(points, 0, draw, part)[1]


def test_linear_models_have_the_likelihoods_and_divergence_of_gaussians(
    surrogate: Path, tmp_path: Path
) -> None:
    slopes = [(1.0, -0.5), (0.9, -0.4), (1.2, 0.3), (0.5, -0.5)]
    table = evaluated(tmp_path, {"vae": models(linear(slopes), encoders(4), draws=2)})
    assert table["prior"].unique().tolist() == ["standard"]
    for slope, row in zip(slopes, table.itertuples(), strict=True):
        valid, test = (
            held_out(tmp_path, part, points, row.draw) for part, points in (("valid", 150), ("test", 225))
        )
        model, truth = marginal(slope), marginal(TRUE_SLOPE)
        assert row.valid_loglik == pytest.approx(model.log_prob(valid).mean().item(), abs=1e-7)
        assert row.test_loglik == pytest.approx(model.log_prob(test).mean().item(), abs=1e-7)
        of = [density.terms(truth.log_prob(x) - model.log_prob(x)) for x in (valid, test)]
        plain, controlled = zip(*of, strict=True)
        terms = controlled[1] if controlled[0].std() < plain[0].std() else plain[1]
        assert row.test_kl == pytest.approx(terms.mean().item(), abs=1e-7)
        assert row.test_kl_se == pytest.approx(terms.std().item() / 15, abs=1e-7)
        assert within(row.test_kl - kl_divergence(truth, model).item(), row.test_kl_se)
    assert table["test_kl"].iloc[0] == pytest.approx(0, abs=1e-9)


def test_both_terms_have_the_divergence_as_mean_and_the_controlled_ones_vary_less_near_the_truth() -> None:
    truth = marginal(TRUE_SLOPE)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        x = truth.rsample((200_000,))
    for slope, controlled_is_better in (((0.95, -0.45), True), ((0.2, 1.5), False)):
        model = marginal(slope)
        plain, controlled = density.terms(truth.log_prob(x) - model.log_prob(x))
        kl = kl_divergence(truth, model).item()
        assert (controlled >= 0).all()
        assert within(plain.mean().item() - kl, plain.std().item() / len(x) ** 0.5)
        if controlled_is_better:  # elsewhere its standard deviation is no guide: q/p has a heavy tail
            assert within(controlled.mean().item() - kl, controlled.std().item() / len(x) ** 0.5)
        assert (controlled.std() < plain.std()).item() == controlled_is_better


def test_the_best_restart_of_each_draw_is_selected_by_validation(surrogate: Path, tmp_path: Path) -> None:
    slopes = [(0.5, 0.5), (1.0, -0.5), (0.9, -0.45), (1.0, -0.5), (0.0, 1.0), (0.7, 0.0)]
    table = evaluated(tmp_path, {"vae": models(linear(slopes), encoders(6), draws=2)})
    assert table[["draw", "restart"]].to_numpy().tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    best = table.groupby("draw")["valid_loglik"].idxmax().tolist()
    assert table.index[table["selected"]].tolist() == best == [1, 3]


def test_a_diverged_restart_is_never_selected_and_stops_no_other(surrogate: Path, tmp_path: Path) -> None:
    codes = linear([(0.8, -0.4)] * 2, 2)
    cells = {
        "vae": models(linear([(np.nan, 0.0), (1.0, -0.5), (1e200, 0.0)]), encoders(3), draws=1),
        "mapa_exact": models(linear([(1.0, -0.5), (np.inf, 0.0)]), codes, draws=1),
    }
    table = evaluated(tmp_path, cells)
    lost = table[~np.isfinite(table["test_kl"])]
    assert lost[["cell", "restart", "prior"]].to_numpy().tolist() == [
        ["vae", 0, "standard"],
        ["vae", 2, "standard"],  # finite, but too steep to integrate
        ["mapa_exact", 1, "smoothed map"],
        ["mapa_exact", 1, "quantile map"],
        ["mapa_exact", 1, "network"],
    ]
    assert (lost["valid_loglik"] == -np.inf).all()
    assert table["selected"].tolist() == np.isfinite(table["test_kl"]).tolist()
    for cell, slope in (("vae", np.nan), ("vae", 1e200), ("mapa_exact", 1e200)):
        encoder = encoders(1) if cell == "vae" else linear([(0.8, -0.4)], 2)
        with pytest.raises(UserError, match=f"no restart of {cell} on data set 0 has a likelihood"):
            evaluated(tmp_path, {cell: models(linear([(slope, 0.0)]), encoder, draws=1)})


def test_recovered_priors_are_of_the_training_codes(surrogate: Path, tmp_path: Path) -> None:
    """Codes are linear in x, so normal: c = g'x, and f(h(z)) is nearly w sd(c) z."""
    points, g = 2000, (0.8, -0.4)
    scale = marginal(TRUE_SLOPE).covariance_matrix
    deviation = (torch.tensor(g, dtype=torch.float64) @ scale @ torch.tensor(g, dtype=torch.float64)).sqrt()
    slope = tuple(float(w / deviation) for w in TRUE_SLOPE)
    one = models(linear([slope]), linear([g], 2), draws=1, points=points)
    table = evaluated(tmp_path, {"mapa_S10_k10": one}).set_index("prior")
    # The model would be the truth but for the sampling of 2000 codes: their variance is off by 1 / N^1/2.
    assert 0 < table["test_kl"]["quantile map"] < 0.01
    _, x = GroundTruth.load("circle", tmp_path / "surrogate.npz").data_set(points, 0, 0)
    law = quantile_map(x @ torch.tensor(g, dtype=torch.float64))
    grid = ndtri((torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000)
    means = law(grid)[:, None] * torch.tensor(slope, dtype=torch.float64)
    test = held_out(tmp_path, "test", 225, 0)
    log_p = torch.logsumexp(GroundTruth.load("circle", surrogate).log_likelihood(test, means), 1)
    assert table["test_loglik"]["quantile map"] == pytest.approx(
        (log_p - np.log(20_000)).mean().item(), abs=1e-4
    )
    assert table[["S", "k_share"]].to_numpy().tolist() == [[10, 0.1]] * 3
    assert table["passes_per_point"].tolist() == [0.5] * 3


def test_validation_chooses_the_smoothing_and_the_batch_of_the_distillation(
    surrogate: Path, tmp_path: Path
) -> None:
    one = models(linear([(1.5, -0.7)]), linear([(0.8, -0.4)], 2), draws=1)
    chosen = SETTINGS.distillation.model_copy(update={"batches": (40, 200), "epochs": 30})

    def alone(**changes: object) -> pd.DataFrame:
        settings = SETTINGS.model_copy(update=changes)
        return evaluated(tmp_path, {"mapa_exact": one}, settings, scratch=str(changes)[-90:]).set_index(
            "prior"
        )

    both = alone(distillation=chosen)
    for prior, column, levels in (
        ("smoothed map", "width", (0.1, 0.4)),
        ("network", "distillation_batch", (40, 200)),
    ):
        singles = {
            level: alone(smoothing=(level,), distillation=chosen)
            if prior == "smoothed map"
            else alone(distillation=chosen.model_copy(update={"batches": (level,)}))
            for level in levels
        }
        best = max(singles, key=lambda level: singles[level]["valid_loglik"][prior])
        assert both[column][prior] == best
        assert both["test_kl"][prior] == pytest.approx(singles[best]["test_kl"][prior], rel=1e-4)


def test_distillation_reproduces_a_decoder_whose_codes_are_normal_already(
    surrogate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Codes at the normal quantiles make h the identity; linear networks can represent all maps exactly."""
    points = 300
    u = ndtri((torch.arange(points, dtype=torch.float64) + 0.5) / points)
    x = torch.stack([u, 0.5 - u], 1)
    truth = GroundTruth.load("circle", surrogate)
    write = models(linear([(1.5, -0.7)]), linear([(1.0, 0.0)], 2), draws=1)
    (model,) = load(truth, "mapa_exact", write(tmp_path / "mapa_exact.npz"))
    chosen = Distillation(epochs=400, batches=(50,), learning_rate=0.02, rows=10**6)
    settings = SETTINGS.model_copy(update={"distillation": chosen})
    run = Run("test", {"problem": "circle"}, {"surrogate": surrogate}, tmp_path / "scratch")
    monkeypatch.setattr(Trained, "data_set", lambda _: (u, x))
    (distilled,) = density.distil(settings, run, 50, [model])
    z = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    # Whitening divides by the quantiles' own deviation, a little below 1.
    torch.testing.assert_close(distilled.mean(z), model.decode(z) * u.std(), rtol=0, atol=2e-3)


def test_chunks_of_members_change_nothing_but_rounding(surrogate: Path, tmp_path: Path) -> None:
    cells = {
        name: models(linear([(1.0, -0.5), (0.8, 0.1)] * 2), linear([(0.8, -0.4)] * 4, 2), draws=2)
        for name in ("mapa_S5_k20", "mapa_gt_S5_k20")
    }
    whole = evaluated(tmp_path, cells)
    single = SETTINGS.model_copy(
        update={"distillation": SETTINGS.distillation.model_copy(update={"rows": 100})}
    )
    apart = evaluated(tmp_path, cells, single, scratch="apart")
    pd.testing.assert_frame_equal(whole, apart, rtol=1e-4)
    first, second = (
        whole[whole["cell"] == name].drop(columns=["cell", "method"]).reset_index(drop=True) for name in cells
    )
    pd.testing.assert_frame_equal(first, second, rtol=1e-4)


def test_a_run_out_of_time_goes_on_to_the_same_table(surrogate: Path, tmp_path: Path) -> None:
    cells = {
        "vae": models(linear([(1.0, -0.5)]), encoders(1), draws=1),
        "mapa_exact": models(linear([(0.8, 0.1)]), linear([(0.8, -0.4)], 2), draws=1),
    }
    whole = evaluated(tmp_path, cells)
    stops = 0
    while True:
        try:
            pieced = evaluated(tmp_path, cells, scratch="pieced", deadline=time.monotonic())
            break
        except OutOfTime:
            stops += 1
    assert stops == 2 * 4 + 5
    pd.testing.assert_frame_equal(whole, pieced, check_exact=True)


def test_cells_of_different_data_sets_are_refused(surrogate: Path, tmp_path: Path) -> None:
    cells = {
        "vae": models(linear([(1.0, -0.5)]), encoders(1), draws=1),
        "iwae_S5": models(linear([(1.0, -0.5)]), encoders(1), draws=1, seed=1),
    }
    with pytest.raises(UserError, match="different data sets"):
        evaluated(tmp_path, cells)


def test_a_minibatch_larger_than_the_data_is_refused(surrogate: Path, tmp_path: Path) -> None:
    one = models(linear([(1.0, -0.5)]), linear([(0.8, -0.4)], 2), draws=1, points=50)
    with pytest.raises(UserError, match="batch 100 exceeds the 50 training points"):
        evaluated(tmp_path, {"mapa_exact": one})
