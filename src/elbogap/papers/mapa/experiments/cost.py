"""Seconds per training step of every method (mapa; ours: the document counts network passes instead)."""

from collections.abc import Sequence
from functools import partial
from itertools import product

import pandas as pd

from elbogap.papers.mapa.methods import Cell
from elbogap.papers.mapa.model import GroundTruth
from elbogap.papers.mapa.settings import TimedTraining as Settings
from elbogap.papers.mapa.training import Member, side_by_side, train
from elbogap.runtime import Run
from elbogap.training import Work, seconds_per_step


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Time the training of the problem `problem`, whose ground truth is the input `surrogate`.

    Returns:
        `cost`: per cell and repeat, `seconds_per_step` of one model, where as many train side by side as in
        training, and `seconds_iwae`, that of IWAE with the same S in the same turn. All cells take turns, so
        that other load meets all alike; a first turn, which warms up, is left out. What is done once per
        training, such as q(i|n), is not in it.
    """
    truth, timing = GroundTruth.load(run.keys["problem"], run.inputs["surrogate"]), settings.timing
    steps, rows = timing.epochs * (settings.train.points // settings.train.batch), []
    for repeat, name in product(range(timing.repeats + 1), settings.cells):
        cell = Cell.parse(name)
        members = [(0, restart) for restart in range(side_by_side(settings.train, cell, run.device))]
        rounds = partial(_rounds, settings, truth, cell, members, run.device)
        seconds = seconds_per_step(rounds, steps, run) / len(members)
        rows.append(
            {**truth.key(), "cell": name, **cell.key(), "repeat": repeat, "seconds_per_step": seconds}
        )
    table = pd.DataFrame(rows).astype({"S": "Int64"})
    keys, iwae = ["S", "repeat"], table[table["method"] == "iwae"]
    table = table.join(iwae.set_index(keys)["seconds_per_step"].rename("seconds_iwae"), on=keys)
    return {"cost": table[table["repeat"] > 0].reset_index(drop=True)}


def _rounds(
    settings: Settings,
    truth: GroundTruth,
    cell: Cell,
    members: Sequence[Member],
    device: str,
    count: int,
    work: Work,
) -> None:
    train(settings.train, truth, cell, members, work, device, epochs=count * settings.timing.epochs)
