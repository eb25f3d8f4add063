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
from elbogap.papers.implicit.game import Game, trained
from elbogap.papers.implicit.horseshoe import Posterior, best_gaussian
from elbogap.papers.implicit.settings import DensityRatio as Settings
from elbogap.runtime import Run
from elbogap.training import Work

KEY = {"document": "implicit"}


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
        `kl_estimate` E_q[T(z)], its absolute `error`, `accuracy`, and `certain`, the share of points with D
        outside [0.01, 0.99].
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
    posterior = Posterior.of(settings.game)
    tables, shown = [], []
    for steps in settings.game.discriminator_steps:
        game = Game(settings.game, steps, settings.seed, run.device)
        work = Work.of(run, f"discriminator-steps-{steps}", identity)
        records = trained(game, settings.game, work).numpy()
        for seed in range(settings.game.seeds):
            step = settings.game.round_steps * np.arange(1, settings.game.rounds + 1)
            columns = {"step": step, "elbo_estimate": records[:, 0, seed], "elbo": records[:, 1, seed]}
            tables.append(pd.DataFrame(KEY | {"discriminator_steps": steps, "seed": seed} | columns))
        shown.append(game.sample(settings.game.shown)[0].cpu().numpy())
    arrays = {
        "axis": posterior.axis.numpy(),
        "posterior": posterior.density.numpy(),
        "log_evidence": np.array(posterior.log_evidence),
        "discriminator_steps": np.array(settings.game.discriminator_steps),
        "z": np.stack(shown),
    }
    return pd.concat(tables, ignore_index=True), arrays


def _last_half(curves: pd.DataFrame, log_evidence: float, best_gaussian: float) -> pd.DataFrame:
    last = curves[curves["step"] > curves["step"].max() / 2]
    values = last.assign(
        kl=log_evidence - last["elbo"],
        overestimate=last["elbo_estimate"] - last["elbo"],
        estimate_error=(last["elbo_estimate"] - last["elbo"]).abs(),
    )
    groups = values.groupby([*KEY, "discriminator_steps", "seed"])
    means = groups[["kl", "overestimate", "estimate_error"]].mean()
    return means.assign(elbo_sd=groups["elbo"].std(), gaussian_kl=log_evidence - best_gaussian).reset_index()


def _dimensions(settings: Settings, run: Run, identity: str) -> pd.DataFrame:
    rows = []
    for dimension in settings.finite_sample.dimensions:
        work = Work.of(run, f"dimension-{dimension}", identity)
        parts = finite_sample.measured(settings.finite_sample, dimension, settings.seed, work, run.device)
        for part, values in parts.items():
            key = KEY | {"dimension": dimension, "part": part}
            columns = {name: value.numpy() for name, value in values.items()}
            seeds = {"seed": range(settings.finite_sample.seeds), "kl": settings.finite_sample.divergence}
            rows.append(pd.DataFrame(key | seeds | columns))
    table = pd.concat(rows, ignore_index=True)
    table.insert(6, "error", (table["kl_estimate"] - table["kl"]).abs())
    return table


def _summary(settings: Settings, dimensions: pd.DataFrame) -> pd.DataFrame:
    groups = dimensions.groupby([*KEY, "dimension", "part", "kl"], sort=False)
    metrics = ["kl_estimate", "error", "accuracy", "certain"]
    means, deviations = groups[metrics].mean(), groups[metrics].std().add_suffix("_sd")
    columns = [column for name in metrics for column in (name, f"{name}_sd")]
    exact = finite_sample.exact(settings.finite_sample.divergence)
    table = means.join(deviations)[columns].assign(seeds=settings.finite_sample.seeds)
    return table.assign(**{f"exact_{name}": value for name, value in exact.items()}).reset_index()
