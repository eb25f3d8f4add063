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

from elbogap.inference.empirical import index_log_posterior
from elbogap.inference.families.proposal import Proposal
from elbogap.papers.mapa.methods import Reading, split
from elbogap.papers.mapa.model import GroundTruth
from elbogap.papers.mapa.settings import Passes as Settings
from elbogap.runtime import Run, torch_generator

NETWORKS = {"decoder": 1, "encoder and decoder": 2}
"""How many networks count as expensive: in Figure 4, in Figure 5."""


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """One row per problem, cost, method, reading, k / S, S and data set; inputs are surrogates by problem.

    Returns:
        `passes`: `cost` says which networks count (:data:`NETWORKS`);
        `passes_per_point` is the number of evaluations per gradient step over the batch size, the mean over
        batches, and `passes_sd` the standard deviation over batches; for MAPA `passes_max` is its bound,
        every network on all N points, and `passes_iwae` what IWAE needs for the same S.
    """
    sets = list(product(run.inputs, range(settings.draws)))
    truths = {name: GroundTruth.load(name, path) for name, path in run.inputs.items()}
    rows = []
    for name, draw in tqdm(sets, desc="passes", mininterval=5):
        rows += _iwae_rows(settings, name, draw) + _mapa_rows(settings, truths[name], draw)
    return {"passes": pd.DataFrame(rows)}


def _mapa_rows(settings: Settings, truth: GroundTruth, draw: int) -> list[dict[str, object]]:
    _, x = truth.data_set(settings.points, settings.seed, draw)
    generator = torch_generator(settings.seed, "mapa passes", truth.name, draw)
    grid = list(product(get_args(Reading), settings.shares, settings.samples))
    counts: dict[tuple[Reading, float, int], list[float]] = {budget: [] for budget in grid}
    for _ in range(settings.batches):
        batch = torch.randperm(len(x), generator=generator)[: settings.batch]
        log_q = index_log_posterior(truth.log_likelihood(x[batch], x))
        for reading, fraction, samples in grid:
            k, drawn = split(samples, fraction, reading)
            terms = Proposal.prepare(log_q, k, generator).choose(drawn, generator)
            counts[reading, fraction, samples].append(len(terms.indices.unique()) / settings.batch)
    return [
        {
            **_key(truth.name, draw),
            "method": "mapa",
            "reading": reading,
            "k_share": fraction,
            "S": samples,
            "cost": cost,
            "passes_per_point": networks * float(np.mean(passes)),
            "passes_sd": networks * float(np.std(passes)),
            "passes_max": networks * settings.points / settings.batch,
            "passes_iwae": _iwae_passes(samples, cost),
        }
        for (reading, fraction, samples), passes in counts.items()
        for cost, networks in NETWORKS.items()
    ]


def _iwae_rows(settings: Settings, name: str, draw: int) -> list[dict[str, object]]:
    return [
        {
            **_key(name, draw),
            "method": "iwae",
            "S": samples,
            "cost": cost,
            "passes_per_point": _iwae_passes(samples, cost),
            "passes_sd": 0.0,
        }
        for samples in settings.samples
        for cost in NETWORKS
    ]


def _iwae_passes(samples: int, cost: str) -> float:
    """S decoder evaluations per observation and, where it counts, one of the encoder."""
    return float(samples + NETWORKS[cost] - 1)


def _key(name: str, draw: int) -> dict[str, object]:
    return {"document": "mapa", "problem": name, "draw": draw}
