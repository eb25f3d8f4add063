"""The rows of the atlas: every method on one problem, seed by seed."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from elbogap.api.ascent import Steps
from elbogap.errors import UserError, shortened
from elbogap.papers.atlas.methods import Method, fitted
from elbogap.papers.atlas.metrics import score
from elbogap.papers.atlas.problems.base import Problem
from elbogap.runtime import derive_seed

GAUSSIAN = {"mean_field": False, "full_rank": True}
"""The methods whose family is the Gaussians, and whether these are correlated."""
MIXED = ("sivi", "uivi")
"""The methods whose estimate of q is a distribution itself, a mixture of many Gaussians."""

Draws = dict[str, np.ndarray]


def rows(
    name: str, problem: Problem, methods: Mapping[str, Method], *,
    seeds: int, steps: Steps, num_samples: int, ks: Sequence[int], seed: int, draws: Draws | None = None,
    shown: int = 0,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """A row per method and seed; the first seed's draws go into `draws`, in up to two coordinates.

    A method that ends with a UserError has a row of NaN with its message in `failure`.
    """
    key = {"document": "atlas", "problem": name, "kind": problem.kind, "dim": problem.dim}
    key |= {"data": problem.data or "none"}
    for label, method in methods.items():
        for number in range(seeds):
            own = derive_seed(seed, "atlas", name, label, number) % 2**31
            row = key | {"method": label, "seed": number}
            try:
                fit = fitted(method, problem, seed=own, steps=steps)
                integrated = getattr(fit.result, "log_prob_is_exact", True) or label in MIXED
                measured = score(
                    problem, fit.result, num_samples=num_samples, ks=ks, seed=own, integrated=integrated
                )
            except UserError as error:
                yield row | {"converged": False, "failure": shortened(error, 200)}
                continue
            if draws is not None and number == 0:
                draws[label] = fit.result.sample(shown, own)[:, :2].double().cpu().numpy()
            best = problem.best_gaussian(GAUSSIAN[label]) if label in GAUSSIAN else None
            log_z = math.nan if problem.log_evidence is None else problem.log_evidence
            yield (
                row
                | measured
                | {
                    "best_gap": math.nan if best is None else log_z - best,
                    "evaluations": fit.evaluations,
                    "cpu_s": fit.cpu_s,
                    "converged": not hasattr(fit.result, "diagnostics") or fit.result.diagnostics.converged,
                    "failure": "",
                }
            )


def known(name: str, problem: Problem) -> pd.DataFrame:
    """What is known of a problem, one row."""
    columns: dict[str, Any] = {
        "document": "atlas",
        "problem": name,
        "data": problem.data or "none",
        "title": problem.title,
        "kind": problem.kind,
        "dim": problem.dim,
        "log_evidence": problem.log_evidence,
        "log_evidence_se": problem.log_evidence_error,
        "known": problem.known,
    }
    return pd.DataFrame([columns])
