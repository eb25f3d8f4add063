"""Network evaluations per gradient step and point, MAPA against IWAE, by simulation (mapa, Figures 4 and 5).

A step on a batch evaluates the networks of MAPA once on each distinct index that any observation of the batch
asks for; IWAE evaluates its decoder S times per observation and its encoder once.
"""

from collections.abc import Sequence
from itertools import product
from typing import get_args

import numpy as np
import pandas as pd
import torch
from torch import Tensor
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
        `passes`: `cost` says which networks count; `passes_per_point` is the number of evaluations per
        gradient step over the batch size, the mean over batches, and `passes_sd` the standard deviation; for
        MAPA `passes_max` is its bound, every network on all N points, and `passes_iwae` what IWAE needs.
    """
    sets = list(product(run.inputs.items(), range(settings.draws)))
    budgets = list(product(get_args(Reading), settings.shares, settings.samples))
    terms = [split(samples, fraction, reading) for reading, fraction, samples in budgets]
    tables = []
    for (name, path), draw in tqdm(sets, desc="passes", mininterval=5):
        truth = GroundTruth.load(name, path)
        _, x = truth.data_set(settings.points, settings.seed, draw)
        generator = torch_generator(settings.seed, "mapa passes", name, draw)
        passes = simulated(truth, x, terms, (settings.batches, settings.batch), generator)
        iwae = pd.DataFrame({"method": "iwae", "S": settings.samples, "passes_sd": 0.0})
        mapa = pd.DataFrame(budgets, columns=["reading", "k_share", "S"]).assign(
            method="mapa",
            passes_per_point=passes.mean(1),
            passes_sd=passes.std(1),
            passes_max=settings.points / settings.batch,
        )
        tables.append(pd.concat([iwae, mapa]).assign(**truth.key(), draw=draw))
    costs = pd.DataFrame(NETWORKS.items(), columns=["cost", "networks"])
    table = pd.concat(tables).merge(costs, how="cross")
    table["passes_iwae"] = table["S"] + table["networks"] - 1.0  # S times the decoder, once the encoder
    for column in ("passes_per_point", "passes_sd", "passes_max"):
        table[column] *= table["networks"]
    of_iwae = table["method"] == "iwae"
    table["passes_per_point"] = table["passes_per_point"].mask(of_iwae, table["passes_iwae"])
    table["passes_iwae"] = table["passes_iwae"].mask(of_iwae)
    columns = ["document", "problem", "draw", "method", "S", "cost", "passes_per_point", "passes_sd"]
    return {"passes": table[[*columns, "reading", "k_share", "passes_max", "passes_iwae"]]}


def simulated(
    truth: GroundTruth,
    x: Tensor,
    terms: Sequence[tuple[int, int]],
    shape: tuple[int, int],
    generator: torch.Generator,
) -> np.ndarray:
    """Distinct points that batches of x `[N, 2]` ask for, over their size, `[len(terms), batches]`.

    Terms are pairs, the numbers of certain and of drawn ones; the shape is that of the batches' indices.
    """
    counts, (batches, batch) = [], shape
    for _ in range(batches):
        rows = torch.randperm(len(x), generator=generator)[:batch]
        log_q = index_log_posterior(truth.log_likelihood(x[rows], x))
        for k, samples in terms:
            chosen = Proposal.prepare(log_q, k, generator).choose(samples, generator)
            counts.append(len(chosen.indices.unique()) / batch)
    return np.ascontiguousarray(np.reshape(counts, (batches, -1)).T)
