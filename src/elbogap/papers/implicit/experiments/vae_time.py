"""Seconds per training iteration of VCD against its number t of HMC iterations (implicit, Figure 6)."""

import numpy as np
import pandas as pd

from elbogap.models.image_vae import unpacked
from elbogap.papers.implicit.frames import keyed
from elbogap.papers.implicit.settings import TimeOfTraining as Settings
from elbogap.papers.implicit.vae import Learning
from elbogap.runtime import Run
from elbogap.tables import read_arrays
from elbogap.training import seconds_per_step


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Time training steps of the first cell of Figure 6, with one member, on the input `images`: `time`."""
    arrays, timing = read_arrays(run.inputs["images"]), settings.timing
    images = unpacked(arrays, "train", run.device)
    changes = {"round_steps": timing.steps, "batch": min(settings.train.batch, len(images))}
    train = settings.train.model_copy(update=changes)
    shown = next(cell for cell in train.cells.values() if "steps" in cell.tables)

    def seconds(t: int) -> float:
        learning = Learning(train, "timing", shown.model_copy(update={"refinements": t}), [0])
        return seconds_per_step(lambda rounds, work: learning.train(images, rounds, work), timing.steps, run)

    # all t in turn, so that other load meets all alike; the first round warms up
    taken = np.array([[seconds(t) for t in timing.refinements] for _ in range(timing.repeats + 1)])[1:]
    t, median = np.array(timing.refinements), np.median(taken, 0)
    slope, intercept = np.polyfit(t, median, 1)
    line = intercept + slope * t
    columns = {
        "refinements": t,
        "seconds": median,
        "seconds_low": taken.min(0),
        "seconds_high": taken.max(0),
        "line": line,
        "seconds_per_hmc": slope,
        "line_error": np.abs(median - line) / median.max(),
    }
    keys = {"dataset": str(arrays["dataset"]), "data": str(arrays["data"]), "device": run.device}
    return {"time": keyed(pd.DataFrame(columns), **keys)}
