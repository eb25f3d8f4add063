"""A Gaussian fitted by the ELBO (SVI) and by the IWAE bound (IW-SVI), resampled (workshop draft, figure).

Deviation: the draft fits by stochastic gradients; here both bounds are integrated exactly and maximised by
L-BFGS from several starts.
"""

import math

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, Normal

from elbogap.errors import UserError
from elbogap.inference import exact_importance, lbfgs
from elbogap.inference.importance import resample
from elbogap.papers.qiw.settings import Posterior1D as Settings
from elbogap.runtime import Run, torch_generator

WEIGHTS, MEANS, VARIANCES = torch.tensor(
    [[0.3, 0.3, 0.4], [-2.0, 0.0, 4.0], [0.5, 1.0, 0.5]], dtype=torch.float64
)
TARGET = MixtureSameFamily(Categorical(WEIGHTS), Normal(MEANS, VARIANCES.sqrt()))  # p(z | x)
SMALLEST, LARGEST = 0.2, 5.0  # standard deviations of q that are searched; the quadrature resolves them


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Fit q and resample it: make `fits`, `density` (exact curves) and `histogram` (of resampled draws).

    Keys: `training` (svi, iw-svi), `k`. The target is normalised, so log p(x) = 0. Bounds and divergences are
    in nats, `q_mean` and `q_deviation` in units of z, densities per unit.
    """
    z = torch.linspace(-settings.half_width, settings.half_width, settings.points, dtype=torch.float64)
    shown, svi = z.abs() <= settings.figure_half_width, _fit(z, 1, settings)
    fits, densities, histograms = [], [], []
    for k in settings.ks:
        for training, (mean, scale) in (("svi", svi), ("iw-svi", _fit(z, k, settings))):
            key = {"document": "qiw", "training": training, "k": k}
            fit, curves = _exact(z, mean, scale, k)
            fits.append(key | {"q_mean": mean, "q_deviation": scale} | fit)
            densities.append(pd.DataFrame(key | {name: curve[shown] for name, curve in curves.items()}))
            histograms.append(pd.DataFrame(key | _histogram(mean, scale, k, training, settings)))
    density, histogram = pd.concat(densities), pd.concat(histograms)
    return {"fits": pd.DataFrame(fits), "density": density, "histogram": histogram}


def _fit(z: Tensor, k: int, settings: Settings) -> tuple[float, float]:
    """Mean and standard deviation of the Gaussian that maximises the bound of k draws."""

    def loss(parameters: Tensor) -> Tensor:
        log_q = Normal(parameters[0], parameters[1].exp()).log_prob(z)
        inside = log_q > -600  # a narrow q that the search passes has no mass beyond, but infinite weights
        transform = exact_importance.weight_transform(
            log_q[inside].exp(), (TARGET.log_prob(z) - log_q)[inside]
        )
        return -exact_importance.iwae(transform, k)

    ends, reach = [], settings.half_width / 2
    bounds = [(-reach, reach), (math.log(SMALLEST), math.log(LARGEST))]
    for start in settings.starts:
        end, found = lbfgs.minimise(loss, torch.tensor([start, 0.0], dtype=torch.float64), bounds=bounds)
        if not found.success:
            raise UserError(f"posterior_1d: the fit from {start} failed ({found.message}); change `starts`")
        ends.append((found.fun, *end.tolist()))
    _, mean, log_scale = min(ends)
    return mean, math.exp(log_scale)


def _exact(z: Tensor, mean: float, scale: float, k: int) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Bounds and divergences of q, and curves along z."""
    step = float(z[1] - z[0])
    log_q, log_p = Normal(mean, scale).log_prob(z), TARGET.log_prob(z)
    transform = exact_importance.weight_transform(log_q.exp(), log_p - log_q)
    log_q_iw = exact_importance.log_marginal(transform, log_q, log_p - log_q, k)
    fit = {
        "l_vae": float(exact_importance.iwae(transform, 1)),
        "l_iwae": float(exact_importance.iwae(transform, k)),
        "kl_q_to_p": float((log_q.exp() * (log_q - log_p)).sum() * step),
        "kl_q_iw_to_p": float((log_q_iw.exp() * (log_q_iw - log_p)).sum() * step),
    }
    curves = {"z": z, "target": log_p.exp(), "q": log_q.exp(), "q_iw": log_q_iw.exp()}
    return fit, {name: curve.numpy() for name, curve in curves.items()}


def _histogram(mean: float, scale: float, k: int, training: str, settings: Settings) -> dict[str, object]:
    """Density of resampled draws per bin; draws outside the figure count in the total."""
    generator = torch_generator(settings.seed, "qiw.posterior_1d", training, k)
    z = mean + scale * torch.randn(k, settings.samples, dtype=torch.float64, generator=generator)
    log_w = TARGET.log_prob(z) - Normal(mean, scale).log_prob(z)
    kept = resample(z.unsqueeze(-1), log_w, generator).squeeze(-1).numpy()
    half_width = settings.figure_half_width
    counts, edges = np.histogram(kept, settings.bins, (-half_width, half_width))
    density = counts / (settings.samples * np.diff(edges))
    return {"left": edges[:-1], "right": edges[1:], "samples": settings.samples, "density": density}
