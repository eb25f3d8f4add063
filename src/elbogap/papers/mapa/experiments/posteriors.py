"""Three log-posteriors of chosen observations: true, empiricalised, MAPA (mapa, Figures 6 to 10).

The document does not say which observations it shows; here their latent values have stated ranks. N p(i|x, Z)
estimates p(z_i|x) / p(z_i), a density relative to the prior; the prior is returned, too.
"""

import numpy as np
import pandas as pd
import torch

from elbogap.papers.mapa.log_posteriors import curves, of_ranks
from elbogap.papers.mapa.model import GroundTruth
from elbogap.papers.mapa.settings import Posteriors as Settings
from elbogap.runtime import Run


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Posteriors of one problem (key `problem`, input `surrogate`) under its first data set.

    Returns:
        `posteriors`: `z` `[N]`, `grid` `[G]` and the log-posteriors of
        :func:`elbogap.papers.mapa.log_posteriors.curves`; `points`: one row per chosen observation.
    """
    truth = GroundTruth.load(run.keys["problem"], run.inputs["surrogate"])
    z, x = truth.data_set(settings.points, settings.seed, draw=0)
    index = of_ranks(z, settings.quantiles)
    nodes = torch.linspace(z.min(), z.max(), settings.grid, dtype=torch.float64)[:, None]
    drawn = {name: value.numpy() for name, value in curves(truth, z, x, index, nodes).items()}
    points = pd.DataFrame(
        {
            **truth.key(),
            "quantile": settings.quantiles,
            "index": index.numpy(),
            "z": z[index, 0].numpy(),
            "x1": x[index, 0].numpy(),
            "x2": x[index, 1].numpy(),
            "log_evidence": drawn.pop("log_evidence"),
            "kl": drawn.pop("kl"),
        }
    )
    return {"posteriors": {"z": z[:, 0].numpy(), "grid": nodes[:, 0].numpy(), **drawn}, "points": points}
