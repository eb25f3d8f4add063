"""Test divergences of all methods, their orderings and the price of distillation (mapa, Figures 2 and 3).

Deviation: the document states no intervals. The fraction k / S is chosen for each data set by itself.
"""

import math
from itertools import product

import numpy as np
import pandas as pd
from scipy import stats
from tqdm import tqdm

from elbogap.config.base import Bootstrap as Settings
from elbogap.papers.mapa.methods import METHODS, NETWORK, QUANTILE_MAP, STANDARD
from elbogap.runtime import Run, numpy_generator
from elbogap.tables import read_table

PAIRS = (
    ("mapa", "vae"),
    ("mapa", "iwae"),
    ("mapa", "mapa_naive"),
    ("mapa_gt", "mapa"),
    ("mapa_exact", "mapa"),
)
"""What the document says, or suggests, to be better, and worse."""
KEYS = ["document", "problem", "method", "S", "prior", "draw"]
PAIR = ["document", "problem", "prior", "S", "better", "worse"]
COVERAGE = 0.95
SLACK = 0.05
"""Decoder passes beyond a budget that still count as equal: those of MAPA are random."""


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Tables over all problems; inputs are the tables of experiment `mapa.density` by problem.

    Returns:
        `density`: for each problem, method, budget S, prior and data draw, of the selected restarts that with
        the k of largest `valid_loglik`.
        `gains`: `gain`, test_kl(`worse`) - test_kl(`better`) on each data set, in nats.
        `orderings`: `difference`, its mean over data sets with 95 % intervals of Student's, `low` and `high`,
        and of bootstrap percentiles.
        `budget`: `gain`, where each method takes, by `valid_loglik`, one of its models whose training took at
        most `budget` decoder passes per point, and a twentieth more; the budgets are those of IWAE.
        `recovery`: what the distillation costs the model that is chosen under the quantile map, in nats.
    """
    members = pd.concat([read_table(path) for path in run.inputs.values()]).astype({"S": "Int64"})
    selected = members[members["selected"]].reset_index(drop=True)
    best = selected.groupby(KEYS, dropna=False, sort=False)["valid_loglik"].idxmax()
    metrics = ["k_share", "restart", "test_kl", "test_kl_se", "valid_loglik", "passes_per_point"]
    density = selected.loc[best, [*KEYS, *metrics]].reset_index(drop=True)
    keys = [*(key for key in KEYS if key != "prior"), "k_share", "restart"]
    by_map = density.loc[density["prior"] == QUANTILE_MAP, [*keys, "test_kl"]]
    by_network = members.loc[members["prior"] == NETWORK, [*keys, "test_kl"]]
    both = by_map.merge(by_network, on=keys, suffixes=("_quantile_map", "_network"))
    differences = gains(density)
    return {
        "density": density,
        "gains": differences,
        "budget": at_equal_passes(density),
        "orderings": orderings(differences, settings.resamples, settings.seed),
        "recovery": both.assign(difference=both["test_kl_network"] - both["test_kl_quantile_map"]),
    }


def gains(density: pd.DataFrame) -> pd.DataFrame:
    """See :func:`run`; methods without a budget are compared at each."""
    rows = []
    for problem, table in density.groupby("problem", sort=False):
        budgets = sorted(table.loc[table["method"] == "mapa", "S"].unique())
        for prior, samples, (better, worse) in product((QUANTILE_MAP, NETWORK), budgets, PAIRS):
            gain = (_kl(table, worse, prior, samples) - _kl(table, better, prior, samples)).dropna()
            key = ("mapa", problem, prior, int(samples), better, worse)
            rows += [(*key, draw, value) for draw, value in gain.items()]
    return pd.DataFrame(rows, columns=[*PAIR, "draw", "gain"])


def at_equal_passes(density: pd.DataFrame) -> pd.DataFrame:
    """See :func:`run`."""
    rows = []
    for (problem, draw), table in density.groupby(["problem", "draw"], sort=False):
        budgets = sorted(table.loc[table["method"] == "iwae", "passes_per_point"].unique())
        for prior, budget in product((QUANTILE_MAP, NETWORK), budgets):
            within = table["passes_per_point"] <= (1 + SLACK) * budget
            own = table[within & table["prior"].isin([prior, STANDARD])]
            kl = own.loc[own.groupby("method")["valid_loglik"].idxmax()].set_index("method")["test_kl"]
            rows += [
                ("mapa", problem, prior, budget, "mapa", worse, draw, kl[worse] - kl["mapa"])
                for worse in ("vae", "iwae")
                if {"mapa", worse} <= {*kl.index}
            ]
    columns = ["document", "problem", "prior", "budget", "better", "worse", "draw", "gain"]
    return pd.DataFrame(rows, columns=columns)


def orderings(gains: pd.DataFrame, resamples: int, seed: int) -> pd.DataFrame:
    """See :func:`run`."""
    rows = []
    for key, table in tqdm(gains.groupby(PAIR, sort=False), desc="orderings", mininterval=5):
        differences, intervals = table["gain"].to_numpy(float), [math.nan] * 4
        if len(differences) > 1:
            generator = numpy_generator(seed, "mapa orderings", key[1])  # one resampling for all of a problem
            bootstrap = bootstrap_interval(differences, resamples, generator)
            intervals = [*student_interval(differences), *bootstrap]
        rows.append((*key, differences.mean(), *intervals, len(differences)))
    names = ["difference", "low", "high", "bootstrap_low", "bootstrap_high", "draws"]
    return pd.DataFrame(rows, columns=[*PAIR, *names])


def _kl(table: pd.DataFrame, method: str, prior: str, samples: float) -> pd.Series:
    """Test divergence by data draw, of methods with q(z|x) under their own prior."""
    rows = table[(table["method"] == method) & table["prior"].isin([prior, STANDARD])]
    if METHODS[method].budget != "none":
        rows = rows[rows["S"] == samples]
    return rows.set_index("draw")["test_kl"]


def student_interval(values: np.ndarray) -> tuple[float, float]:
    """mean -+ t_{D - 1} s / sqrt D of paired differences, `[D]`."""
    half = stats.t.ppf((1 + COVERAGE) / 2, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return values.mean() - half, values.mean() + half


def bootstrap_interval(
    values: np.ndarray, resamples: int, generator: np.random.Generator
) -> tuple[float, float]:
    """Percentile interval of the mean of paired differences, `[D]`, over resampled data sets."""
    means = values[generator.integers(len(values), size=(resamples, len(values)))].mean(1)
    low, high = np.quantile(means, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return low, high
