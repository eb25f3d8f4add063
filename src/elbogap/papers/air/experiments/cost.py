"""What training at paper scale costs on this device, from the time of a few steps (air; ours)."""

import statistics
from dataclasses import replace

import pandas as pd
import torch
from torch import Tensor

from elbogap.models.image_vae import unpacked
from elbogap.papers.air.methods import methods
from elbogap.papers.air.settings import Cost
from elbogap.papers.air.settings import CostOfTraining as Settings
from elbogap.papers.air.training import Training
from elbogap.runtime import Run
from elbogap.tables import read_arrays
from elbogap.training import Work, seconds_per_step


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Time every cell and method of `settings.train` on the inputs `<dataset>`, images.

    Returns `cost`: per data set, cell and method the wall-clock seconds `seconds_per_1000_steps` of one model
    where `members` train together, without start-up, and `hours` of all its strengths and seeds on this
    `device`.
    """
    train, timing, rows = settings.train, settings.timing, []
    device = torch.cuda.get_device_name() if run.device == "cuda" else "cpu"
    known: dict[tuple[object, ...], float] = {}  # the data sets share architectures
    for dataset, path in run.inputs.items():
        images = unpacked(read_arrays(path), "train", run.device)
        for name, cell in train.cells_of(dataset):
            for method in methods(cell) if name in timing.cells else ():
                shape = (train.layers(dataset, cell), cell.k, cell.m, method.name, method.alpha)
                if shape not in known:
                    members = [(seed, method.strengths[0]) for seed in range(timing.members)]
                    training = Training(train, dataset, cell, method, members)
                    known[shape] = _seconds_per_step(training, timing, images, run)
                seconds, iterations = known[shape], train.iterations(cell)
                models = cell.seeds * len(method.strengths)
                hours = seconds * iterations * models / 3600
                rows.append(
                    {"document": "air", "dataset": dataset, "cell": name, "k": cell.k, "m": cell.m}
                    | {"method": method.name, "alpha": method.alpha, "device": device, "threads": run.threads}
                    | {"members": timing.members, "seconds_per_1000_steps": 1000 * seconds}
                    | {"iterations": iterations, "models": models, "hours": hours}
                )
    return {"cost": pd.DataFrame(rows)}


def _seconds_per_step(training: Training, timing: Cost, images: Tensor, run: Run) -> float:
    """Per model."""
    changes = {"round_steps": timing.steps, "batch": min(training.settings.batch, len(images))}
    timed = replace(training, settings=training.settings.model_copy(update=changes))

    def train(rounds: int, work: Work) -> None:
        timed.fit(images, epochs=rounds, record_epochs=rounds, work=work)

    # the first one warms up
    taken = [seconds_per_step(train, timing.steps, run) for _ in range(timing.repeats + 1)][1:]
    return max(statistics.median(taken) / len(training.members), 0.0)
