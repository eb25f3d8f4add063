"""Decoder evaluations counted in real training against their simulation (mapa, Figures 4 and 5)."""

import math

import numpy as np
import pandas as pd
from tqdm import tqdm

from elbogap.errors import UserError
from elbogap.papers.mapa.experiments.passes import simulated
from elbogap.papers.mapa.model import GroundTruth, load
from elbogap.papers.mapa.settings import TrainingPasses as Settings
from elbogap.runtime import Run, torch_generator

ERRORS = 4.0  # standard errors that a count may be off: dozens of cells are compared


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """One row per cell and data set of key `problem`; inputs are `surrogate` and the models by cell.

    Returns:
        `passes`, evaluations of the decoder per gradient step over the batch size: counted in training, the
        mean over restarts, and simulated, with the ends of four standard errors over batches; UserError if a
        cell has another proposal than MAPA.
    """
    truth = GroundTruth.load(run.keys["problem"], run.inputs["surrogate"])
    rows = []
    for name in tqdm(settings.cells, desc="passes", mininterval=5):
        models = load(truth, name, run.inputs[name])
        cell = models[0].cell
        if cell.method.proposal != "kernel" or cell.fraction is None:
            raise UserError(f"the proposal of cell '{name}' is not MAPA; name cells of mapa or mapa_within")
        for draw, model in sorted({model.draw: model for model in models}.items()):
            _, x = model.data_set()
            generator = torch_generator(settings.seed, "mapa training passes", truth.problem, draw)
            (passes,) = simulated(truth, x, [cell.terms(len(x))], (settings.batches, model.batch), generator)
            mean, sd = passes.mean(), passes.std(ddof=1)
            error = ERRORS * sd / math.sqrt(settings.batches)
            rows.append(
                {
                    **truth.key(),
                    "points": model.points,
                    **cell.key(),
                    "reading": cell.method.reading,
                    "draw": draw,
                    "passes_per_point": np.mean([other.passes for other in models if other.draw == draw]),
                    "passes_simulated": mean,
                    "passes_sd": sd,
                    "passes_low": mean - error,
                    "passes_high": mean + error,
                    "passes_max": model.points / model.batch,
                }
            )
    return {"passes": pd.DataFrame(rows)}
