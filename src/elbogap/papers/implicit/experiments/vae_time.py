"""Seconds per training iteration of VCD against its number t of HMC iterations (implicit, Figure 6)."""

import math
import statistics
import time

import numpy as np
import pandas as pd
import torch

from elbogap.ensemble import fit
from elbogap.papers.implicit.experiments.images import unpack
from elbogap.papers.implicit.experiments.vae_train import objective
from elbogap.papers.implicit.settings import TimeOfTraining as Settings
from elbogap.papers.implicit.settings import VaeCell
from elbogap.papers.implicit.vae import initial_networks
from elbogap.runtime import Run
from elbogap.tables import read_arrays
from elbogap.training import Work


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Time training steps of a VAE of one member on the input `images`.

    Returns:
        `time`: per t the `seconds` per iteration, the median over repetitions, their range `seconds_low` and
        `seconds_high`, the straight line through the medians, `line`, with its slope `seconds_per_hmc`, and
        `line_error`, the distance from it over the largest time.
    """
    arrays = read_arrays(run.inputs["images"])
    images = torch.from_numpy(unpack(arrays, "train")).to(run.device)
    taken: dict[int, list[float]] = {t: [] for t in settings.timing.refinements}
    for _ in range(settings.timing.repeats + 1):  # rounds over all t, so that a busy while hits all alike
        for t, seconds in taken.items():
            seconds.append(_seconds(settings, run, t, images))
    measured = {t: seconds[1:] for t, seconds in taken.items()}  # the first one warms up
    rows = [(t, statistics.median(one), min(one), max(one)) for t, one in measured.items()]
    table = pd.DataFrame(rows, columns=["refinements", "seconds", "seconds_low", "seconds_high"])
    slope, intercept = np.polyfit(table["refinements"], table["seconds"], 1)
    line = intercept + slope * table["refinements"]
    table = table.assign(
        document="implicit",
        dataset=str(arrays["dataset"]),
        data=str(arrays["data"]),
        device=run.device,
        line=line,
        seconds_per_hmc=slope,
        line_error=(table["seconds"] - line).abs() / table["seconds"].max(),
    )
    first = ["document", "dataset", "data", "device"]
    return {"time": table[[*first, *table.columns.drop(first)]]}


def _seconds(settings: Settings, run: Run, t: int, images: torch.Tensor) -> float:
    """Per step: the difference of a longer and a shorter run leaves out what comes once."""
    short, long = (_timed(settings, run, t, images, factor * settings.timing.steps) for factor in (1, 2))
    return (long - short) / settings.timing.steps


def _timed(settings: Settings, run: Run, t: int, images: torch.Tensor, steps: int) -> float:
    cell = VaeCell(
        datasets=("binarized_mnist",),
        tables=("steps",),
        model="vae",
        method="vcd",
        refinements=t,
        alpha=1.0,
        learning_rate=5e-4,
        deviation_share=0.5,
        initialisation="xavier",
        rounds=1,
        seeds=1,
    )
    train = settings.train.model_copy(
        update={"round_steps": steps, "batch": min(settings.train.batch, len(images))}
    )
    what = objective(train, "timing", cell, [0], images)
    work = Work("timing", run.scratch / "timing.pt", "", math.inf, watch=run.watch)
    work.checkpoint.unlink(missing_ok=True)  # it is written at the end
    start = time.perf_counter()
    fit(
        what,
        initial_networks(train, "timing", cell, [0]),
        epochs=1,
        learning_rate=cell.learning_rate,
        record_epochs=1,
        damped={"mean": 1.0, "deviation": cell.deviation_share, "decoder": 1.0},
        state=what.state,
        work=work,
        device=run.device,
    )
    return time.perf_counter() - start
