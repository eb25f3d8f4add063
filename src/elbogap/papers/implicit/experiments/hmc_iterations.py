"""UIVI's softmax regression on MNIST with several numbers of HMC iterations (implicit, appendix, slide 2).

Guess: the legend's number is that of iterations dropped and of those kept, as in the code's default of five
and five. Deviations as in `softmax_regression`.
"""

import pandas as pd

from elbogap import provenance
from elbogap.data.loaders import load
from elbogap.papers.implicit.experiments.regression import curve
from elbogap.papers.implicit.settings import HmcIterations as Settings
from elbogap.papers.implicit.softmax_regression import last, model, over_seeds, train
from elbogap.runtime import Run
from elbogap.tables import read_table
from elbogap.training import Work


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Train with each number of iterations on the input `data`, the record of MNIST.

    Returns:
        `curves`: per `hmc_iterations`, seed and `iteration` the estimates `elbo` and `elbo_lower` of
        :func:`elbogap.papers.implicit.softmax_regression.estimates`; `table`: per
        `hmc_iterations` their means over the last share of training and over seeds, `elbo_change`, how far
        the ELBO is from the mean of all rows over the size of that mean, and `elbo_published`, of the input
        `published`.

    Raises:
        UserError: a minibatch larger than the training set.
        OutOfTime: the time budget is spent.
    """
    data, training = load(run.inputs["data"]), settings.training
    regression = model(data, settings.points, training.seed, run.device)
    curves = []
    for iterations in settings.iterations:
        work = Work.of(
            run,
            f"hmc-{iterations}",
            provenance.identity(__name__, settings, run),
            training.checkpoint_seconds,
        )
        seeds = range(training.seeds)
        fit = train(training, regression, settings.points, "uivi", iterations, seeds, settings.rounds, work)
        own = {
            "document": "implicit",
            "dataset": "mnist",
            "data": data.kind,
            "variant": data.record["variant"],
            "hmc_iterations": iterations,
        }
        found = curve(fit, training.measure_every)
        curves.append(found.assign(**own)[[*own, "seed", "iteration", "elbo", "elbo_lower"]])
    table = pd.concat(curves, ignore_index=True)
    return {
        "curves": table,
        "table": _summary(table, settings.last_share, read_table(run.inputs["published"])),
    }


def _summary(curves: pd.DataFrame, share: float, published: pd.DataFrame) -> pd.DataFrame:
    """Per number of iterations: means over seeds, their spread, and the mean spread in time."""
    keys = ["document", "dataset", "data", "variant", "hmc_iterations"]
    table = over_seeds(last(curves, [*keys, "seed"], share), keys)
    mean = table["elbo"].mean()
    table["elbo_change"] = (table["elbo"] - mean) / abs(mean)
    return table.merge(published[["hmc_iterations", "elbo_published"]], on="hmc_iterations", how="left")
