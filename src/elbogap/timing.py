"""Seconds per step of training."""

import math
import time
from collections.abc import Callable

from elbogap.runtime import Run
from elbogap.training import Work


def seconds_per_step(train: Callable[[int, Work], object], steps: int, run: Run) -> float:
    """(T_2 - T_1) / K, T_r being the time of r rounds of K steps, so that what is done once cancels."""
    work = Work("timing", run.scratch / "timing.pt", "", math.inf, watch=run.watch)

    def seconds(rounds: int) -> float:
        work.checkpoint.unlink(missing_ok=True)  # it is written at the end
        start = time.perf_counter()
        train(rounds, work)
        return time.perf_counter() - start

    return (seconds(2) - seconds(1)) / steps
