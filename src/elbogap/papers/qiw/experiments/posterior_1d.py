"""A Gaussian fitted by the ELBO (SVI) and by the IWAE bound (IW-SVI), resampled (workshop draft, figure).

Deviation: the draft fits by stochastic gradients; here both bounds are integrated exactly and maximised by
L-BFGS from several starts. That q_IW may be fitted by any divergence, which the document only says, is
measured for four of them.
"""

import math
from collections.abc import Callable

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
Divergence = Callable[[Tensor, Tensor], Tensor]
DIVERGENCES: dict[str, Divergence] = {
    "KL(q || p)": lambda log_q, log_p: log_q.exp() * (log_q - log_p),
    "KL(p || q)": lambda log_q, log_p: log_p.exp() * (log_p - log_q),
    "squared Hellinger": lambda log_q, log_p: ((log_q / 2).exp() - (log_p / 2).exp()).square() / 2,
    "total variation": lambda log_q, log_p: (log_q.exp() - log_p.exp()).abs() / 2,
}
"""What is integrated over z; the last two are no nats, but at most 1."""
LOWEST = -600.0  # log q; a narrow q that the search passes has no mass below, but infinite weights
SMALLEST, LARGEST = 0.2, 5.0  # standard deviations of q that are searched; the quadrature resolves them


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Fit q and resample it: `fits`, `density` (exact), `histogram` (of resampled draws), `divergences`.

    Keys: `training` (svi, iw-svi), `k`. The target is normalised, so log p(x) = 0. Bounds and divergences are
    in nats, `q_mean` and `q_deviation` in units of z, densities per unit. `divergences` has the least value
    of each of :data:`DIVERGENCES` over Gaussians q, of q_IW (k > 1) or of q itself (k = 1).
    """
    z = torch.linspace(-settings.half_width, settings.half_width, settings.points, dtype=torch.float64)
    shown, svi = z.abs() <= settings.figure_half_width, _fit(z, _bound(z, 1), settings)[:2]
    fits, densities, histograms = [], [], []
    for k in settings.ks:
        for training, (mean, scale) in (("svi", svi), ("iw-svi", _fit(z, _bound(z, k), settings)[:2])):
            key = {"document": "qiw", "training": training, "k": k}
            fit, curves = _exact(z, mean, scale, k)
            fits.append(key | {"q_mean": mean, "q_deviation": scale} | fit)
            densities.append(pd.DataFrame(key | {name: curve[shown] for name, curve in curves.items()}))
            histograms.append(pd.DataFrame(key | _histogram(mean, scale, k, training, settings)))
    density, histogram = pd.concat(densities), pd.concat(histograms)
    divergences = pd.DataFrame(
        {
            "document": "qiw",
            "divergence": name,
            "k": k,
            **dict(
                zip(("q_mean", "q_deviation", "value"), _fit(z, _divergence(z, k, of), settings), strict=True)
            ),
        }
        for name, of in DIVERGENCES.items()
        for k in sorted({1, *settings.ks})
    )
    return {
        "fits": pd.DataFrame(fits),
        "density": density,
        "histogram": histogram,
        "divergences": divergences,
    }


Loss = Callable[[Tensor], Tensor]
"""Of log q(z) `[N]` on the grid, a scalar to be minimised."""


def _bound(z: Tensor, k: int) -> Loss:
    """Less the bound of k draws."""

    def loss(log_q: Tensor) -> Tensor:
        inside = log_q > LOWEST
        transform = exact_importance.weight_transform(
            log_q[inside].exp(), (TARGET.log_prob(z) - log_q)[inside]
        )
        return -exact_importance.iwae(transform, k)

    return loss


def _divergence(z: Tensor, k: int, divergence: Divergence) -> Loss:
    """Of q_IW of k draws from the target."""

    def loss(log_q: Tensor) -> Tensor:
        log_p, inside = TARGET.log_prob(z), log_q > LOWEST
        log_weights = (log_p - log_q)[inside]
        transform = exact_importance.weight_transform(log_q[inside].exp(), log_weights)
        log_q_iw = log_q.masked_scatter(
            inside, exact_importance.log_marginal(transform, log_q[inside], log_weights, k)
        )
        return divergence(log_q_iw, log_p).sum() * (z[1] - z[0])

    return loss


def _fit(z: Tensor, loss_of: Loss, settings: Settings) -> tuple[float, float, float]:
    """Mean and standard deviation of the Gaussian that minimises a loss, and its least value."""

    def loss(parameters: Tensor) -> Tensor:
        return loss_of(Normal(parameters[0], parameters[1].exp()).log_prob(z))

    ends, reach = [], settings.half_width / 2
    bounds = [(-reach, reach), (math.log(SMALLEST), math.log(LARGEST))]
    for start in settings.starts:
        end, found = lbfgs.minimise(loss, torch.tensor([start, 0.0], dtype=torch.float64), bounds=bounds)
        if not found.success:
            raise UserError(f"posterior_1d: the fit from {start} failed ({found.message}); change `starts`")
        ends.append((found.fun, *end.tolist()))
    least, mean, log_scale = min(ends)
    return mean, math.exp(log_scale), least


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
