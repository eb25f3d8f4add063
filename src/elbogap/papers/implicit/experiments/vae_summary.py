"""Tables 1 and 2, and the numbers of Figure 6, from the evaluations of all cells."""

import numpy as np
import pandas as pd

from elbogap.papers.implicit.settings import VaeSummary as Settings
from elbogap.runtime import Run, numpy_generator
from elbogap.tables import read_arrays, read_table

CELL = ["document", "dataset", "data", "model", "method", "refinements"]
TABLES = {"tab01": "uivi", "tab02": "vcd", "steps": "steps"}


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Summarise the inputs `evaluation_<dataset>_<cell>` and `loglik_<dataset>_<cell>`.

    Returns:
        `seeds`: all evaluations, a row per seed; `tab01`, `tab02`, `steps`: per model `seeds`, `test_loglik`
        (neutral), a bootstrap interval over images (`_low`, `_high`) and the range over seeds (`seed_low`,
        `_high`), `test_loglik_q` (own q), `difference` of the two, and `gain` over the explicit q of the same
        data set, model and table, with an interval over the same images.
    """
    tables, logliks = [], {}
    for name, path in run.inputs.items():
        kind, _, rest = name.partition("_")
        if kind == "evaluation":
            tables.append(read_table(path))
            key = tables[-1]["dataset"].iloc[0], tables[-1]["cell"].iloc[0]
            logliks[key] = read_arrays(run.inputs[f"loglik_{rest}"])["loglik"]
    seeds = pd.concat(tables).sort_values(["dataset", "cell", "seed"], ignore_index=True)
    groups = seeds["group"].str.split("+")
    found = {"seeds": seeds}
    for output, group in TABLES.items():
        own = seeds[[group in shown for shown in groups]]
        found[output] = _table(own, logliks, settings, output)
    return found


def _table(
    rows: pd.DataFrame, logliks: dict[tuple[str, str], np.ndarray], settings: Settings, name: str
) -> pd.DataFrame:
    """A row per data set and cell."""

    def resampled(loglik: np.ndarray) -> np.ndarray:
        """Means over the same resampled images of a data set, of the mean over seeds."""
        random = numpy_generator(settings.seed, "implicit.vae_summary", name, dataset)
        images = random.integers(loglik.shape[1], size=(settings.resamples, loglik.shape[1]))
        return loglik.mean(0)[images].mean(1)

    found = []
    for (dataset, cell), group in rows.groupby(["dataset", "cell"], sort=False):
        same = rows[(rows["dataset"] == dataset) & (rows["model"] == group["model"].iloc[0])]
        explicit = same.loc[same["method"] == "elbo", "cell"]
        loglik = logliks[dataset, cell]
        means = resampled(loglik)
        row = {
            **group.iloc[0][CELL],
            "cell": cell,
            "seeds": len(group),
            "test_images": loglik.shape[1],
            "test_loglik": loglik.mean(),
            **_interval("test_loglik", means),
            "seed_low": loglik.mean(1).min(),
            "seed_high": loglik.mean(1).max(),
            **group[["test_loglik_q", "difference"]].mean(),
        }
        if len(explicit):
            base = logliks[dataset, explicit.iloc[0]]
            row["gain"] = loglik.mean() - base.mean()
            row |= _interval("gain", means - resampled(base))
        found.append(row)
    return pd.DataFrame(found)


def _interval(name: str, values: np.ndarray) -> dict[str, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return {f"{name}_low": low, f"{name}_high": high}
