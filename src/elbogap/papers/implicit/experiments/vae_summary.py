"""Tables 1 and 2, and the numbers of Figure 6, from the evaluations of all cells."""

import pandas as pd

from elbogap.config.base import Section as Settings
from elbogap.papers.implicit.frames import over_seeds
from elbogap.runtime import Run
from elbogap.tables import read_table

CELL = ["document", "dataset", "data", "model", "method", "refinements", "cell", "test_images"]
TABLES = {"tab01": "uivi", "tab02": "vcd", "steps": "steps"}


def run(_: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Summarise the inputs, `evaluation_<dataset>_<cell>`.

    Returns `seeds`: all evaluations, a row per seed; `tab01`, `tab02`, `steps`: a row per data set and cell,
    the means over seeds and the estimates' standard deviations over them (`_seed_sd`).
    """
    seeds = pd.concat(map(read_table, run.inputs.values())).sort_values(["dataset", "cell", "seed"])
    shown = {name: seeds[seeds["group"].str.contains(rf"\b{group}\b")] for name, group in TABLES.items()}
    means = {name: over_seeds(rows.drop(columns="group"), CELL) for name, rows in shown.items()}
    return {"seeds": seeds, **means}
