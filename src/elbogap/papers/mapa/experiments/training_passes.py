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
from elbogap.inference.empirical import index_log_posterior
from elbogap.inference.families.proposal import Proposal
from elbogap.papers.mapa.model import GroundTruth, Trained, load
from elbogap.papers.mapa.settings import TrainingPasses as Settings
from elbogap.runtime import Run, torch_generator

ERRORS = 4.0  # standard errors that a count may be off: dozens of cells are compared


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """One row per cell and data set of key `problem`; inputs are `surrogate` and the models by cell.

    Returns:
        `passes`, evaluations of the decoder per gradient step over the batch size: `passes_per_point` counted
        in training, the mean over restarts, and `passes_simulated`, the mean over simulated batches, with
        `passes_sd` over batches and the ends of four standard errors; `passes_max` = N / batch bounds all.

    Raises:
        UserError: a cell has another proposal than MAPA.
    """
    truth = GroundTruth.load(run.keys["problem"], run.inputs["surrogate"])
    rows = []
    for name in tqdm(settings.cells, desc="passes", mininterval=5):
        models = load(truth, name, run.inputs[name])
        cell = models[0].cell
        if cell.method.proposal != "kernel" or cell.fraction is None:
            raise UserError(
                f"the proposal of cell '{name}' is not MAPA; compare cells of mapa or mapa_beyond"
            )
        for draw in sorted({model.draw for model in models}):
            restarts = [model for model in models if model.draw == draw]
            simulated = _simulate(truth, restarts[0], settings)
            mean, sd = float(simulated.mean()), float(simulated.std(ddof=1))
            error = ERRORS * sd / math.sqrt(settings.batches)
            rows.append(
                {
                    "document": "mapa",
                    "problem": truth.name,
                    "points": restarts[0].points,
                    **cell.key(),
                    "reading": cell.method.reading,
                    "draw": draw,
                    "passes_per_point": float(np.mean([model.passes for model in restarts])),
                    "passes_simulated": mean,
                    "passes_sd": sd,
                    "passes_low": mean - error,
                    "passes_high": mean + error,
                    "passes_max": restarts[0].points / restarts[0].batch,
                }
            )
    return {"passes": pd.DataFrame(rows)}


def _simulate(truth: GroundTruth, model: Trained, settings: Settings) -> np.ndarray:
    """Distinct points asked for by each simulated batch, over the batch size."""
    _, x = model.training_set(truth)
    k, samples = model.cell.terms(len(x))
    generator = torch_generator(settings.seed, "mapa training passes", truth.name, model.draw)
    counts = []
    for _ in range(settings.batches):
        batch = torch.randperm(len(x), generator=generator)[: model.batch]
        log_q = index_log_posterior(truth.log_likelihood(x[batch], x))
        terms = Proposal.prepare(log_q, k, generator).choose(samples, generator)
        counts.append(len(terms.indices.unique()) / model.batch)
    return np.array(counts)
