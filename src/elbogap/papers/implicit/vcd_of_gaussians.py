"""The alpha-VCD on Gaussian targets: its optimum in closed form, and on the line by quadrature and by chains.

The leapfrog integrator of p = N(0, 1) is linear, (z', v') = A (z, v), so that one iteration has the density

    K(z'|z) = N(v; 0, 1) / |A_zv| min(1, exp(H(z, v) - H(z', v')))    with v = (z' - A_zz z) / A_zv

beside the probability of staying: q_t follows from q_0 on a grid, and with it all divergences. They are
compared with chains of :mod:`elbogap.inference.hmc` and the estimators of
:class:`elbogap.inference.objectives.contrastive.VCD`.
"""

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from elbogap.densities import LOG_2PI
from elbogap.errors import UserError
from elbogap.inference import hmc
from elbogap.inference.families.gaussian import DiagonalGaussian
from elbogap.inference.noise import draw
from elbogap.inference.objectives.contrastive import VCD
from elbogap.papers.implicit.settings import VcdProperties
from elbogap.runtime import torch_generator

LOG_EVIDENCE = -1.5  # log p(x): what is known of the target is not normalised
REACH = 8.0  # standard deviations: 1e-15 of a Gaussian is left out
RESOLUTION = 1e-6  # of the quadrature, in nats
COARSEST = 0.5  # nodes per standard deviation of the narrowest Gaussian are at least 1 / COARSEST


def leapfrog(step_size: float, steps: int, variance: float = 1.0) -> np.ndarray:
    """The matrix A of (z', v') = A (z, v) on N(0, variance), `[2, 2]`."""
    half = np.array([[1.0, 0.0], [-0.5 * step_size / variance, 1.0]])
    drift = np.array([[1.0, step_size], [0.0, 1.0]])
    return np.linalg.matrix_power(half @ drift @ half, steps)


def replaced_fraction(
    step_size: float, steps: int, variances: Sequence[float], iterations: float
) -> np.ndarray:
    """c = 1 - A_zz^(2 t) of each axis of the target: the fraction of z_0's variance that is replaced.

    Rejections are ignored. With c, E_{q_t} z^2 = (1 - c) E_{q_0} z^2 + c variance.
    """
    kept = np.array([leapfrog(step_size, steps, variance)[0, 0] for variance in variances])
    return 1 - kept ** (2 * iterations)


def best_scale(
    alpha: np.ndarray | float, variances: Sequence[float], replaced: np.ndarray | float = 1.0
) -> np.ndarray:
    """The sigma of q_0 = N(0, sigma^2 I) that minimises the alpha-VCD from N(0, diag(l)).

    f = log p - log q_0 is quadratic: with c of :func:`replaced_fraction` and s = sigma^2, the alpha-VCD,
    (1 - a) KL(q_0 || p) + a (E_{q_t} f - E_{q_0} f), its last term sum_i c_i (l_i - s)^2 / (2 l_i s), has
    the derivative 0 where s^2 sum_i (1 - a + a c_i) / l_i - 2 (1 - a) s - a sum_i c_i l_i = 0. a = 0 is the
    KL; c = 1 is t to infinity, KL(q_0 || p) + a KL(p || q_0).
    """
    a, variance = np.asarray(alpha)[..., None], np.array(variances)
    c = np.broadcast_to(replaced, len(variances))
    quadratic = ((1 - a + a * c) / variance).sum(-1)
    linear, constant = 2 * (1 - a[..., 0]), (a * c * variance).sum(-1)
    return np.sqrt((linear + np.sqrt(linear**2 + 4 * quadratic * constant)) / (2 * quadratic))


def properties(settings: VcdProperties, leapfrog_steps: int) -> dict[str, pd.DataFrame]:
    """The divergence of each q_0, a `mean` and a `width`, in nats.

    Returns `properties`: a row per q_0, `t` and `alpha` (caption `tab_vcd_properties`); `limits`: per q_0 and
    number of iterations `t` of `limit_ts` (caption `tab_vcd_limits`). UserError if the grid is too coarse for
    the narrowest q_0.
    """
    reach = max(abs(mean) + REACH * width for mean, width in product(settings.means, (1.0, *settings.widths)))
    z = torch.linspace(-reach, reach, settings.nodes, dtype=torch.float64)
    spacing = float(z[1] - z[0])
    if spacing > COARSEST * min(1.0, *settings.widths):
        raise UserError(f"vcd_toys: {settings.nodes} nodes are too few for the narrowest q_0; raise `nodes`")
    kernel, log_p = transition(z, settings.step_size, leapfrog_steps), _log_normal(z, 0.0, 1.0)

    def kl(density: Tensor, log_density: Tensor, log_other: Tensor) -> float:
        """Between densities on the grid, where the first has mass."""
        return float(torch.where(density > 0, density * (log_density - log_other), 0).sum() * spacing)

    rows, limits = [], []
    for mean, width in product(settings.means, settings.widths):
        log_start = _log_normal(z, mean, width)
        estimates = _estimated(settings, mean, width, leapfrog_steps)
        density = log_start.exp()
        kl_start, kl_back = kl(density, log_start, log_p), kl(log_p.exp(), log_p, log_start)
        for t in range(1, max(*settings.ts, *settings.limit_ts) + 1):
            density = kernel @ density
            ends = [kl(density, density.log(), log_other) for log_other in (log_p, log_start)]
            for alpha in settings.alphas if t in settings.ts else ():
                divergence = kl_start + alpha * (ends[1] - ends[0])
                rows.append((mean, width, t, alpha, kl_start, *ends, divergence, *estimates[t, alpha]))
            if t in settings.limit_ts:
                divergence, symmetrised = kl_start + ends[1] - ends[0], kl_start + kl_back
                limits.append((mean, width, t, ends[0], divergence, symmetrised, divergence - symmetrised))
    names = ["mean", "width", "t", "alpha", "kl_start", "kl_end", "kl_end_start", "divergence", "estimate"]
    table = pd.DataFrame(rows, columns=[*names, "standard_error"])
    at_target = (table["mean"] == 0) & (table["width"] == 1)
    table.insert(0, "q0", np.where(at_target, "target", "other"))
    errors = table["standard_error"].clip(lower=RESOLUTION)
    table["z"] = (table["estimate"] - table["divergence"]) / errors
    names = ["mean", "width", "t", "kl_end", "divergence", "symmetrised", "excess"]
    return {"properties": table, "limits": pd.DataFrame(limits, columns=names)}


def transition(z: Tensor, step_size: float, leapfrog_steps: int) -> Tensor:
    """One iteration on the grid, applied to a density's values `[G]` from the left, `[G, G]`."""
    (a, b), (c, d) = leapfrog(step_size, leapfrog_steps).tolist()
    v = (z[:, None] - a * z) / b  # what leads from column to row
    change = 0.5 * (z.square() + v.square() - z[:, None].square() - (c * z + d * v).square())
    moving = torch.exp(-0.5 * (v.square() + LOG_2PI) + change.clamp(max=0)) / abs(b) * (z[1] - z[0])
    return moving + torch.diag(1 - moving.sum(0))


def _estimated(
    settings: VcdProperties, mean: float, width: float, leapfrog_steps: int
) -> dict[tuple[int, float], tuple[float, float]]:
    """The divergence and its standard error for each t and alpha, from chains of all t at once."""
    generator = torch_generator(settings.seed, "implicit.vcd_properties", mean, width)
    centre = torch.tensor([mean], dtype=torch.float64)
    q = DiagonalGaussian(centre, 2 * torch.full_like(centre, width).log())
    kernel = hmc.Kernel(max(settings.ts), leapfrog_steps)
    specs = VCD(kernel, settings.step_size).noise(settings.chains, dimensions=1)
    noise = draw(specs, generator, dtype=torch.float64)
    start = q.rsample(noise)

    def log_joint(z: Tensor) -> Tensor:
        return LOG_EVIDENCE + _log_normal(z, 0.0, 1.0).squeeze(-1)

    chains = kernel.run(log_joint, start, noise, settings.step_size)
    found = {}
    for t, alpha in product(settings.ts, settings.alphas):
        objective = VCD(kernel, settings.step_size, alpha)
        values = -objective.watched(objective.contrast(log_joint, q, start, chains.draws[t - 1]))
        error = float(values.std() / math.sqrt(len(values)))
        found[t, alpha] = float(values.mean()) + (1 - alpha) * LOG_EVIDENCE, error
    return found


def _log_normal(z: Tensor, mean: float, scale: float) -> Tensor:
    return -0.5 * (((z - mean) / scale).square() + LOG_2PI) - math.log(scale)
