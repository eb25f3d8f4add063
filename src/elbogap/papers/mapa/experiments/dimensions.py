"""MAPA's kernel in many dimensions (ours; on the document's roadmap): a noisy circle in D of them."""

import math
from itertools import product

import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from elbogap.densities import categorical_kl, log_softmax
from elbogap.mapa.kernels import Gaussian, bootstrap_divergences, leave_one_out, log_kernels, with_own
from elbogap.papers.mapa.settings import Dimensions as Settings
from elbogap.runtime import Run, torch_generator


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """KL(p || q) in nats, averaged over the N observations of a data set, by dimension, data set and scale c.

    Returns:
        `dimensions`: `kl` of the document's kernel with c, `kl_own` where an observation is as near to itself
        as to its nearest neighbour, `kl_floor` with a uniform floor besides, and `kl_uniform` of 1 / N;
        `chosen` marks the c of least bootstrap divergence, `chosen_by_likelihood` that of the largest
        leave-one-out likelihood, and `best` that of the least `kl_own`, which needs the truth.
    """
    rows = []
    cells = product(settings.dimensions, range(settings.draws))
    for dimensions, draw in tqdm([*cells], desc="dimensions", mininterval=5):
        kernel, (means, x) = Gaussian(settings.variance), _circle(settings, dimensions, draw)
        log_p = log_softmax(kernel.log_likelihood(x, means), -1)
        uniform = torch.full_like(log_p, -math.log(len(x)))
        found = []
        for scale in settings.scales:
            tempered = kernel.tempered(scale)
            log_k = log_kernels(tempered, x)
            log_own = log_softmax(with_own(log_k), -1)
            itself = log_k.diagonal_scatter(tempered.log_kernel(x, x))
            log_floor = torch.logaddexp(
                log_own + math.log1p(-settings.floor), uniform + math.log(settings.floor)
            )
            log_q = {
                "kl": log_softmax(itself, -1),
                "kl_own": log_own,
                "kl_floor": log_floor,
                "kl_uniform": uniform,
            }
            found.append(
                {"dimensions": dimensions, "draw": draw, "points": len(x), "scale": scale}
                | {name: float(categorical_kl(log_p, log).mean()) for name, log in log_q.items()}
                | {"loo": leave_one_out(log_k)}
            )
        random = torch_generator(settings.seed, "mapa.dimensions", "bootstrap", dimensions, draw)
        table = pd.DataFrame(found)
        table["bootstrap"] = bootstrap_divergences(kernel, x, settings.scales, random)
        table["chosen"] = table["bootstrap"] == table["bootstrap"].min()
        table["chosen_by_likelihood"] = table["loo"] == table["loo"].max()
        table["best"] = table["kl_own"] == table["kl_own"].min()
        rows.append(table)
    return {"dimensions": pd.concat(rows, ignore_index=True)}


def _circle(settings: Settings, dimensions: int, draw: int) -> tuple[Tensor, Tensor]:
    """Points of the circle in a random plane, and observations of them with noise, `[N, D]` each."""
    random = torch_generator(settings.seed, "mapa.dimensions", dimensions, draw)
    angle = 2 * math.pi * torch.rand(settings.points, generator=random, dtype=torch.float64)
    plane = torch.linalg.qr(torch.randn(dimensions, 2, generator=random, dtype=torch.float64))[0]
    means = torch.stack([angle.cos(), angle.sin()], -1) @ plane.T
    noise = torch.randn(means.shape, generator=random, dtype=torch.float64)
    return means, means + settings.variance**0.5 * noise
