"""Tables of the document from the evaluations of all cells (air, Tables 1 to 4 and 7, Figures 1 and 2).

Per method the strength of the largest validation bound, averaged over seeds, is chosen. The document's cells
hold log-likelihood, bound and inference gap; here stand standard errors beside them, and the gain over the
unregularised model with a bootstrap interval over the test images, which all methods share.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from elbogap.errors import UserError
from elbogap.papers.air.settings import Summary as Settings
from elbogap.runtime import Run, numpy_generator
from elbogap.tables import read_arrays, read_table

CELL = ["document", "dataset", "data", "encoder", "k", "m"]
METHOD = ["method", "alpha"]
METRICS = ["valid_bound", "test_loglik", "test_bound", "test_gap", "test_iwae", "iw_svi_share"]
SHOWN = [
    *("document", "dataset", "data", "encoder", "k", "method", "alpha", "strength", "seeds"),
    *("test_loglik", "test_loglik_se", "test_bound", "test_gap", "gap_change"),
    *("gain", "gain_low", "gain_high"),
]
"""Columns of Tables 1 to 4."""

KS = {"tab01": 1, "tab02": 8, "tab03": 64}


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Summarise inputs `evaluation_<dataset>_<cell>` with their `images_<dataset>_<cell>`, and `curves_...`.

    Returns:
        `strengths`: per data set, cell, method and strength means over seeds and their spread, the gain in
        `test_loglik` and the change of `test_gap` against the unregularised model, and `loss`, how far it
        lies below the best strength; `shapes`: of these curves over strength, see :func:`_shapes`; `tab01`,
        `tab02`, `tab03`: the chosen strengths for k = 1, 8, 64; `tab04`: the same for all k where a large
        encoder was trained; `tab07`: searched ranges and chosen strengths; `curves`: training curves,
        averaged over seeds, of what was trained with several m; `gradient_samples`: of these the largest and
        the last `test_bound`, and `fall`, their difference in nats.

    Raises:
        UserError: nothing was trained that a table is to show.
    """
    names = [name.removeprefix("evaluation_") for name in run.inputs if name.startswith("evaluation_")]
    if not names:
        raise UserError("air.summary: no evaluations; the settings of air.train name no cells")
    parts = []
    for name in sorted(names):
        table = read_table(run.inputs[f"evaluation_{name}"])
        loglik = read_arrays(run.inputs[f"images_{name}"])["loglik"]
        parts.append(_strengths(settings, table, loglik))
    strengths = pd.concat(parts, ignore_index=True)
    strengths = strengths.sort_values([*CELL, *METHOD, "strength"], ignore_index=True)
    standard = strengths[strengths["m"] == 1]
    chosen = standard.loc[standard["chosen"], SHOWN]
    ordinary = chosen[chosen["encoder"] == "standard"]
    large = chosen[chosen["encoder"] == "large"]
    beside = ordinary.merge(large[["dataset", "k"]].drop_duplicates())
    tables = {name: ordinary[ordinary["k"] == k].reset_index(drop=True) for name, k in KS.items()}
    trained = [read_table(path) for name, path in run.inputs.items() if name.startswith("curves_")]
    curves = _gradient_samples(pd.concat(trained))
    if curves.empty or not (standard["method"] != "plain").any():
        raise UserError(
            "air.summary: add a cell with m > 1 and one with regularised methods to air.train.cells"
        )
    return {
        "strengths": strengths,
        "shapes": pd.DataFrame(_shapes(standard[standard["encoder"] == "standard"])),
        **tables,
        "tab04": pd.concat([large, beside]).sort_values(["dataset", "k", "encoder"], ignore_index=True),
        "tab07": pd.DataFrame(_ranges(standard[standard["encoder"] == "standard"])),
        "curves": curves,
        "gradient_samples": pd.DataFrame(_overfitting(curves)),
    }


def _strengths(settings: Settings, table: pd.DataFrame, loglik: np.ndarray) -> pd.DataFrame:
    """A row per method and strength of one cell."""
    images = loglik.shape[1]
    random = numpy_generator(settings.seed, "air.summary", images)  # one cell's resamples are another's
    resamples = random.integers(images, size=(settings.resamples, images))
    plain = loglik[(table["method"] == "plain").to_numpy()].mean(0)
    rows = []
    for key, some in table.groupby([*METHOD, "strength"], sort=False):
        own = loglik[some.index].mean(0)
        gains = (own - plain)[resamples].mean(1)
        low, high = np.quantile(gains, [0.025, 0.975])
        rows.append(
            some.iloc[0][CELL].to_dict()
            | dict(zip([*METHOD, "strength"], key, strict=True))
            | {"seeds": len(some), "test_images": images}
            | {metric: some[metric].mean() for metric in METRICS}
            | {
                "test_loglik_se": own.std(ddof=1) / np.sqrt(images),
                "test_loglik_spread": some["test_loglik"].std(ddof=1) if len(some) > 1 else np.nan,
                "gain": float((own - plain).mean()),
                "gain_low": low,
                "gain_high": high,
            }
        )
    found = pd.DataFrame(rows)
    unregularised = found[found["method"] == "plain"].iloc[0]
    found["gap_change"] = found["test_gap"] - unregularised["test_gap"]
    # no regularisation is a strength too
    best = found.groupby(METHOD)["test_loglik"].transform("max").clip(lower=unregularised["test_loglik"])
    found["loss"] = best - found["test_loglik"]
    valid = found["valid_bound"].fillna(-np.inf)  # that of a diverged model
    found["chosen"] = (
        valid.groupby([found[name] for name in METHOD]).rank(ascending=False, method="first") == 1
    )
    return found


def _shapes(standard: pd.DataFrame) -> Iterator[dict[str, object]]:
    """The curve of a method over its strengths on one data set, for each k.

    `best` is the strength of the largest test likelihood (0: no regularisation), `interior` is 1 where it is
    neither that nor the strongest; `loss` is what the strength `common`, the strongest that was trained for
    every k, loses against the best.
    """
    for key, curve in standard[standard["method"] != "plain"].groupby(["dataset", *METHOD]):
        plain = standard[(standard["method"] == "plain") & (standard["dataset"] == key[0])]
        weak_first = key[1] == "denoising"
        common = set.intersection(*(set(some["strength"]) for _, some in curve.groupby("k")))
        for k, some in curve.groupby("k"):
            some = some.sort_values("strength", ascending=weak_first)
            best = some.loc[some["test_loglik"].idxmax()]
            gains = best["test_loglik"] > plain.loc[plain["k"] == k, "test_loglik"].iloc[0]
            there = [strength for strength in some["strength"] if strength in common][-1:]
            yield some.iloc[0][["document", "dataset", "data", *METHOD]].to_dict() | {
                "k": k,
                "strengths": len(some),
                "best": best["strength"] if gains else 0.0,
                "interior": int(gains and best["strength"] != some["strength"].iloc[-1]),
                "common": there[0] if there else np.nan,
                "loss": some.loc[some["strength"].isin(there), "loss"].max(),
            }


def _ranges(standard: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Table 7: what was searched and what was chosen, per method, k and data set."""
    regularised = standard[standard["method"] != "plain"]
    for key, some in regularised.groupby(["document", "dataset", "data", *METHOD, "k"]):
        chosen = some.loc[some["chosen"], "strength"].iloc[0]
        yield dict(zip(["document", "dataset", "data", *METHOD, "k"], key, strict=True)) | {
            "parameter": "H" if key[3] == "weight_norm" else "sigma",
            "smallest": some["strength"].min(),
            "largest": some["strength"].max(),
            "searched": len(some),
            "chosen": chosen,
        }


def _gradient_samples(curves: pd.DataFrame) -> pd.DataFrame:
    """Training curves, averaged over seeds, of the methods and strengths that have a curve with m > 1."""
    elbo = curves[(curves["k"] == 1) & (curves["encoder"] == "standard")]
    several = elbo.loc[elbo["m"] > 1, ["dataset", *METHOD, "strength"]].drop_duplicates()
    key = ["document", "dataset", "data", *METHOD, "strength", "m", "step", "passes"]
    same = elbo.merge(several)
    return same.groupby(key, as_index=False)[["train_bound", "valid_bound", "test_bound"]].mean()


def _overfitting(curves: pd.DataFrame) -> Iterator[dict[str, object]]:
    """How far the test bound falls from its largest value to the end of training."""
    key = ["document", "dataset", "data", *METHOD, "strength", "m"]
    for values, curve in curves.groupby(key):
        largest, last = curve["test_bound"].max(), curve.sort_values("step")["test_bound"].iloc[-1]
        yield dict(zip(key, values, strict=True)) | {
            "steps": curve["step"].max(),
            "largest": largest,
            "last": last,
            "fall": largest - last,
        }
