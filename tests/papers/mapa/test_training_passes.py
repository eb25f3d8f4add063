from pathlib import Path

import numpy as np
import pytest
import stored
import torch

from elbogap.errors import UserError
from elbogap.nn.mlp import MLP
from elbogap.papers.mapa.experiments import training_passes
from elbogap.papers.mapa.settings import TrainingPasses
from elbogap.runtime import Run

SETTINGS = TrainingPasses(cells=("mapa_within_S20_k10", "mapa_S20_k10"), batches=30, seed=0)


@pytest.fixture
def inputs(surrogates: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """Two data sets of 400 points with two restarts each, whose counts are made up."""
    network, members = MLP(4, [1, 2], "tanh", torch.Generator()), [(0, 0), (0, 1), (1, 0), (1, 1)]
    path = stored.models(
        tmp_path / "models.npz", network, network, members, points=400, batch=40, passes=[1.0, 3.0, 5.0, 5.0]
    )
    return {"surrogate": surrogates["circle"], **dict.fromkeys([*SETTINGS.cells, "mapa_gt_S20_k10"], path)}


def test_counts_are_means_over_restarts_beside_a_simulation_within_its_bounds(
    inputs: dict[str, Path],
) -> None:
    table = training_passes.run(SETTINGS, Run("test", {"problem": "circle"}, inputs))["passes"]
    assert table["passes_per_point"].tolist() == [2, 5, 2, 5]
    assert table["reading"].tolist() == ["within", "within", "beyond", "beyond"]
    assert (table["passes_max"] == 10).all()
    assert (table["passes_simulated"] <= 10).all()
    within, beyond = (table[table["reading"] == reading] for reading in ("within", "beyond"))
    # 2 more of the 22 terms that each point may ask for.
    assert (beyond["passes_simulated"].to_numpy() > within["passes_simulated"].to_numpy()).all()
    # 40 points have their own index each, and as many nearest neighbours as k says.
    assert (table["passes_simulated"] >= 1).all()
    width = (table["passes_high"] - table["passes_low"]) / (8 * table["passes_sd"])
    np.testing.assert_allclose(width, 30**-0.5, atol=1e-12)
    assert table.equals(training_passes.run(SETTINGS, Run("test", {"problem": "circle"}, inputs))["passes"])


def test_other_proposals_are_refused(inputs: dict[str, Path]) -> None:
    settings = SETTINGS.model_copy(update={"cells": ("mapa_gt_S20_k10",)})
    with pytest.raises(UserError, match="proposal of cell 'mapa_gt_S20_k10' is not MAPA"):
        training_passes.run(settings, Run("test", {"problem": "circle"}, inputs))
