"""Every method on one problem with a known answer: bounds, divergences, moments, distances and cost.

All methods have their defaults. Each fit is scored by its own draws; where the problem has one or two
dimensions and the method a density, divergences are integrated. Evaluations are points at which the method
asked for the log-density with its derivative.
"""

import numpy as np
import pandas as pd

from elbogap.data.loaders import load
from elbogap.papers.atlas import scoring
from elbogap.papers.atlas.methods import method
from elbogap.papers.atlas.problems.registry import problem
from elbogap.papers.atlas.settings import Score as Settings
from elbogap.runtime import Run, torch_generator


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """The problem of the key `problem`; those of posteriordb have the input `data`.

    Returns `scores`, a row per method and seed; `known`, a row on the problem; and `draws` of the first seed,
    in up to two coordinates, by method and of the `answer`.
    """
    name = run.keys["problem"]
    data = load(run.inputs["data"]) if "data" in run.inputs else None
    given = problem(name, data)
    random = torch_generator(settings.seed, "atlas", "answer", name)
    draws = {"answer": given.sample(settings.shown, random)[:, :2].numpy()}
    rows = scoring.rows(
        name,
        given,
        {label: method(label) for label in settings.methods},
        seeds=settings.seeds,
        steps=settings.steps,
        num_samples=settings.num_samples,
        ks=settings.ks,
        seed=settings.seed,
        draws=draws,
        shown=settings.shown,
    )
    return {"scores": pd.DataFrame(rows), "known": scoring.known(name, given), "draws": draws}
