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
    parts, values = [], {}
    for name, path in run.inputs.items():
        kind, _, rest = name.partition("_")
        if kind == "evaluation":
            table = read_table(path)
            parts.append(table)
            values[table["dataset"].iloc[0], table["cell"].iloc[0]] = read_arrays(
                run.inputs[f"loglik_{rest}"]
            )["loglik"]
    everything = pd.concat(parts, ignore_index=True).sort_values(
        ["dataset", "cell", "seed"], ignore_index=True
    )
    found = {"seeds": everything}
    for output, group in TABLES.items():
        own = everything[everything["group"].str.split("+").map(lambda groups, group=group: group in groups)]
        found[output] = _table(own, values, settings, output)
    return found


def _table(
    rows: pd.DataFrame, values: dict[tuple[str, str], np.ndarray], settings: Settings, name: str
) -> pd.DataFrame:
    """A row per data set and cell."""
    found = []
    for (dataset, cell), group in rows.groupby(["dataset", "cell"], sort=False):
        random = numpy_generator(settings.seed, "implicit.vae_summary", name, dataset)
        same = rows[(rows["dataset"] == dataset) & (rows["model"] == group["model"].iloc[0])]
        plain = same.loc[same["method"] == "elbo", "cell"]
        loglik = values[dataset, cell]
        draws = _resampled(loglik, settings.resamples, random)
        row = {
            **group.iloc[0][CELL],
            "cell": cell,
            "seeds": len(group),
            "test_images": loglik.shape[1],
            "test_loglik": loglik.mean(),
            **_interval("test_loglik", draws),
            "seed_low": loglik.mean(1).min(),
            "seed_high": loglik.mean(1).max(),
            "test_loglik_q": group["test_loglik_q"].mean(),
            "difference": group["difference"].mean(),
        }
        if len(plain):
            base = values[dataset, plain.iloc[0]]
            random = numpy_generator(settings.seed, "implicit.vae_summary", name, dataset)  # the same images
            row["gain"] = loglik.mean() - base.mean()
            row |= _interval("gain", draws - _resampled(base, settings.resamples, random))
        found.append(row)
    return pd.DataFrame(found)


def _resampled(loglik: np.ndarray, resamples: int, random: np.random.Generator) -> np.ndarray:
    """Means over resampled images, of the mean over seeds; equal generators choose equal images."""
    images = random.integers(loglik.shape[1], size=(resamples, loglik.shape[1]))
    return loglik.mean(0)[images].mean(1)


def _interval(name: str, draws: np.ndarray) -> dict[str, float]:
    low, high = np.quantile(draws, [0.025, 0.975])
    return {f"{name}_low": low, f"{name}_high": high}
