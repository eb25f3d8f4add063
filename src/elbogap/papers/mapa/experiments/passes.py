"""Network evaluations per gradient step and point, MAPA against IWAE, by simulation (mapa, Figures 4 and 5).

A step on a batch evaluates the networks of MAPA once on each distinct index that any observation of the batch
asks for; IWAE evaluates its decoder S times per observation and its encoder once. The grid of S is not stated
(the text names 50, 100 and 200), and neither is whether k counts within S: both readings are simulated.
"""

from itertools import product
from typing import get_args

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from elbogap.inference.empirical import Reading, budget, choose_terms, index_log_posterior
from elbogap.papers.mapa.ground_truth import GroundTruth
from elbogap.papers.mapa.settings import Passes as Settings
from elbogap.runtime import Run, torch_generator

NETWORKS = {"decoder": 1, "encoder and decoder": 2}
"""How many networks count as expensive: in Figure 4, in Figure 5."""


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """One row per problem, cost, method, reading, share, S and data set; inputs are surrogates by problem.

    Returns:
        `passes`: `cost` says which networks count (:data:`NETWORKS`);
        `passes_per_point` is the number of evaluations per gradient step over the batch size, the mean over
        batches, and `passes_sd` the standard deviation over batches; for MAPA `passes_max` is its bound,
        every network on all N points, and `passes_iwae` what IWAE needs for the same S.
    """
    cells = list(product(run.inputs, range(settings.draws)))
    truths = {name: GroundTruth.load(name, path) for name, path in run.inputs.items()}
    rows = []
    for name, draw in tqdm(cells, desc="passes", mininterval=5):
        rows += _iwae_rows(settings, name, draw) + _mapa_rows(settings, truths[name], draw)
    return {"passes": pd.DataFrame(rows)}


def _mapa_rows(settings: Settings, truth: GroundTruth, draw: int) -> list[dict[str, object]]:
    _, x = truth.data_set(settings.points, settings.seed, draw)
    generator = torch_generator(settings.seed, "mapa passes", truth.name, draw)
    grid = list(product(get_args(Reading), settings.shares, settings.samples))
    counts: dict[tuple[str, float, int], list[float]] = {cell: [] for cell in grid}
    for _ in range(settings.batches):
        batch = torch.randperm(len(x), generator=generator)[: settings.batch]
        log_q = index_log_posterior(truth.log_likelihood(x[batch], x))
        for reading, share, total in grid:
            k, sampled = budget(total, share, reading)
            terms = choose_terms(log_q, k, sampled, generator)
            counts[reading, share, total].append(len(terms.unique(len(x))) / settings.batch)
    rows = []
    for (reading, share, total), unique in counts.items():
        key = {**_key(truth.name, draw), "method": "mapa", "reading": reading, "k_share": share, "S": total}
        for cost, networks in NETWORKS.items():
            rows.append(
                {
                    **key,
                    "cost": cost,
                    "passes_per_point": networks * float(np.mean(unique)),
                    "passes_sd": networks * float(np.std(unique)),
                    "passes_max": networks * settings.points / settings.batch,
                    "passes_iwae": _iwae_passes(total, cost),
                }
            )
    return rows


def _iwae_rows(settings: Settings, name: str, draw: int) -> list[dict[str, object]]:
    return [
        {
            **_key(name, draw),
            "method": "iwae",
            "S": total,
            "cost": cost,
            "passes_per_point": _iwae_passes(total, cost),
            "passes_sd": 0.0,
        }
        for total in settings.samples
        for cost in NETWORKS
    ]


def _iwae_passes(total: int, cost: str) -> float:
    """S decoder evaluations per observation and, where it counts, one of the encoder."""
    return float(total + NETWORKS[cost] - 1)


def _key(name: str, draw: int) -> dict[str, object]:
    return {"document": "mapa", "problem": name, "draw": draw}
