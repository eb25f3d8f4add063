"""Measures every surrogate decoder afresh, by quadrature instead of quantiles (mapa, appendix C.1)."""

import numpy as np
import pandas as pd

from elbogap.data.synthetic import PROBLEMS
from elbogap.evaluation.quadrature import Panels
from elbogap.papers.mapa.model import GroundTruth
from elbogap.papers.mapa.settings import SurrogateCheck as Settings
from elbogap.runtime import Run


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """One row per problem; the inputs are the surrogates by problem.

    Returns:
        `surrogates`: the mean squared error `mse` over z ~ N(0, 1) and coordinates, in x^2; `max_error`, the
        largest |f - f_theta| within four standard deviations, in x; `joint_kl` =
        E |f - f_theta|^2 / (2 sigma^2), in nats, the divergence between the joint distributions of (z, x).
    """
    z, log_weights = Panels.uniform(10, settings.panels, 10).nodes()
    weights, central = log_weights.exp().numpy(), np.abs(z[:, 0].numpy()) < 4
    rows = []
    for name, path in run.inputs.items():
        truth, target = GroundTruth.load(name, path), PROBLEMS[name]
        error = truth.decode(z).numpy() - target.decoder(z[:, 0].numpy())
        squared = (error**2).sum(1)
        rows.append(
            {
                **truth.key(),
                "noise_variance": target.noise_variance,
                "activation": truth.decoder.activation,
                "parameters": sum(parameter.numel() for parameter in truth.decoder.parameters()),
                "mse": 0.5 * float(weights @ squared),
                "max_error": float(np.sqrt(squared[central].max())),
                "joint_kl": float(weights @ squared) / (2 * target.noise_variance),
            }
        )
    return {"surrogates": pd.DataFrame(rows)}
