"""Softmax regression on one data set by UIVI, SIVI and a Gaussian mean field (implicit, slide 47).

Deviations: the mean field is ours; q's cheaper form and the measured ELBO as in `softmax_regression`; ELBO
and test log-likelihood are measured together. Time is that of an iteration of one member, from a run without
measurements, since seeds are trained together.
"""

import statistics
from dataclasses import replace
from functools import partial

import pandas as pd

from elbogap.data.loaders import load
from elbogap.papers.implicit.frames import by_seed, keyed
from elbogap.papers.implicit.names import OF_Q
from elbogap.papers.implicit.settings import Regression as Settings
from elbogap.papers.implicit.softmax_regression import Inference, SoftmaxRegression
from elbogap.runtime import Run
from elbogap.training import Work, seconds_per_step


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Train all methods on the data set `dataset` (key), whose record is the input `data`.

    Returns `curves`: the estimates of :class:`Inference` by method, seed and `iteration`; `final`: those of
    the last networks with more draws; `timing`: seconds per iteration of one member on this device. The HAPT
    whose `variant` is `mirror` has its features computed anew from the raw signals. UserError for a minibatch
    larger than the training set.
    """
    data, name, training = load(run.inputs["data"]), run.keys["dataset"], settings.training
    regression = SoftmaxRegression.of(data, getattr(settings, name), training.seed, run.device)
    timed = training.model_copy(update={"measure_every": settings.timing_steps})
    keys = {"dataset": name, "data": data.kind, "variant": data.record["variant"]}
    tables: dict[str, list[pd.DataFrame]] = {"curves": [], "final": [], "timing": []}
    for method in OF_Q.values():
        q = Inference(training, regression, method, settings.hmc_iterations, range(training.seeds))
        label, seconds = f"{name}-{method.name}", training.checkpoint_seconds
        work = Work.in_module(__name__, settings, run, label, seconds)
        fit = q.train(settings.rounds, work)
        networks = {part: network.to(run.device) for part, network in fit.networks.items()}
        final = q.estimates(networks, settings.final_test_draws)
        alone = partial(replace(q, settings=timed, seeds=[0]).train, measured=False)
        repeats = range(settings.timing_repeats)
        seconds = statistics.median(seconds_per_step(alone, settings.timing_steps, run) for _ in repeats)
        timing = {"threads": run.threads, "device": run.device, "seconds_per_iteration": max(seconds, 0.0)}
        found = {
            "curves": q.curves(fit),
            "final": by_seed({what: value.cpu().numpy() for what, value in final.items()}),
            "timing": pd.DataFrame([timing]),
        }
        for kind, table in found.items():
            tables[kind].append(keyed(table, **keys, method=method.name))
    return {kind: pd.concat(parts, ignore_index=True) for kind, parts in tables.items()}
