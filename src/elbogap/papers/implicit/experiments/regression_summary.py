"""Figure 3 in numbers: ELBO, test log-likelihood and time of all softmax regressions (implicit, slide 47)."""

import pandas as pd

from elbogap.papers.implicit.frames import last, over_seeds
from elbogap.papers.implicit.settings import RegressionSummary as Settings
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

    Returns `seeds`: means over the last part of the training, and their spread in time; `table`: means over
    seeds, and the published values.
    """
    curves, final, timing = (
        [read_table(path) for name, path in run.inputs.items() if name.startswith(f"{kind}_")]
        for kind in ("curves", "final", "timing")
    )
    keys = [*KEYS, "seed"]
    seeds = pd.concat([last(table, keys, settings.last_share) for table in curves], ignore_index=True)
    means = pd.concat(final).groupby(KEYS)["test_loglik"].mean().rename("final_test_loglik")
    seconds = pd.concat(timing)[[*KEYS, "seconds_per_iteration"]]
    table = over_seeds(seeds, KEYS).join(means, on=KEYS).merge(seconds, on=KEYS)
    published = read_table(run.inputs["published"]).drop(columns="source")
    return {"seeds": seeds, "table": table[SHOWN].merge(published, on=["dataset", "method"], how="left")}
