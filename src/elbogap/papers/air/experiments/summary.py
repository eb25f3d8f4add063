"""Tables of the document from the evaluations of all cells (air, Tables 1 to 4 and 7, Figures 1 and 2).

Per method the strength of the largest validation bound, averaged over seeds, is chosen. The gain over the
unregularised model has a bootstrap interval over the test images, which all methods share.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from elbogap.config.base import Bootstrap as Settings
from elbogap.errors import UserError
from elbogap.papers.air.methods import PLAIN, REGULARISERS
from elbogap.runtime import Run, numpy_generator
from elbogap.tables import read_arrays, read_table

DATA = ["document", "dataset", "data"]
CELL = [*DATA, "encoder", "k", "m"]
METHOD = ["method", "alpha"]
METRICS = ["valid_bound", "test_loglik", "test_bound", "test_gap", "test_iwae", "iw_svi_share"]
SHOWN = [
    *(*DATA, "encoder", "k", *METHOD, "strength", "seeds"),
    *("test_loglik", "test_loglik_se", "test_bound", "test_gap", "gap_change"),
    *("gain", "gain_low", "gain_high"),
]
"""Columns of Tables 1 to 4."""

KS = {"tab01": 1, "tab02": 8, "tab03": 64}


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Summarise inputs `evaluation_<dataset>_<cell>` with their `images_<dataset>_<cell>`, and `curves_...`.

    Returns `strengths`: means over seeds and their spread, the gain in `test_loglik` and the change of
    `test_gap` against the unregularised model, and `loss` against the best strength; `shapes` of these curves
    over strength (:func:`_shapes`); `tab01` to `tab03`: the chosen strengths for k = 1, 8, 64; `tab04`: the
    same for all k where a large encoder was trained; `tab07`: searched and chosen strengths; `curves`:
    training curves, averaged over seeds, of what was trained with several m; `gradient_samples`: their
    largest and last `test_bound`, and `fall`, the difference in nats. UserError if there is no evaluation.
    """
    names = sorted(name.removeprefix("evaluation_") for name in run.inputs if name.startswith("evaluation_"))
    if not names:
        raise UserError("air.summary: no evaluations; the settings of air.train name no cells")
    strengths = pd.concat(_strengths(settings, run, name) for name in names)
    strengths = strengths.sort_values([*CELL, *METHOD, "strength"], ignore_index=True)
    single = strengths[strengths["m"] == 1]
    standard = single[single["encoder"] == "standard"]
    chosen = single.loc[single["chosen"], SHOWN]
    ordinary, large = (chosen[chosen["encoder"] == encoder] for encoder in ("standard", "large"))
    beside = ordinary.merge(large[["dataset", "k"]].drop_duplicates())
    curves = [read_table(path) for name, path in run.inputs.items() if name.startswith("curves_")]
    several = gradient_samples(pd.concat(curves))
    return {
        "strengths": strengths,
        "shapes": pd.DataFrame(_shapes(standard)),
        **{name: ordinary[ordinary["k"] == k].reset_index(drop=True) for name, k in KS.items()},
        "tab04": pd.concat([large, beside]).sort_values(["dataset", "k", "encoder"], ignore_index=True),
        "tab07": _ranges(standard),
        "curves": several,
        "gradient_samples": overfitting(several),
    }


def _strengths(settings: Settings, run: Run, name: str) -> pd.DataFrame:
    """A row per method and strength of one cell on one data set."""
    table = read_table(run.inputs[f"evaluation_{name}"])
    loglik = read_arrays(run.inputs[f"images_{name}"])["loglik"]
    images = loglik.shape[1]
    random = numpy_generator(settings.seed, "air.summary", images)  # one cell's resamples are another's
    resamples = random.integers(images, size=(settings.resamples, images))
    plain = loglik[(table["method"] == PLAIN).to_numpy()].mean(0)
    rows = []
    for _, seeds in table.groupby([*METHOD, "strength"], sort=False):
        own = loglik[seeds.index].mean(0)
        low, high = np.quantile((own - plain)[resamples].mean(1), [0.025, 0.975])
        rows.append(
            {
                **seeds.iloc[0][[*CELL, *METHOD, "strength"]],
                "seeds": len(seeds),
                "test_images": images,
                **seeds[METRICS].mean(),
                "test_loglik_se": own.std(ddof=1) / np.sqrt(images),
                "test_loglik_spread": seeds["test_loglik"].std(ddof=1),
                "gain": float((own - plain).mean()),
                "gain_low": low,
                "gain_high": high,
            }
        )
    found = pd.DataFrame(rows)
    unregularised = found[found["method"] == PLAIN].iloc[0]
    found["gap_change"] = found["test_gap"] - unregularised["test_gap"]
    # no regularisation is a strength too
    best = found.groupby(METHOD)["test_loglik"].transform("max").clip(lower=unregularised["test_loglik"])
    found["loss"] = best - found["test_loglik"]
    validity = found.groupby(METHOD)["valid_bound"]  # NaN of a diverged model, which comes last
    found["chosen"] = validity.rank(ascending=False, method="first", na_option="bottom") == 1
    return found


def _shapes(standard: pd.DataFrame) -> Iterator[dict[str, object]]:
    """The curve of a method over its strengths on one data set, for each k.

    `best` is the strength of the largest test likelihood (0: no regularisation), `interior` is 1 where it is
    neither that nor the strongest; `loss` is what the strength `common`, the strongest that was trained for
    every k, loses against the best.
    """
    for key, curve in standard[standard["method"] != PLAIN].groupby([*DATA, *METHOD]):
        plain = standard[(standard["method"] == PLAIN) & (standard["dataset"] == key[1])]
        common = set.intersection(*(set(of_k["strength"]) for _, of_k in curve.groupby("k")))
        for k, of_k in curve.groupby("k"):
            of_k = of_k.sort_values("strength", ascending=REGULARISERS[key[3]].rising)
            best = of_k.loc[of_k["test_loglik"].idxmax()]
            gains = best["test_loglik"] > plain.loc[plain["k"] == k, "test_loglik"].iloc[0]
            strongest = [strength for strength in of_k["strength"] if strength in common][-1:]
            yield dict(zip([*DATA, *METHOD], key, strict=True)) | {
                "k": k,
                "strengths": len(of_k),
                "best": best["strength"] if gains else 0.0,
                "interior": int(gains and best["strength"] != of_k["strength"].iloc[-1]),
                "common": strongest[0] if strongest else np.nan,
                "loss": of_k.loc[of_k["strength"].isin(strongest), "loss"].max(),
            }


def _ranges(standard: pd.DataFrame) -> pd.DataFrame:
    """Table 7: what was searched and what was chosen, per method, k and data set."""
    regularised, key = standard[standard["method"] != PLAIN], [*DATA, *METHOD, "k"]
    chosen = regularised.loc[regularised["chosen"], [*key, "strength"]].rename(columns={"strength": "chosen"})
    searched = regularised.groupby(key, as_index=False).agg(
        smallest=("strength", "min"), largest=("strength", "max"), searched=("strength", "size")
    )
    parameters = searched["method"].map({name: kind.parameter for name, kind in REGULARISERS.items()})
    searched.insert(len(key), "parameter", parameters)
    return searched.merge(chosen)


def gradient_samples(curves: pd.DataFrame, *keys: str) -> pd.DataFrame:
    """Training curves, averaged over seeds, of the methods and strengths that have a curve with m > 1."""
    elbo = curves[(curves["k"] == 1) & (curves["encoder"] == "standard")]
    several = elbo.loc[elbo["m"] > 1, ["dataset", *METHOD, "strength"]].drop_duplicates()
    key = [*DATA, *METHOD, "strength", "m", *keys, "step", "passes"]
    groups = elbo.merge(several).groupby(key, as_index=False)
    return groups[["train_bound", "valid_bound", "test_bound"]].mean()


def overfitting(curves: pd.DataFrame, *keys: str) -> pd.DataFrame:
    """How far the test bound falls from its largest value to the end of training; curves end with that."""
    found = curves.groupby([*DATA, *METHOD, "strength", "m", *keys], as_index=False).agg(
        steps=("step", "max"),
        largest=("test_bound", "max"),
        last=("test_bound", lambda bound: bound.iloc[-1]),
    )
    return found.assign(fall=found["largest"] - found["last"])
