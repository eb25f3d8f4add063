"""Test divergences of all methods, their orderings and what prior recovery costs (mapa, Figures 2 and 3).

Deviation: the document states no intervals. The fraction k / S is chosen for each data set by itself.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np
import pandas as pd

from elbogap.papers.mapa.intervals import half_interval
from elbogap.papers.mapa.methods import METHODS, QUANTILE_MAP, RECOVERIES, STANDARD
from elbogap.papers.mapa.settings import DensitySummary as Settings
from elbogap.runtime import Run
from elbogap.tables import read_table

PAIRS = (
    ("mapa", "vae"),
    ("mapa", "iwae"),
    ("mapa", "mapa_naive"),
    ("mapa", "mapa_within"),
    ("mapa_gt", "mapa"),
    ("mapa_exact", "mapa"),
)
"""What the document says, or suggests, to be better, and worse."""
KEYS = ["document", "problem", "method", "S", "prior", "draw"]
PAIR = ["document", "problem", "prior", "S", "better", "worse"]
GAIN = ["gain", "drift", "converged"]
BUDGETS = {"decoder passes per point": "passes_per_point", "seconds per step": "seconds_per_step"}
SLACK = 0.05
"""What a training may cost beyond a budget and still count as equal: MAPA's passes, and all seconds, vary."""
FRACTION = 0.1
"""Of a gain: objectives that still change by less cannot be what made it."""


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Tables over all problems; inputs are `density_<problem>` of `mapa.density`, and
    `cost_<problem>` of `mapa.cost`.

    Returns:
        `density`: for each problem, method, budget S, prior and data draw, of the selected restarts that with
        the k of largest `valid_loglik`, with the median of `seconds_per_step`; `converged` unless `drift` is,
        either way, beyond `settings.drift`.
        `gains`: `gain`, test_kl(`worse`) - test_kl(`better`) on each data set, in nats; `converged` unless
        `drift`, the larger of the changes of the two objectives, is beyond both `settings.drift` and
        `FRACTION` of the gain.
        `orderings`: `difference`, the mean gain over data sets with 95 % Student interval `low` to `high`.
        `budget`: the same as `gains` where each method takes, by `valid_loglik`, one of its models whose
        training cost at most `budget`, in `unit`, and a twentieth more; the budgets are those of IWAE.
        `recovery`: test_kl of the model chosen under the quantile map by the other recoveries, in nats.
    """
    members, costs = (
        pd.concat([read_table(path) for name, path in run.inputs.items() if name.startswith(kind)])
        for kind in ("density_", "cost_")
    )
    members = members.astype({"S": "Int64"})
    seconds = costs.groupby(["problem", "cell"])["seconds_per_step"].median()
    members = members.join(seconds, on=["problem", "cell"])
    selected = members[members["selected"]].reset_index(drop=True)
    best = selected.groupby(KEYS, dropna=False, sort=False)["valid_loglik"].idxmax()
    metrics = ["k_share", "restart", "test_kl", "test_kl_se", "valid_loglik", "drift", *BUDGETS.values()]
    density = selected.loc[best, [*KEYS, *metrics]].reset_index(drop=True)
    density["converged"] = density["drift"].abs() <= settings.drift
    keys = [*(key for key in KEYS if key != "prior"), "k_share", "restart"]
    exact = density.loc[density["prior"] == QUANTILE_MAP, [*keys, "test_kl"]]
    others = members.loc[~members["prior"].isin([QUANTILE_MAP, STANDARD]), [*keys, "prior", "test_kl"]]
    recovery = others.merge(exact, on=keys, suffixes=("", "_quantile_map"))
    differences = pd.DataFrame(gains(density, settings.drift), columns=[*PAIR, "draw", *GAIN])
    by_pair = differences.groupby(PAIR, sort=False)["gain"]
    return {
        "density": density,
        "gains": differences,
        "budget": pd.DataFrame(
            at_equal_cost(density, settings.drift),
            columns=["document", "problem", "prior", "unit", "budget", "better", "worse", "draw", *GAIN],
        ),
        "orderings": pd.DataFrame(
            [(*pair, *ordering(gain.to_numpy())) for pair, gain in by_pair],
            columns=[*PAIR, "difference", "low", "high", "draws"],
        ),
        "recovery": recovery.assign(difference=recovery["test_kl"] - recovery["test_kl_quantile_map"]),
    }


Row = tuple[object, ...]


def gains(density: pd.DataFrame, drift: float) -> Iterator[Row]:
    """See :func:`run`; methods without a budget are compared at each."""
    for problem, table in density.groupby("problem", sort=False):
        budgets = sorted(table.loc[table["method"] == "mapa", "S"].unique())
        for prior, samples, (better, worse) in product(RECOVERIES, budgets, PAIRS):
            both = [_models(table, method, prior, samples) for method in (better, worse)]
            for draw in both[0].index.intersection(both[1].index):
                gain = _gain(both[0].loc[draw], both[1].loc[draw], drift)
                yield ("mapa", problem, prior, int(samples), better, worse, draw, *gain)


def at_equal_cost(density: pd.DataFrame, drift: float) -> Iterator[Row]:
    """See :func:`run`."""
    for (problem, draw), table in density.groupby(["problem", "draw"], sort=False):
        for prior, (unit, cost) in product(RECOVERIES, BUDGETS.items()):
            for budget in sorted(table.loc[table["method"] == "iwae", cost].unique()):
                affordable = table[cost] <= (1 + SLACK) * budget
                own = table[affordable & table["prior"].isin([prior, STANDARD])]
                best = own.loc[own.groupby("method")["valid_loglik"].idxmax()].set_index("method")
                for worse in ("vae", "iwae"):
                    if {"mapa", worse} <= {*best.index}:
                        gain = _gain(best.loc["mapa"], best.loc[worse], drift)
                        yield ("mapa", problem, prior, unit, budget, "mapa", worse, draw, *gain)


def ordering(differences: np.ndarray) -> tuple[float, float, float, int]:
    """The mean over data sets with its interval, which two data sets are the least for."""
    mean, half = differences.mean(), half_interval(differences)
    return mean, mean - half, mean + half, len(differences)


def _models(table: pd.DataFrame, method: str, prior: str, samples: float) -> pd.DataFrame:
    """By data draw; methods with q(z|x) have their own prior."""
    rows = table[(table["method"] == method) & table["prior"].isin([prior, STANDARD])]
    if METHODS[method].budget != "none":
        rows = rows[rows["S"] == samples]
    return rows.set_index("draw")


def _gain(better: pd.Series, worse: pd.Series, drift: float) -> tuple[float, float, bool]:
    """See `gains` of :func:`run`."""
    gain = worse["test_kl"] - better["test_kl"]
    change = np.maximum(abs(better["drift"]), abs(worse["drift"]))
    return gain, change, bool(change <= max(drift, FRACTION * abs(gain)))
