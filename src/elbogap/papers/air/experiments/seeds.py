"""Gains and falls of each seed, of which the summary shows means (air, Tables 1 to 4, Figure 4)."""

import pandas as pd

from elbogap.config.base import Section as Settings
from elbogap.papers.air.experiments.summary import CELL, METHOD, METRICS, gradient_samples, overfitting
from elbogap.papers.air.methods import PLAIN
from elbogap.runtime import Run
from elbogap.tables import read_table

STRENGTH = [*CELL, *METHOD, "strength"]
COMPARED = {"gain": "test_loglik", "gap_change": "test_gap"}


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Compare the models of the inputs `evaluation_...` with the unregularised ones of their seeds.

    Returns:
        `seeds`: per model its `gain` in `test_loglik` and `gap_change`, in nats per image, and whether its
        strength is `chosen` in the input `strengths`, by the mean over seeds; `falls`: how far the test bound
        falls in the inputs `curves_...` of what was trained with several m.
    """
    models, curves = (
        pd.concat(read_table(path) for name, path in sorted(run.inputs.items()) if name.startswith(kind))
        for kind in ("evaluation_", "curves_")
    )
    chosen = read_table(run.inputs["strengths"])[[*STRENGTH, "chosen"]]
    models = models[[*STRENGTH, "seed", *METRICS]].merge(chosen)
    plain = models.loc[models["method"] == PLAIN, [*CELL, "seed", *COMPARED.values()]]
    beside = models[[*CELL, "seed"]].merge(plain, how="left")
    gains = {name: models[metric] - beside[metric] for name, metric in COMPARED.items()}
    falls = overfitting(gradient_samples(curves, "seed"), "seed")
    return {"seeds": models.assign(**gains), "falls": falls}
