"""Softmax regression on a data set by UIVI, SIVI or a Gaussian mean field (implicit, slide 47; appendix).

Guess: the appendix's number of HMC iterations is that of iterations dropped and of those kept, as in the
code's default of five and five. Deviations: the mean field is ours; q's cheaper form and the measured ELBO as
in `softmax_regression`; ELBO and test log-likelihood are measured together. Time is that of an iteration of
one member, from a run without measurements, since seeds are trained together.
"""

import statistics
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from elbogap.data.loaders import load
from elbogap.errors import named
from elbogap.papers.implicit.frames import by_seed, keyed
from elbogap.papers.implicit.names import OF_Q
from elbogap.papers.implicit.settings import Regression as Settings
from elbogap.papers.implicit.softmax_regression import Inference, SoftmaxRegression
from elbogap.runtime import Run
from elbogap.training import Work, seconds_per_step


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Train the cell `cell` on the data set `dataset` (keys), whose record is the input `data`.

    Returns `curves`: the estimates of :class:`Inference` by seed and `iteration`, and `seconds_per_iteration`
    of one member on this device. The HAPT whose `variant` is `mirror` has its features computed anew from the
    raw signals. UserError for a minibatch larger than the training set, or an unknown cell.
    """
    data, dataset, training = load(run.inputs["data"]), run.keys["dataset"], settings.training
    name = run.keys["cell"]
    cell = named(settings.cells, name, "implicit.regression: no cell")
    regression = SoftmaxRegression.of(data, getattr(settings, dataset), training.seed, run.device)
    q = Inference(training, regression, OF_Q[cell.method], cell.hmc_iterations, range(training.seeds))
    work = Work.in_module(__name__, settings, run, f"{dataset}-{name}", training.checkpoint_seconds)
    iterations = training.measure_every * np.arange(1, settings.rounds + 1)
    curves = by_seed(q.train(settings.rounds, work).measured, iteration=iterations)
    timed = training.model_copy(update={"measure_every": settings.timing_steps})
    alone = partial(replace(q, settings=timed, seeds=[0]).train, measured=False)
    repeats = range(settings.timing_repeats)
    seconds = statistics.median(seconds_per_step(alone, settings.timing_steps, run) for _ in repeats)
    curves["seconds_per_iteration"] = max(seconds, 0.0)
    keys = {"dataset": dataset, "data": data.kind, "variant": data.record["variant"], "cell": name}
    keys |= cell.model_dump(include={"method", "hmc_iterations"})
    return {"curves": keyed(curves, **keys)}
