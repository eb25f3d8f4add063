"""Figures 3 and 4 in numbers: ELBO, test log-likelihood and time of all softmax regressions (implicit)."""

import pandas as pd

from elbogap.config.base import Section as Settings
from elbogap.papers.implicit.frames import last, over_seeds
from elbogap.papers.implicit.names import UIVI
from elbogap.runtime import Run
from elbogap.tables import read_table

KEYS = ["document", "dataset", "data", "variant", "method"]
SHOWN = [
    *KEYS, "seeds", "elbo", "elbo_seed_sd", "elbo_lower", "test_loglik", "test_loglik_seed_sd",
    "test_loglik_marginal", "test_loglik_marginal_seed_sd", "seconds_per_iteration",
]  # fmt: skip
"""Columns of the table of Figure 3, before the published ones."""
OF_CHAINS = ["document", "dataset", "data", "variant", "hmc_iterations"]


def run(_: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Tables from the inputs `curves_<dataset>_<cell>`, `published` and `published_chains`.

    Returns `curves` of all cells; of the cells of Figure 3, which are named like their methods, `seeds`:
    means over the last part of the training, and their spread in time, and `table`: means over seeds, and the
    published values; `chains`: the same of UIVI on MNIST by number of HMC iterations.
    """
    tables = [read_table(path) for name, path in run.inputs.items() if name.startswith("curves_")]
    curves = pd.concat(tables, ignore_index=True)
    main = curves[curves["cell"] == curves["method"]].drop(columns=["cell", "hmc_iterations"])
    seeds = last(main, [*KEYS, "seed"])
    table = over_seeds(seeds, KEYS)[SHOWN]
    of_uivi = curves.loc[(curves["dataset"] == "mnist") & (curves["method"] == UIVI.name)]
    of_uivi = of_uivi[[*OF_CHAINS, "seed", "iteration", "elbo", "elbo_lower"]]
    chains = over_seeds(last(of_uivi, [*OF_CHAINS, "seed"]), OF_CHAINS)
    mean = chains["elbo"].mean()
    chains["elbo_change"] = (chains["elbo"] - mean) / abs(mean)
    published, of_chains = (read_table(run.inputs[name]) for name in ("published", "published_chains"))
    table = table.merge(published.drop(columns="source"), on=["dataset", "method"], how="left")
    chains = chains.merge(of_chains[["hmc_iterations", "elbo_published"]], on="hmc_iterations", how="left")
    return {"curves": curves, "seeds": seeds, "table": table, "chains": chains}
