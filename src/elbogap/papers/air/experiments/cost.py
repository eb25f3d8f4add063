"""What training at paper scale costs on this device, from the time of a few steps (air; ours)."""

import math
import statistics
import time
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
from elbogap.training import Work


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Time every cell and method of `settings.train` on the inputs `<dataset>`, images.

    Returns:
        `cost`: per data set, cell and method the wall-clock seconds `seconds_per_1000_steps` of one model
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
    """Per model; the difference of a longer and a shorter run leaves out what comes once."""
    taken = []
    for repeat in range(timing.repeats + 1):
        short, long = (_timed(training, factor * timing.steps, images, run) for factor in (1, 2))
        if repeat > 0:  # the first one warms up
            taken.append((long - short) / timing.steps / len(training.members))
    return max(statistics.median(taken), 0.0)


def _timed(training: Training, steps: int, images: Tensor, run: Run) -> float:
    """Seconds of so many steps and what comes once."""
    batch = min(training.settings.batch, len(images))
    one_round = training.settings.model_copy(update={"round_steps": steps, "batch": batch})
    work = Work("timing", run.scratch / "timing.pt", "", math.inf, watch=run.watch)
    work.checkpoint.unlink(missing_ok=True)  # it is written at the end
    start = time.perf_counter()
    replace(training, settings=one_round).fit(images, epochs=1, record_epochs=1, work=work)
    return time.perf_counter() - start
