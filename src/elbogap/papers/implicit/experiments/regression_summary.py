"""Figure 3 in numbers: ELBO, test log-likelihood and time of all softmax regressions (implicit, slide 47)."""

import pandas as pd

from elbogap.papers.implicit.settings import RegressionSummary as Settings
from elbogap.papers.implicit.softmax_regression import last, over_seeds
from elbogap.runtime import Run
from elbogap.tables import read_table

KEYS = ["document", "dataset", "data", "variant", "method"]
SHOWN = [
    *KEYS, "seeds", "elbo", "elbo_seed_sd", "elbo_lower", "test_loglik", "test_loglik_seed_sd",
    "test_loglik_marginal", "final_test_loglik", "seconds_per_iteration",
]  # fmt: skip
"""Columns of the table, before the published ones."""


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Tables from the inputs `curves_<dataset>`, `final_<dataset>`, `timing_<dataset>` and `published`.

    Returns:
        `seeds`: per data set, method and seed the means of the curves' columns over the last share of the
        training, and their deviations in time; `table`: per data set and method the means over seeds, their
        deviations, `final_test_loglik` with more draws, `seconds_per_iteration`, and the published values.
    """
    parts = {
        kind: pd.concat(
            [read_table(path) for name, path in run.inputs.items() if name.startswith(f"{kind}_")],
            ignore_index=True,
        )
        for kind in ("curves", "final", "timing")
    }
    seeds = pd.concat(
        [
            last(curves, [*KEYS, "seed"], settings.last_share)
            for _, curves in parts["curves"].groupby("dataset", sort=False)
        ],
        ignore_index=True,
    )
    final = parts["final"].groupby(KEYS)["test_loglik"].mean().rename("final_test_loglik")
    table = (
        over_seeds(seeds, KEYS)
        .join(final, on=KEYS)
        .merge(parts["timing"][[*KEYS, "seconds_per_iteration"]], on=KEYS)
    )
    published = read_table(run.inputs["published"]).drop(columns="source")
    return {"seeds": seeds, "table": table[SHOWN].merge(published, on=["dataset", "method"], how="left")}
