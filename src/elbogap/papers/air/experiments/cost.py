"""What training at paper scale costs on this device, from the time of a few steps (air; ours)."""

import math
import statistics
import time
from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from elbogap.ensemble import decaying, fit
from elbogap.papers.air.experiments.images import unpack
from elbogap.papers.air.experiments.train import Member, initial_networks, objective
from elbogap.papers.air.methods import Method, methods
from elbogap.papers.air.settings import Cell, Train
from elbogap.papers.air.settings import CostOfTraining as Settings
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
    train, rows = settings.train, []
    known: dict[tuple[object, ...], float] = {}  # the data sets share architectures
    for dataset, path in run.inputs.items():
        arrays = read_arrays(path)
        images = torch.from_numpy(unpack(arrays, "train")).to(run.device)
        for name, cell in train.cells.items():
            for method in methods(cell) if dataset in cell.datasets else ():
                layers = getattr(train.architectures, dataset)
                shape = (layers, cell.large_encoder, cell.k, cell.m, method.name, method.alpha)
                if shape not in known:
                    known[shape] = _seconds_per_step(settings, run, dataset, cell, method, images)
                seconds = known[shape]
                steps, models = cell.rounds * train.round_steps, cell.seeds * len(method.strengths)
                rows.append(
                    {
                        "document": "air",
                        "dataset": dataset,
                        "cell": name,
                        "k": cell.k,
                        "m": cell.m,
                        "method": method.name,
                        "alpha": method.alpha,
                        "device": _device_name(run.device),
                        "threads": run.threads,
                        "members": settings.timing.members,
                        "seconds_per_1000_steps": 1000 * seconds,
                        "iterations": steps,
                        "models": models,
                        "hours": seconds * steps * models / 3600,
                    }
                )
    return {"cost": pd.DataFrame(rows)}


def _seconds_per_step(
    settings: Settings, run: Run, dataset: str, cell: Cell, method: Method, images: Tensor
) -> float:
    """Per model; the difference of a longer and a shorter run leaves out what comes once."""
    members = [(seed, method.strengths[0]) for seed in range(settings.timing.members)]
    taken = []
    for repeat in range(settings.timing.repeats + 1):
        short, long = (
            _timed(
                settings.train, run, dataset, cell, method, images, members, factor * settings.timing.steps
            )
            for factor in (1, 2)
        )
        if repeat > 0:  # the first one warms up
            taken.append((long - short) / settings.timing.steps / len(members))
    return max(statistics.median(taken), 0.0)


def _timed(
    train: Train,
    run: Run,
    dataset: str,
    cell: Cell,
    method: Method,
    images: Tensor,
    members: Sequence[Member],
    steps: int,
) -> float:
    one_round = train.model_copy(update={"round_steps": steps, "batch": min(train.batch, len(images))})
    work = Work("timing", run.scratch / "timing.pt", "", math.inf, watch=run.watch)
    work.checkpoint.unlink(missing_ok=True)  # it is written at the end
    start = time.perf_counter()
    fit(
        objective(one_round, dataset, cell, method, members, images),
        initial_networks(one_round, dataset, cell, method, members),
        epochs=1,
        learning_rate=train.learning_rate,
        final_share=train.final_share,
        schedule=decaying,
        record_epochs=1,
        work=work,
        device=run.device,
    )
    return time.perf_counter() - start


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else "cpu"
