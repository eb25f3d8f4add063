"""Density and bounds of q_IW on the eight-Gaussian target (Cremer et al. 2017, figure 1; table 1 is ours).

The target and q = N(0, e I) are those of the authors' plotting code. Deviations: the marginal q_IW of the
figure is exact, where the code averages 100 batches; it takes k - 1 other draws, where the code takes k and
still divides by k. Table 1 measures the identity L_IWAE[q] = L_VAE[q_IW] for both readings of q_IW.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from elbogap.inference import exact_importance, noise
from elbogap.inference.families.gaussian import DiagonalGaussian
from elbogap.inference.importance import log_conditional
from elbogap.papers.qiw.settings import Posterior2D as Settings
from elbogap.runtime import Run, torch_generator

CENTRES = ((1, 3), (3, 0), (1, 1), (-3, -1), (-1, -3), (2, 2), (-2, -2), (0, 0))
LOG_VARIANCES = (0.01, 0.01, 0.01, 0.01, 0.01, 1, 1, 1)
LOG_EVIDENCE = math.log(len(CENTRES))  # eight components of unit mass
COMPONENTS = DiagonalGaussian(
    torch.tensor(CENTRES, dtype=torch.float64), torch.tensor(LOG_VARIANCES, dtype=torch.float64).unsqueeze(-1)
)
Q = DiagonalGaussian(*torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.float64))
BLOCK = 250  # batches times all grid points held at once
KEYS = ["document", "target", "k"]
RESOLUTION = 1e-6  # of the quadrature; for k = 1 nothing is sampled and the standard error is 0


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Make Figure 1's densities (`density`), Table 1 (`bounds`) and its Monte-Carlo repetitions (`batches`).

    In nats, by quadrature and by sampling: `l_vae_conditional` is the mean over batches of L_VAE of the
    batch-conditional q_IW, `*_mc` of the average over batches. The latter's bias, of order 1 / batches, is
    about its difference to `l_vae_marginal_half`, the same from half of them. `mass_mc` is q_IW's integral.
    """
    grid = Grid.of(settings.points, settings.half_width)
    transform = exact_importance.weight_transform(grid.log_q.exp() * grid.cell, grid.log_w)
    seeds, key = range(settings.batch_seeds), {"document": "qiw", "target": "eight Gaussians"}
    batches = pd.DataFrame(key | _monte_carlo(grid, k, seed, settings) for k in settings.ks for seed in seeds)
    exact = pd.DataFrame(key | {"k": k} | _exact(grid, transform, k) for k in settings.ks)
    side, half_width = settings.figure_points, settings.figure_half_width
    figure = Grid.of(side, half_width)
    log_q_iw = [exact_importance.log_marginal(transform, figure.log_q, figure.log_w, k) for k in settings.ks]
    density = {
        "axis": np.linspace(-half_width, half_width, side),
        "target": (figure.log_joint - LOG_EVIDENCE).exp().view(side, side).numpy(),
        "k": np.array(settings.ks),
        "q_iw": torch.stack(log_q_iw).exp().view(-1, side, side).numpy(),
    }
    return {"bounds": _bounds(exact, batches), "batches": batches, "density": density}


def log_joint(z: Tensor) -> Tensor:
    """log p(x, z), the unnormalised target, `[..., 2]` to `[...]`."""
    return COMPONENTS.log_prob(z.unsqueeze(-2)).logsumexp(-1)


@dataclass(frozen=True)
class Grid:
    """Densities on a square grid with N points in all; `cell` is the area of one."""

    cell: float
    log_q: Tensor
    log_joint: Tensor
    log_w: Tensor

    @classmethod
    def of(cls, points: int, half_width: float) -> "Grid":
        """`points` per axis on [-half_width, half_width]^2."""
        axis = torch.linspace(-half_width, half_width, points, dtype=torch.float64)
        z = torch.cartesian_prod(axis, axis)
        log_q, log_p = Q.log_prob(z), log_joint(z)
        return cls(float(axis[1] - axis[0]) ** 2, log_q, log_p, log_p - log_q)

    def l_vae(self, density: Tensor, log_density: Tensor) -> Tensor:
        """L_VAE of a distribution, `[..., N]` to `[...]`."""
        return (density * (self.log_joint - log_density)).sum(-1) * self.cell


def _exact(grid: Grid, transform: exact_importance.WeightTransform, k: int) -> dict[str, float]:
    log_density = exact_importance.log_marginal(transform, grid.log_q, grid.log_w, k)
    l_vae = float(grid.l_vae(log_density.exp(), log_density))
    l_iwae = float(exact_importance.iwae(transform, k))
    kl = LOG_EVIDENCE - l_vae
    return {"log_evidence": LOG_EVIDENCE, "l_iwae": l_iwae, "l_vae_marginal": l_vae, "kl_q_iw_to_p": kl}


def _monte_carlo(grid: Grid, k: int, batch_seed: int, settings: Settings) -> dict[str, object]:
    """Integrals of q_IW on the grid, with the k - 1 other draws of each batch sampled."""
    generator = torch_generator(settings.seed, "qiw.posterior_2d", k, batch_seed)
    others = Q.rsample(noise.draw(Q.noise(settings.batches, k - 1), generator, dtype=torch.float64))
    log_others = (log_joint(others) - Q.log_prob(others)).unsqueeze(-1)
    integrals, sums = [], torch.zeros(2, len(grid.log_q), dtype=torch.float64)
    for half, part in enumerate(log_others.chunk(2)):
        for block in part.split(BLOCK):
            log_density = log_conditional(grid.log_q, grid.log_w, block)
            density = log_density.exp()
            integrals.append(torch.stack([grid.l_vae(density, log_density), density.sum(-1) * grid.cell]))
            sums[half] += density.sum(0)
    l_vae, mass = torch.cat(integrals, 1)
    halves = sums / (settings.batches / 2)
    estimates = torch.stack([halves.mean(0), *halves])
    estimates = estimates / (estimates.sum(-1, keepdim=True) * grid.cell)  # whose bound is a distribution's
    marginal, first, second = grid.l_vae(estimates, estimates.log()).tolist()
    return {
        "k": k,
        "batch_seed": batch_seed,
        "batches": settings.batches,
        "l_vae_conditional": l_vae.mean().item(),
        "l_vae_conditional_variance": l_vae.var().item(),
        "l_vae_marginal_mc": marginal,
        "l_vae_marginal_half": (first + second) / 2,
        "mass_mc": mass.mean().item(),
        "mass_variance": mass.var().item(),
    }


def _bounds(exact: pd.DataFrame, batches: pd.DataFrame) -> pd.DataFrame:
    """Table 1."""
    exact, by_k = exact.set_index(KEYS), batches.groupby(KEYS)
    n, mean = by_k["batches"].sum(), by_k.mean(numeric_only=True)
    l_vae, l_vae_se = mean["l_vae_conditional"], (mean["l_vae_conditional_variance"] / n) ** 0.5
    mass, mass_se = mean["mass_mc"], (mean["mass_variance"] / n) ** 0.5
    table = exact.assign(
        l_vae_conditional=l_vae,
        l_vae_conditional_se=l_vae_se,
        identity_z=(l_vae - exact["l_iwae"]) / l_vae_se.clip(lower=RESOLUTION),
        l_vae_marginal_mc=mean["l_vae_marginal_mc"],
        l_vae_marginal_mc_se=by_k["l_vae_marginal_mc"].sem(),
        l_vae_marginal_half=mean["l_vae_marginal_half"],
        mass_mc=mass,
        mass_mc_se=mass_se,
        mass_z=(mass - 1) / mass_se.clip(lower=RESOLUTION),
        batches=n,
    )
    return table.reset_index()
