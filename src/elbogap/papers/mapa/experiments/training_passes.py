"""Decoder evaluations counted in real training against their simulation (mapa, Figures 4 and 5).

Training counts the distinct points on which a step evaluates the decoder; here such steps are simulated on
the same data sets, so that the simulated curves of Figures 4 and 5 can be believed for the trained models.
"""

import math

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from elbogap.errors import UserError
from elbogap.inference.empirical import choose_terms, index_log_posterior
from elbogap.papers.mapa.cells import Cell
from elbogap.papers.mapa.ground_truth import GroundTruth
from elbogap.papers.mapa.models import Models
from elbogap.papers.mapa.objectives import terms_of
from elbogap.papers.mapa.settings import TrainingPasses as Settings
from elbogap.runtime import Run, torch_generator

METHODS = ("mapa", "mapa_beyond")
"""Those whose proposal is MAPA."""

ERRORS = 4.0  # standard errors that a count may be off: dozens of cells are compared


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """One row per cell and data set of key `problem`; inputs are `surrogate` and the models by cell.

    Returns:
        `passes`, evaluations of the decoder per gradient step over the batch size: `passes_per_point` counted
        in training, the mean over restarts, and `passes_simulated`, the mean over simulated batches, with
        `passes_sd` over batches; `passes_low` and `passes_high` are four standard errors of the simulated
        mean away; `passes_max` = N / batch bounds all. `reading` says whether k counts within S; `points`
        is N.

    Raises:
        UserError: a cell has another proposal than MAPA.
    """
    truth = GroundTruth.load(run.keys["problem"], run.inputs["surrogate"])
    rows = []
    for name in tqdm(settings.cells, desc="passes", mininterval=5):
        cell, models = Cell.parse(name), Models.load(run.inputs[name])
        if cell.method not in METHODS:
            raise UserError(
                f"the proposal of cell '{name}' is not MAPA; compare cells of mapa or mapa_beyond"
            )
        for draw in np.unique(models.draw).tolist():
            simulated = _simulate(truth, models, cell, draw, settings)
            error = ERRORS * float(simulated.std(ddof=1)) / math.sqrt(settings.batches)
            rows.append(
                {
                    "document": "mapa",
                    "problem": truth.name,
                    "points": models.points,
                    **cell.key(),
                    "reading": cell.reading,
                    "draw": draw,
                    "passes_per_point": float(models.passes[models.draw == draw].mean()),
                    "passes_simulated": float(simulated.mean()),
                    "passes_sd": float(simulated.std(ddof=1)),
                    "passes_low": float(simulated.mean()) - error,
                    "passes_high": float(simulated.mean()) + error,
                    "passes_max": models.points / models.batch,
                }
            )
    return {"passes": pd.DataFrame(rows)}


def _simulate(truth: GroundTruth, models: Models, cell: Cell, draw: int, settings: Settings) -> np.ndarray:
    """Distinct points asked for by each simulated batch, over the batch size."""
    _, x = truth.data_set(models.points, models.seed, draw)
    k, sampled = terms_of(cell, len(x))
    generator = torch_generator(settings.seed, "mapa training passes", truth.name, draw)
    counts = []
    for _ in range(settings.batches):
        batch = torch.randperm(len(x), generator=generator)[: models.batch]
        log_q = index_log_posterior(truth.log_likelihood(x[batch], x))
        counts.append(len(choose_terms(log_q, k, sampled, generator).unique(len(x))) / models.batch)
    return np.array(counts)
