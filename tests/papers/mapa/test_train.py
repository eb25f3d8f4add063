import time
from pathlib import Path

import numpy as np
import pytest
import torch

from elbogap import tables
from elbogap.errors import OutOfTime, UserError
from elbogap.nn.store import Stored
from elbogap.papers.mapa.experiments import passes, train
from elbogap.papers.mapa.methods import METHODS, Cell
from elbogap.papers.mapa.model import GroundTruth, load
from elbogap.papers.mapa.settings import Passes, Schedule, Train
from elbogap.runtime import Run

SETTINGS = Train(
    points=60, draws=2, restarts=2, hidden=(8, 8), batch=20, rows=10**6, record_epochs=2,
    checkpoint_seconds=1e9, exceptions={}, seed=0,
    schedule=Schedule(activation="tanh", epochs=4, learning_rate=0.005, final_share=0.5),
)  # fmt: skip
BUDGETS = {"none": "", "S": "_S5", "S and k": "_S5_k20"}
CELLS = [method.name + BUDGETS[method.budget] for method in METHODS.values()]


def trained(
    surrogates: dict[str, Path], scratch: Path, cell: str, settings: Train = SETTINGS, **options: float
) -> dict[str, np.ndarray]:
    keys = {"problem": "circle", "cell": cell}
    inputs = {"surrogate": surrogates["circle"]}
    return train.run(settings, Run("test", keys, inputs, scratch, **options))["models"]


@pytest.mark.parametrize("cell", CELLS)
def test_members_do_not_depend_on_the_chunk_they_train_in(
    surrogates: dict[str, Path], tmp_path: Path, cell: str
) -> None:
    whole = trained(surrogates, tmp_path / "a", cell)
    single = trained(surrogates, tmp_path / "b", cell, SETTINGS.model_copy(update={"rows": 1}))
    assert whole["draw"].tolist() == [0, 0, 1, 1]
    assert whole["restart"].tolist() == [0, 1, 0, 1]
    for name, values in whole.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(values, single[name], rtol=1e-3, atol=1e-4, err_msg=name)
    assert (whole["bound"][:, -1] > whole["bound"][:, 0]).all()
    assert len({weight.tobytes() for weight in whole["decoder/weight0"]}) == 4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("cell", CELLS)
def test_members_train_on_a_gpu(surrogates: dict[str, Path], tmp_path: Path, cell: str) -> None:
    models = trained(surrogates, tmp_path, cell, gpus=1)
    assert (models["bound"][:, -1] > models["bound"][:, 0]).all()


def test_models_come_back_and_encode(surrogates: dict[str, Path], tmp_path: Path) -> None:
    arrays = trained(surrogates, tmp_path / "scratch", "vae")
    tables.write(arrays, tmp_path / "m.npz")
    truth = GroundTruth.load("circle", surrogates["circle"])
    models = load(truth, "vae", tmp_path / "m.npz")
    assert [(one.name, one.points, one.seed, one.prior) for one in models[2:]] == [
        (f"vae-1.{restart}", 60, 0, "standard") for restart in (0, 1)
    ]
    z = torch.linspace(-1, 1, 5, dtype=torch.float64)[:, None]
    x = models[2].decode(z)
    code = models[2].encode(x)
    decoder = Stored.load(tmp_path / "m.npz").networks["decoder"].double()
    torch.testing.assert_close(x, decoder(z[None].expand(4, -1, -1))[2].detach())
    assert (x.shape, code.shape) == ((5, 2), (5, 2))
    assert not x.requires_grad


@pytest.mark.parametrize("cell", ["iwae_S5", "mapa_S5_k20"])
def test_training_in_many_pieces_gives_the_same_models(
    surrogates: dict[str, Path], tmp_path: Path, cell: str
) -> None:
    whole = trained(surrogates, tmp_path / "whole", cell)
    small, pieces = SETTINGS.model_copy(update={"rows": 200}), 1
    reference = trained(surrogates, tmp_path / "chunks", cell, small)
    while True:
        try:
            found = trained(surrogates, tmp_path / "pieces", cell, small, deadline=time.monotonic() + 0.01)
            break
        except OutOfTime:
            pieces += 1
    assert pieces > 4
    assert all(np.array_equal(found[name], reference[name]) for name in whole)


def test_passes_in_training_are_those_of_the_simulation(surrogates: dict[str, Path], tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 8, "restarts": 1})
    simulated = passes.run(
        Passes(points=60, draws=2, batches=24, batch=20, samples=(10,), shares=(0.2,), seed=0),
        Run("test", inputs={"circle": surrogates["circle"]}),
    )["passes"]
    rows = simulated[(simulated["cost"] == "decoder") & (simulated["reading"] == "within")]
    expected = rows.set_index("draw")["passes_per_point"].dropna()
    found = trained(surrogates, tmp_path, "mapa_S10_k20", settings)["passes"]
    # Means of 24 batches each; a batch's standard deviation is the table's.
    margin = 4 * rows["passes_sd"].max() * (2 / 24) ** 0.5
    np.testing.assert_allclose(found, expected[[0, 1]], atol=margin, rtol=0)


def test_impossible_requests_are_refused(surrogates: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="batch 100 exceeds the 60 training points"):
        trained(surrogates, tmp_path, "vae", SETTINGS.model_copy(update={"batch": 100}))
    with pytest.raises(UserError, match="no cell 'MAPA 50'"):
        Cell.parse("MAPA 50")
