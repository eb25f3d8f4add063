"""Tables of all scores: what each method reaches, what its family costs, and what q_IW makes of it.

The gap log Z - ELBO is split: the family costs the gap of its best member, which for Gaussians is known in
closed form or by quadrature; for others it is the smallest gap of any seed, and the split is an estimate.
The rest is what optimisation costs.
"""

import numpy as np
import pandas as pd
from scipy import stats

from elbogap.config.base import Section as Settings
from elbogap.runtime import Run
from elbogap.tables import read_arrays, read_table

KEY = ["document", "problem", "kind", "dim", "data", "method", "seed"]
INTERVALS = [
    "gap",
    "sliced_wasserstein",
    "mmd",
    "mean_bias",
    "sd_bias",
    "log_sd_ratio",
    "k_hat",
    "evaluations",
]
NEAR = 0.1  # posterior standard deviations by which every mean may be off
MEASURED = {
    "sliced_wasserstein": "median_sliced_wasserstein",
    "mean_bias": "median_mean_bias",
    "log_sd_ratio": "median_log_sd_ratio",
    "gap": "median_gap",
    "evaluations": "median_evaluations",
    "cpu_s": "median_cpu_s",
}


def run(_: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Gather the inputs `scores_<problem>`, `known_<problem>` and `draws_<problem>`.

    Returns `scores`, all rows, and `intervals` of their means; `problems`; `gaps`, `bounds` and `importance`
    of fits that have them; `summary`, a row per method; and `draws` on the plane, by `<problem>.<method>`.
    """
    kinds = {kind: _inputs(run, f"{kind}_") for kind in ("scores", "known", "draws")}
    scores = pd.concat(map(read_table, kinds["scores"].values()), ignore_index=True)
    problems = pd.concat(map(read_table, kinds["known"].values()), ignore_index=True)
    planar = problems.loc[problems["dim"] == 2, "problem"]
    draws = {
        f"{name}.{label}": values
        for name in planar
        for label, values in read_arrays(kinds["draws"][name]).items()
    }
    tables = {made.__name__: made(scores) for made in (intervals, gaps, bounds, importance, summary)}
    return {"scores": scores, "problems": problems, "draws": draws, **tables}


def _inputs(run: Run, prefix: str) -> dict:
    return {name.removeprefix(prefix): path for name, path in run.inputs.items() if name.startswith(prefix)}


def intervals(scores: pd.DataFrame) -> pd.DataFrame:
    """The mean over seeds of each problem and method, with Student's 95 % interval, `_low` to `_high`.

    NaN for one seed; of a fit that failed there is nothing.
    """
    keys = [key for key in KEY if key != "seed"]
    grouped = scores.groupby(keys, sort=False)[INTERVALS]
    mean, sd, count = grouped.mean(), grouped.std(), grouped.count()
    half = sd / np.sqrt(count) * stats.t.ppf(0.975, np.maximum(count - 1, 1))
    table = pd.concat([mean, (mean - half).add_suffix("_low"), (mean + half).add_suffix("_high")], axis=1)
    columns = [f"{name}{end}" for name in INTERVALS for end in ("", "_low", "_high")]
    return table[columns].reset_index()


def gaps(scores: pd.DataFrame) -> pd.DataFrame:
    """`gap` = `family_gap` + `optimisation_gap`, in nats, and how the former is known."""
    table = scores.loc[scores["gap"].notna(), [*KEY, "gap", "elbo_se", "best_gap"]].copy()
    best_fit = table.groupby(["problem", "method"])["gap"].transform("min")
    table["family_gap"] = table["best_gap"].fillna(best_fit)
    table["family_gap_is"] = np.where(table["best_gap"].notna(), "exact", "best fit")
    table["optimisation_gap"] = table["gap"] - table["family_gap"]
    return table.drop(columns="best_gap")


def bounds(scores: pd.DataFrame) -> pd.DataFrame:
    """The bound that a method gives beside the ELBO by integration, log Z - KL(q || p), in nats."""
    table = scores.loc[scores["kl_q_p"].notna(), [*KEY, "elbo", "elbo_se"]].copy()
    table["integrated_elbo"] = (scores["elbo"] + scores["gap"] - scores["kl_q_p"])[table.index]
    return table


def importance(scores: pd.DataFrame) -> pd.DataFrame:
    """KL(q_IW || p) by k beside KL(q || p), in nats, where both are integrated."""
    columns = {column: int(column.rpartition("_")[2]) for column in scores if column.startswith("kl_q_iw_")}
    long = scores.rename(columns=columns).melt([*KEY, "kl_q_p"], [*columns.values()], "k", "kl_q_iw")
    return long.dropna(subset="kl_q_iw").sort_values([*KEY, "k"], ignore_index=True)


def summary(scores: pd.DataFrame) -> pd.DataFrame:
    """Medians over problems of means over seeds, and the mean rank by Wasserstein distance.

    `near` counts the problems on which every mean is within a tenth of a posterior standard deviation.
    """
    numbers = scores.groupby(["method", "problem"])[[*MEASURED, "converged"]].mean().reset_index()
    ranks = numbers.groupby("problem")["sliced_wasserstein"].rank(na_option="bottom")
    numbers = numbers.assign(rank=ranks, near=numbers["mean_bias"] < NEAR)
    by_method = numbers.groupby("method")
    table = by_method[[*MEASURED]].median().rename(columns=MEASURED)
    table.insert(0, "mean_rank", by_method["rank"].mean())
    table.insert(0, "converged", by_method["converged"].mean())
    table.insert(0, "near", by_method["near"].sum())
    table.insert(0, "problems", by_method.size())
    data = "stand-in" if (scores["data"] == "stand-in").any() else "real"
    table = table.sort_values("mean_rank").reset_index()
    table.insert(0, "data", data)
    table.insert(0, "document", "atlas")
    return table
