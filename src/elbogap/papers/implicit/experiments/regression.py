"""Softmax regression on one data set by UIVI, SIVI and a Gaussian mean field (implicit, slide 47).

Deviations: the mean field is ours; q's cheaper form and the measured ELBO as in `softmax_regression`; ELBO
and test log-likelihood are measured together. Time is that of an iteration of one member, from a run without
measurements, since seeds are trained together.
"""

import math
import statistics
import time

import pandas as pd

from elbogap import provenance
from elbogap.data.loaders import load
from elbogap.ensemble import Fit
from elbogap.papers.implicit.settings import Points
from elbogap.papers.implicit.settings import Regression as Settings
from elbogap.papers.implicit.softmax_regression import METHODS, SoftmaxRegression, estimates, model, train
from elbogap.runtime import Run
from elbogap.training import Work


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Train all methods on the data set `dataset` (key), whose record is the input `data`.

    Returns:
        `curves`: per method, seed and `iteration` the columns of
        :func:`elbogap.papers.implicit.softmax_regression.estimates`; `variant`, which files the
        data came from (the HAPT of a `mirror` has its features computed anew from the raw signals); `final`:
        the same of the last networks with more draws; `timing`: per method `seconds_per_iteration` of one
        member on this device.

    Raises:
        UserError: a minibatch larger than the training set.
        OutOfTime: the time budget is spent.
    """
    data, name = load(run.inputs["data"]), run.keys["dataset"]
    points = {"mnist": settings.mnist, "hapt": settings.hapt}[name]
    training = settings.training
    regression = model(data, points, training.seed, run.device)
    seeds = range(training.seeds)
    key = {
        "document": "implicit",
        "dataset": name,
        "data": data.kind,
        "variant": data.record["variant"],
    }
    curves, final, timing = [], [], []
    for method in METHODS:
        work = Work.of(
            run,
            f"{name}-{method}",
            provenance.identity(__name__, settings, run),
            training.checkpoint_seconds,
        )
        fit = train(
            training, regression, points, method, settings.hmc_iterations, seeds, settings.rounds, work
        )
        own = key | {"method": method}
        curves.append(curve(fit, training.measure_every).assign(**own))
        networks = {part: network.to(run.device) for part, network in fit.networks.items()}
        values = estimates(training, regression, networks, seeds=seeds, test_draws=settings.final_test_draws)
        last = pd.DataFrame({what: value.cpu().numpy() for what, value in values.items()})
        final.append(last.assign(seed=list(seeds), **own))
        seconds = _seconds_per_iteration(settings, run, regression, points, method)
        timing.append(own | {"threads": run.threads, "device": run.device, "seconds_per_iteration": seconds})
    columns = [*key, "method", "seed"]
    return {
        "curves": _ordered(pd.concat(curves, ignore_index=True), [*columns, "iteration"]),
        "final": _ordered(pd.concat(final, ignore_index=True), columns),
        "timing": pd.DataFrame(timing),
    }


def curve(fit: Fit, measure_every: int) -> pd.DataFrame:
    """A row per seed and measurement."""
    measurements = next(iter(fit.measured.values())).shape[1]
    iterations = [measure_every * (i + 1) for i in range(measurements)]
    rows = [
        pd.DataFrame({name: values[seed] for name, values in fit.measured.items()}).assign(
            seed=seed, iteration=iterations
        )
        for seed in range(len(fit.values))
    ]
    return pd.concat(rows, ignore_index=True)


def _seconds_per_iteration(
    settings: Settings, run: Run, regression: SoftmaxRegression, points: Points, method: str
) -> float:
    """The difference of a longer and a shorter run leaves out what comes once."""
    timed = settings.training.model_copy(update={"measure_every": settings.timing_steps})
    work = Work("timing", run.scratch / "timing.pt", "", math.inf, watch=run.watch)

    def seconds(rounds: int) -> float:
        work.checkpoint.unlink(missing_ok=True)  # it is written at the end
        start = time.perf_counter()
        train(timed, regression, points, method, settings.hmc_iterations, [0], rounds, work, measured=False)
        return time.perf_counter() - start

    taken = [seconds(2) - seconds(1) for _ in range(settings.timing_repeats)]
    return max(statistics.median(taken), 0.0) / settings.timing_steps


def _ordered(table: pd.DataFrame, first: list[str]) -> pd.DataFrame:
    return table[[*first, *(name for name in table if name not in first)]]
