"""Tables 1 and 2, and the numbers of Figure 6, from the evaluations of all cells."""

import numpy as np
import pandas as pd

from elbogap.config.base import Bootstrap as Settings
from elbogap.runtime import Run, numpy_generator
from elbogap.tables import read_arrays, read_table

CELL = ["document", "dataset", "data", "model", "method", "refinements"]
TABLES = {"tab01": "uivi", "tab02": "vcd", "steps": "steps"}


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Summarise the inputs `evaluation_<dataset>_<cell>` and `loglik_<dataset>_<cell>`.

    Returns `seeds`: all evaluations, a row per seed; `tab01`, `tab02`, `steps`: a row per data set and cell,
    with bootstrap intervals over images (`_low`, `_high`), and the range over seeds (`seed_low`, `_high`).
    """
    tables, logliks = [], {}
    for name, path in run.inputs.items():
        if name.startswith("evaluation_"):
            tables.append(read_table(path))
            loglik = read_arrays(run.inputs[name.replace("evaluation", "loglik", 1)])["loglik"]
            logliks[tuple(tables[-1].loc[0, ["dataset", "cell"]])] = loglik
    seeds = pd.concat(tables).sort_values(["dataset", "cell", "seed"], ignore_index=True)
    shown = {name: seeds[seeds["group"].str.contains(rf"\b{group}\b")] for name, group in TABLES.items()}
    return {"seeds": seeds} | {name: _table(rows, logliks, settings, name) for name, rows in shown.items()}


def _table(
    rows: pd.DataFrame, logliks: dict[tuple[str, ...], np.ndarray], settings: Settings, name: str
) -> pd.DataFrame:
    """A row per data set and cell."""

    def resampled(loglik: np.ndarray) -> np.ndarray:
        """Means over the same resampled images of a data set, of the mean over seeds."""
        random = numpy_generator(settings.seed, "implicit.vae_summary", name, dataset)
        images = random.integers(loglik.shape[1], size=(settings.resamples, loglik.shape[1]))
        return loglik.mean(0)[images].mean(1)

    found = []
    for (dataset, cell), group in rows.groupby(["dataset", "cell"], sort=False):
        loglik, first = logliks[dataset, cell], group.iloc[0]
        means = resampled(loglik)
        row = {
            **first[[*CELL, "cell"]],
            "seeds": len(group),
            "test_images": loglik.shape[1],
            "test_loglik": loglik.mean(),
            **_interval("test_loglik", means),
            "seed_low": loglik.mean(1).min(),
            "seed_high": loglik.mean(1).max(),
            **group[["test_loglik_q", "difference"]].mean(),
        }
        elbo = (rows["dataset"] == dataset) & (rows["model"] == first["model"]) & (rows["method"] == "elbo")
        if elbo.any():
            base = logliks[dataset, rows.loc[elbo, "cell"].iloc[0]]
            row["gain"] = loglik.mean() - base.mean()
            row |= _interval("gain", means - resampled(base))
        found.append(row)
    return pd.DataFrame(found)


def _interval(name: str, values: np.ndarray) -> dict[str, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return {f"{name}_low": low, f"{name}_high": high}
