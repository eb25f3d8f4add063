"""Adversarial training by density ratio estimation, and its three limitations (lecture, part I; implicit).

The lecture states them without an experiment; both here are ours. In two dimensions (`game`) the
discriminator takes few steps per step of q, as in practice, and the ELBO that it sees is compared with the
true one. In many dimensions (`finite_sample`) it is trained on a finite sample, for a known divergence.

The true ELBO counts q's draws in cells. Where q has shrunk to few cells its entropy comes out too large, so
that the ELBO of a collapsed q is lower than what is shown.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from elbogap import provenance
from elbogap.papers.implicit import finite_sample
from elbogap.papers.implicit.frames import by_seed, keyed, over_seeds
from elbogap.papers.implicit.game import Game, Posterior, best_gaussian
from elbogap.papers.implicit.settings import DensityRatio as Settings
from elbogap.runtime import Run
from elbogap.training import Work


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
    work = partial(Work.of, run, identity=identity, checkpoint_seconds=10)
    posterior = Posterior.of(settings.game)
    curves, draws = _play(settings, run.device, work)
    samples = {
        "axis": posterior.axis.numpy(),
        "posterior": posterior.density.numpy(),
        "log_evidence": np.array(posterior.log_evidence),
        "discriminator_steps": np.array(settings.game.discriminator_steps),
        "z": draws,
    }
    dimensions = _dimensions(settings, run.device, work)
    return {
        "curves": curves,
        "training": _last_half(curves, posterior.log_evidence, best_gaussian(settings.game)),
        "samples": samples,
        "dimensions": dimensions,
        "table": _summary(settings.finite_sample.divergence, dimensions),
    }


def _play(settings: Settings, device: str, work: Callable[[str], Work]) -> tuple[pd.DataFrame, np.ndarray]:
    """Curves, and draws of the first seed's q at the end."""
    own, tables, draws = settings.game, [], []
    step = own.round_steps * np.arange(1, own.rounds + 1)
    for steps in own.discriminator_steps:
        game = Game(own, steps, settings.seed, device)
        estimate, elbo = game.train(work(f"discriminator-steps-{steps}")).permute(1, 2, 0).numpy()
        values = by_seed({"elbo_estimate": estimate, "elbo": elbo}, step=step)
        tables.append(keyed(values, discriminator_steps=steps))
        draws.append(game.sample(own.shown)[0].cpu().numpy())
    return pd.concat(tables, ignore_index=True), np.stack(draws)


def _last_half(curves: pd.DataFrame, log_evidence: float, best_gaussian: float) -> pd.DataFrame:
    last = curves[curves["step"] > curves["step"].max() / 2]
    over = last["elbo_estimate"] - last["elbo"]
    values = last.assign(kl=log_evidence - last["elbo"], overestimate=over, estimate_error=over.abs())
    groups = values.groupby(["document", "discriminator_steps", "seed"])
    means = groups[["kl", "overestimate", "estimate_error"]].mean()
    return means.assign(elbo_sd=groups["elbo"].std(), gaussian_kl=log_evidence - best_gaussian).reset_index()


def _dimensions(settings: Settings, device: str, work: Callable[[str], Work]) -> pd.DataFrame:
    own, tables = settings.finite_sample, []
    for dimension in own.dimensions:
        at = work(f"dimension-{dimension}")
        for part, values in finite_sample.measured(own, dimension, settings.seed, at, device).items():
            table = by_seed({name: value.numpy() for name, value in values.items()})
            table.insert(1, "kl", own.divergence)
            table.insert(3, "error", (table["kl_estimate"] - table["kl"]).abs())
            tables.append(keyed(table, dimension=dimension, part=part))
    return pd.concat(tables, ignore_index=True)


def _summary(divergence: float, dimensions: pd.DataFrame) -> pd.DataFrame:
    keys, metrics = ["document", "dimension", "part", "kl"], ["kl_estimate", "error", "accuracy", "certain"]
    columns = [column for name in metrics for column in (name, f"{name}_sd")]
    exact = finite_sample.exact(divergence).items()
    table = over_seeds(dimensions, keys, "_sd")[[*keys, *columns, "seeds"]]
    return table.assign(**{f"exact_{name}": value for name, value in exact})
