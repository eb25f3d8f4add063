"""Adversarial training by density ratio estimation, and its three limitations (lecture, part I; implicit).

The lecture states them without an experiment; both here are ours. In two dimensions (`game`) the
discriminator takes few steps per step of q, as in practice, and the ELBO that it sees is compared with the
true one. In many dimensions (`finite_sample`) it is trained on a finite sample, for a known divergence.

The true ELBO counts q's draws in cells. Where q has shrunk to few cells its entropy comes out too large, so
that the ELBO of a collapsed q is lower than what is shown.
"""

import numpy as np
import pandas as pd

from elbogap import provenance
from elbogap.papers.implicit import finite_sample
from elbogap.papers.implicit.frames import by_seed, keyed, over_seeds
from elbogap.papers.implicit.game import Game
from elbogap.papers.implicit.horseshoe import Posterior, best_gaussian
from elbogap.papers.implicit.settings import DensityRatio as Settings
from elbogap.runtime import Run
from elbogap.training import Work

CHECKPOINT_SECONDS = 10


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Play the game with each number of discriminator steps, and train a discriminator in each dimension.

    All of the ELBO and of divergences is in nats.

    Returns:
        `curves`: by `discriminator_steps`, `seed` and `step` of q, `elbo_estimate` E_q[log p(x|z) - T(z)]
        and `elbo`, from a histogram of q's draws.
        `training`: of the last half of these, by `discriminator_steps` and `seed`: `kl` = log p(x) - `elbo`
        on average, `elbo_sd` over training, and the average of `overestimate`, the estimate less the true
        ELBO, and of its absolute value, `estimate_error`; `gaussian_kl`, the least `kl` of any Gaussian.
        `samples`: the grid's `axis` and the `posterior` on it, draws `z` of the first seed's q by
        `discriminator_steps`, and `log_evidence`.
        `dimensions`: by `dimension`, `part` (training or held-out points) and `seed`, the true `kl`,
        `kl_estimate` E_q[T(z)], its absolute `error`, `accuracy`, and `certain`, the fraction of points with
        D outside [0.01, 0.99].
        `table`: means and standard deviations (`_sd`) of these over seeds, beside `exact_accuracy` and
        `exact_certain` of the best discriminator.

    Raises:
        UserError: a training in which all members diverge.
        OutOfTime: the time budget is spent.
    """
    identity = provenance.identity(__name__, settings, run)
    curves, samples = _game(settings, run, identity)
    dimensions = _dimensions(settings, run, identity)
    return {
        "curves": curves,
        "training": _last_half(curves, float(samples["log_evidence"]), best_gaussian(settings.game)),
        "samples": samples,
        "dimensions": dimensions,
        "table": _summary(settings, dimensions),
    }


def _game(settings: Settings, run: Run, identity: str) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    own, posterior = settings.game, Posterior.of(settings.game)
    step = own.round_steps * np.arange(1, own.rounds + 1)
    tables, shown = [], []
    for steps in own.discriminator_steps:
        game = Game(own, steps, settings.seed, run.device)
        work = Work.of(run, f"discriminator-steps-{steps}", identity, CHECKPOINT_SECONDS)
        estimate, elbo = game.train(work).permute(1, 2, 0)
        values = by_seed({"elbo_estimate": estimate.numpy(), "elbo": elbo.numpy()}, step=step)
        tables.append(keyed(values, discriminator_steps=steps))
        shown.append(game.sample(own.shown)[0].cpu().numpy())
    arrays = {
        "axis": posterior.axis.numpy(),
        "posterior": posterior.density.numpy(),
        "log_evidence": np.array(posterior.log_evidence),
        "discriminator_steps": np.array(own.discriminator_steps),
        "z": np.stack(shown),
    }
    return pd.concat(tables, ignore_index=True), arrays


def _last_half(curves: pd.DataFrame, log_evidence: float, best_gaussian: float) -> pd.DataFrame:
    last = curves[curves["step"] > curves["step"].max() / 2]
    over = last["elbo_estimate"] - last["elbo"]
    values = last.assign(kl=log_evidence - last["elbo"], overestimate=over, estimate_error=over.abs())
    groups = values.groupby(["document", "discriminator_steps", "seed"])
    means = groups[["kl", "overestimate", "estimate_error"]].mean()
    return means.assign(elbo_sd=groups["elbo"].std(), gaussian_kl=log_evidence - best_gaussian).reset_index()


def _dimensions(settings: Settings, run: Run, identity: str) -> pd.DataFrame:
    own, tables = settings.finite_sample, []
    for dimension in own.dimensions:
        work = Work.of(run, f"dimension-{dimension}", identity, CHECKPOINT_SECONDS)
        for part, values in finite_sample.measured(own, dimension, settings.seed, work, run.device).items():
            table = by_seed({name: value.numpy() for name, value in values.items()})
            table.insert(1, "kl", own.divergence)
            table.insert(3, "error", (table["kl_estimate"] - table["kl"]).abs())
            tables.append(keyed(table, dimension=dimension, part=part))
    return pd.concat(tables, ignore_index=True)


def _summary(settings: Settings, dimensions: pd.DataFrame) -> pd.DataFrame:
    keys, metrics = ["document", "dimension", "part", "kl"], ["kl_estimate", "error", "accuracy", "certain"]
    columns = [column for name in metrics for column in (name, f"{name}_sd")]
    exact = finite_sample.exact(settings.finite_sample.divergence)
    table = over_seeds(dimensions, keys, "_sd")[[*keys, *columns, "seeds"]]
    return table.assign(**{f"exact_{name}": value for name, value in exact.items()})
