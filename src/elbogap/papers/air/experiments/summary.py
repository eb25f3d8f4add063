"""Tables of the document from the evaluations of all cells (air, Tables 1 to 4 and 7, Figures 1, 2 and 4).

Gains are over the unregularised model of the same seed. Per method the strength of the largest validation
likelihood, averaged over seeds, is chosen; that of the largest validation bound is named beside it.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import stats

from elbogap.config.base import Section as Settings
from elbogap.errors import UserError
from elbogap.papers.air.methods import PLAIN, REGULARISERS
from elbogap.runtime import Run
from elbogap.tables import read_table

DATA = ["document", "dataset", "data"]
CELL = [*DATA, "encoder", "k", "m"]
METHOD = ["method", "alpha"]
STRENGTH = [*CELL, *METHOD, "strength"]
METRICS = ["valid_bound", "valid_loglik", "test_loglik", "test_bound", "test_gap", "test_iwae"]
CRITERIA = {"chosen": "valid_loglik", "chosen_by_bound": "valid_bound"}
COMPARED = {"gain": "test_loglik", "gap_change": "test_gap"}
SHOWN = [
    *(*DATA, "encoder", "k", *METHOD, "strength", "seeds", "test_loglik", "test_loglik_se", "test_bound"),
    *("test_gap", "gap_change", "gain", "gain_low", "gain_high"),
]
"""Columns of Tables 1 to 4."""

KS = {"tab01": 1, "tab02": 8, "tab03": 64}


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Summarise the inputs `evaluation_<dataset>_<cell>` and `curves_<dataset>_<cell>`.

    Returns `seeds`: per model its `gain` in `test_loglik` and `gap_change`, in nats per image, and whether
    its strength is `chosen`; `strengths`: means over seeds, their spread, and Student's interval of the gain;
    `transitions` along the strengths (:func:`_transitions`); `attenuation`: those of methods and seeds that
    were trained for several k; `tab01` to `tab03`: the chosen strengths for k = 1, 8, 64; `tab04`: the same
    for all k where a large encoder was trained; `tab07`: searched and chosen strengths; `curves`: training
    curves of what was trained with several m; `falls`: their largest and last `test_bound`, and the
    difference. UserError if there is no evaluation.
    """
    models, curves = (
        [read_table(path) for name, path in sorted(run.inputs.items()) if name.startswith(kind)]
        for kind in ("evaluation_", "curves_")
    )
    if not models:
        raise UserError("air.summary: no evaluations; the settings of air.train name no cells")
    columns = [*STRENGTH, "seed", *METRICS, "test_images", "test_loglik_se"]
    seeds = pd.concat(models, ignore_index=True)[columns]
    plain = seeds.loc[seeds["method"] == PLAIN, [*CELL, "seed", *COMPARED.values()]]
    beside = seeds[[*CELL, "seed"]].merge(plain, how="left")
    seeds = seeds.assign(**{name: seeds[metric] - beside[metric] for name, metric in COMPARED.items()})
    strengths = _strengths(seeds)
    seeds = seeds.merge(strengths[[*STRENGTH, *CRITERIA]])
    standard = strengths[strengths["encoder"] == "standard"]
    chosen = strengths.loc[strengths["chosen"], SHOWN]
    ordinary, large = (chosen[chosen["encoder"] == encoder] for encoder in ("standard", "large"))
    beside = ordinary.merge(large[["dataset", "k"]].drop_duplicates())
    several = _several_copies(pd.concat(curves))
    transitions = pd.DataFrame(_transitions(seeds[seeds["encoder"] == "standard"]))
    ks, of_seed = (
        transitions.groupby([*DATA, *METHOD, *more])["k"].transform("nunique") for more in ([], ["seed"])
    )
    return {
        "seeds": seeds,
        "strengths": strengths,
        "transitions": transitions,
        "attenuation": transitions[(ks > 1) & (of_seed == ks)],
        **{name: ordinary[ordinary["k"] == k].reset_index(drop=True) for name, k in KS.items()},
        "tab04": pd.concat([large, beside]).sort_values(["dataset", "k", "encoder"], ignore_index=True),
        "tab07": _ranges(standard[standard["method"] != PLAIN]),
        "curves": several,
        "falls": _falls(several),
    }


def _strengths(seeds: pd.DataFrame) -> pd.DataFrame:
    """A row per cell, method and strength."""
    groups = seeds.groupby(STRENGTH)
    table = groups[[*METRICS, "test_images", "test_loglik_se", *COMPARED]].mean()
    table["seeds"], table["test_loglik_spread"] = groups.size(), groups["test_loglik"].std()
    half = stats.t.ppf(0.975, table["seeds"] - 1) * groups["gain"].sem()  # NaN for a single seed
    table["gain_low"], table["gain_high"] = table["gain"] - half, table["gain"] + half
    for name, criterion in CRITERIA.items():  # that of a diverged model is NaN, and comes last
        rank = table.groupby([*CELL, *METHOD])[criterion].rank(
            ascending=False, method="first", na_option="bottom"
        )
        table[name] = rank == 1
    return table.reset_index()


def _transitions(seeds: pd.DataFrame) -> Iterator[dict[str, object]]:
    """From too little to too much regularisation, for each data set, method, k and seed.

    `gain` is that of the chosen strength, `loss` what the strongest one that was trained for every k loses
    against it, and `transition` the smaller of both; `own_choice` is what the seed alone would choose.
    """
    for key, own in seeds[seeds["method"] != PLAIN].groupby([*DATA, *METHOD]):
        common = set.intersection(*(set(of_k["strength"]) for _, of_k in own.groupby("k")))
        strongest = (max if REGULARISERS[key[3]].rising else min)(common, default=np.nan)
        for (k, seed), one in own.groupby(["k", "seed"]):
            gain = one.loc[one["chosen"], "gain"].iloc[0]
            loss = gain - one.set_index("strength")["gain"].get(strongest, np.nan)
            yield dict(zip([*DATA, *METHOD], key, strict=True)) | {
                "k": k,
                "seed": seed,
                "own_choice": one["strength"].iloc[one["valid_loglik"].argmax()],
                "strongest": strongest,
                "gain": gain,
                "loss": loss,
                "transition": min(gain, loss),
            }


def _ranges(regularised: pd.DataFrame) -> pd.DataFrame:
    """Table 7: what was searched and what was chosen, per method, k and data set."""
    key = [*DATA, *METHOD, "k"]
    table = regularised.groupby(key, as_index=False).agg(
        smallest=("strength", "min"), largest=("strength", "max"), searched=("strength", "size")
    )
    parameters = table["method"].map({name: kind.parameter for name, kind in REGULARISERS.items()})
    table.insert(len(key), "parameter", parameters)
    for name in CRITERIA:
        choice = regularised.loc[regularised[name], [*key, "strength"]]
        table = table.merge(choice.rename(columns={"strength": name}))
    return table


def _several_copies(curves: pd.DataFrame) -> pd.DataFrame:
    """Training curves of the methods and strengths that have one with m > 1."""
    elbo = curves[(curves["k"] == 1) & (curves["encoder"] == "standard")]
    several = elbo.loc[elbo["m"] > 1, ["dataset", *METHOD, "strength"]].drop_duplicates()
    columns = [*DATA, *METHOD, "strength", "m", "seed", "step", "passes"]
    table = elbo.merge(several)[[*columns, "train_bound", "valid_bound", "test_bound"]]
    return table.sort_values(columns, ignore_index=True)


def _falls(curves: pd.DataFrame) -> pd.DataFrame:
    """How far the test bound falls from its largest value to the end of training."""
    table = curves.groupby([*DATA, *METHOD, "strength", "m", "seed"], as_index=False).agg(
        steps=("step", "max"), largest=("test_bound", "max"), last=("test_bound", "last")
    )
    return table.assign(fall=table["largest"] - table["last"])
