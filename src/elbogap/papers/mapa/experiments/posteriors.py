"""Three log-posteriors of chosen observations: true, empiricalised, MAPA (mapa, Figures 6 to 10).

The document does not say which observations it shows; here they are those whose latent values have stated
ranks in the data set. N p(i|x, Z) estimates p(x|z_i) / p(x) = p(z_i|x) / p(z_i), a density relative to the
prior, so that it equals the density p(z|x) only after multiplication with the prior; both are returned.
"""

import math

import numpy as np
import pandas as pd
import torch

from elbogap.densities import categorical_kl, standard_gaussian_log_density
from elbogap.evaluation import quadrature
from elbogap.inference.empirical import index_log_posterior
from elbogap.papers.mapa.model import GroundTruth
from elbogap.papers.mapa.settings import Posteriors as Settings
from elbogap.runtime import Run


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Posteriors of one problem (key `problem`, input `surrogate`) under its first data set.

    Returns:
        `posteriors`: `z` `[N]`; `empiricalised`, log N p(i|x_n, Z) (eq. 7), and `mapa`, log N q(i|n) (eq. 8),
        both `[n, N]`; `grid` `[G]` with the log-density `true` `[n, G]` (eq. 41) and `prior` `[G]`, in nats.
        `points`: one row per chosen observation: its rank as `quantile`, index, latent value and coordinates,
        `log_evidence` = log p(x) and `kl` = KL(p(i|x, Z) || q(i|n)), both in nats.
    """
    truth = GroundTruth.load(run.keys["problem"], run.inputs["surrogate"])
    z, x = truth.data_set(settings.points, settings.seed, draw=0)
    ranks = [min(int(quantile * len(z)), len(z) - 1) for quantile in settings.quantiles]
    index = z[:, 0].argsort()[ranks]
    chosen = x[index]

    decoder, log_likelihood = truth.decode, truth.log_likelihood
    panels = quadrature.adapted_panels(decoder, log_likelihood, chosen)
    log_evidence = quadrature.log_evidence(decoder, log_likelihood, chosen, panels)
    grid = torch.linspace(float(z.min()), float(z.max()), settings.grid, dtype=torch.float64)[:, None]
    log_p = index_log_posterior(log_likelihood(chosen, decoder(z)))
    log_q = index_log_posterior(log_likelihood(chosen, x))
    points = pd.DataFrame(
        {
            "document": "mapa",
            "problem": truth.name,
            "quantile": settings.quantiles,
            "index": index.numpy(),
            "z": z[index, 0].numpy(),
            "x1": chosen[:, 0].numpy(),
            "x2": chosen[:, 1].numpy(),
            "log_evidence": log_evidence.numpy(),
            "kl": categorical_kl(log_p, log_q).numpy(),
        }
    )
    arrays = {
        "z": z[:, 0],
        "empiricalised": log_p + math.log(len(z)),
        "mapa": log_q + math.log(len(z)),
        "grid": grid[:, 0],
        "true": quadrature.log_posterior(grid, decoder, log_likelihood, chosen, log_evidence),
        "prior": standard_gaussian_log_density(grid),
    }
    return {"posteriors": {name: value.numpy() for name, value in arrays.items()}, "points": points}
