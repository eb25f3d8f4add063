"""UIVI's softmax regression on MNIST with several numbers of HMC iterations (implicit, appendix, slide 2).

Guess: the legend's number is that of iterations dropped and of those kept, as in the code's default of five
and five. Deviations as in `softmax_regression`.
"""

import pandas as pd

from elbogap.data.loaders import load
from elbogap.papers.implicit.frames import keyed, last, over_seeds
from elbogap.papers.implicit.names import UIVI
from elbogap.papers.implicit.settings import HmcIterations as Settings
from elbogap.papers.implicit.softmax_regression import Inference, SoftmaxRegression
from elbogap.runtime import Run
from elbogap.tables import read_table
from elbogap.training import Work

KEYS = ["document", "dataset", "data", "variant", "hmc_iterations"]


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Train with each number of iterations on the input `data`, the record of MNIST.

    Returns `curves`: the estimates `elbo` and `elbo_lower` of :class:`Inference` by seed and `iteration`;
    `table`: their means over the last part of training and over seeds, beside the input `published`.
    UserError for a minibatch larger than the training set.
    """
    data, training = load(run.inputs["data"]), settings.training
    regression = SoftmaxRegression.of(data, settings.points, training.seed, run.device)
    keys = {"dataset": "mnist", "data": data.kind, "variant": data.record["variant"]}
    tables = []
    for iterations in settings.iterations:
        q = Inference(training, regression, UIVI, iterations, range(training.seeds))
        label, seconds = f"hmc-{iterations}", training.checkpoint_seconds
        work = Work.in_module(__name__, settings, run, label, seconds)
        curves = q.curves(q.train(settings.rounds, work))[["seed", "iteration", "elbo", "elbo_lower"]]
        tables.append(keyed(curves, **keys, hmc_iterations=iterations))
    curves = pd.concat(tables, ignore_index=True)
    table = over_seeds(last(curves, [*KEYS, "seed"], settings.last_share), KEYS)
    mean = table["elbo"].mean()
    table["elbo_change"] = (table["elbo"] - mean) / abs(mean)
    published = read_table(run.inputs["published"])[["hmc_iterations", "elbo_published"]]
    return {"curves": curves, "table": table.merge(published, on="hmc_iterations", how="left")}
