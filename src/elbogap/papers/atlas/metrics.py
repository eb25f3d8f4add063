"""How near an approximation comes to a problem's known answer.

A method's result has `sample(num_samples, seed)`, draws `[N, D]`. What else it has counts: `log_prob(z)`,
log q, exact unless `log_prob_is_exact` is false; then `log_weights` `[N]`, log p~ - log q at draws of its
own, whose mean is a lower bound on the ELBO; and `diagnostics`, with `converged`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from elbogap.api.diagnostics import pareto_k, relative_ess
from elbogap.evaluation.two_samples import sliced_wasserstein, squared_mmd
from elbogap.inference import exact_importance
from elbogap.papers.atlas.problems.base import Grid, Problem
from elbogap.runtime import torch_generator

PROJECTIONS = 50
MMD_DRAWS = 1000
MASS = 0.05  # by which q's integral may miss 1 where divergences are integrated; it is then divided by it
REACH = 60.0  # nats below its peak at which q counts as 0 on the grid
SPAN = 600.0  # nats below the largest weight at which all count alike


@dataclass(frozen=True)
class OnGrid:
    """log q and log p~ at the nodes of a grid where q has mass, `[N]`."""

    grid: Grid
    log_q: Tensor
    log_p: Tensor
    log_evidence: float

    @classmethod
    @torch.no_grad()
    def of(cls, problem: Problem, result: Any) -> "OnGrid | None":
        """None in more than two dimensions, without log q, or if the grid misses or does not resolve q."""
        if not problem.axes or problem.log_evidence is None or not hasattr(result, "log_prob"):
            return None
        grid = Grid.of(problem.axes)
        log_q = result.log_prob(grid.nodes).double()
        log_mass = grid.log_integral(log_q)
        if not abs(log_mass.exp() - 1) < MASS:
            return None
        return cls(grid, log_q - log_mass, problem.log_density(grid.nodes).double(), problem.log_evidence)

    def divergences(self) -> tuple[float, float]:
        """KL(q || p) and KL(p || q) in nats."""
        log_p = self.log_p - self.log_evidence
        values = []
        for first, second in ((self.log_q, log_p), (log_p, self.log_q)):
            terms = torch.where(first > first.max() - 700, first.exp() * (first - second), 0)
            values.append(float(terms.sum() * self.grid.cell))
        return values[0], values[1]

    def resampled(self, k: int) -> float:
        """KL(q_IW || p) of k draws of q, in nats."""
        near = self.log_q > self.log_q.max() - REACH
        log_q, log_w = self.log_q[near], (self.log_p - self.log_q)[near]
        log_w = log_w.clamp(min=float(log_w.max()) - SPAN)
        transform = exact_importance.weight_transform(log_q.exp() * self.grid.cell, log_w)
        log_iw = exact_importance.log_marginal(transform, log_q, log_w, k)
        terms = log_iw.exp() * (log_iw - self.log_p[near] + self.log_evidence)
        return float(terms.sum() * self.grid.cell)


def moments(problem: Problem, draws: Tensor) -> dict[str, float]:
    """Of parameters in posterior standard deviations: the largest error of a mean and of a deviation.

    And `log_sd_ratio`, the mean of log(sd of q / sd of p), below 0 where q is too narrow.
    """
    values = problem.parameters(draws)
    mean, sd = values.mean(0), values.std(0)
    return {
        "mean_bias": float(((mean - problem.mean) / problem.sd).abs().max()),
        "sd_bias": float((sd / problem.sd - 1).abs().max()),
        "log_sd_ratio": float((sd / problem.sd).log().mean()),
    }


def distances(problem: Problem, draws: Tensor, generator: torch.Generator) -> dict[str, float]:
    """Sliced Wasserstein distance and MMD to draws of p, in coordinates divided by their deviations there."""
    reference = problem.sample(len(draws), generator)
    mean, sd = reference.mean(0), reference.std(0)
    count = min(len(draws), len(reference))
    first, second = (((z - mean) / sd)[:count] for z in (draws, reference))
    directions = torch.randn(PROJECTIONS, problem.dim, generator=generator, dtype=torch.float64)
    directions = directions / directions.norm(dim=1, keepdim=True)
    squared = squared_mmd(first[:MMD_DRAWS], second[:MMD_DRAWS])
    return {
        "sliced_wasserstein": float(sliced_wasserstein(first, second, directions)),
        "mmd": math.sqrt(max(0.0, float(squared))),
    }


@torch.no_grad()
def weights(problem: Problem, result: Any, draws: Tensor) -> dict[str, float]:
    """`elbo` and its standard error, `gap` = log Z - ELBO, in nats; k-hat and the weights' effective share.

    NaN where there is no log q.
    """
    log_w: Tensor | None = None
    if hasattr(result, "log_weights") and not getattr(result, "log_prob_is_exact", True):
        log_w = result.log_weights
    elif hasattr(result, "log_prob"):
        log_w = problem.log_density(draws) - result.log_prob(draws)
    if log_w is None:
        return dict.fromkeys(("elbo", "elbo_se", "gap", "k_hat", "relative_ess"), math.nan)
    elbo = float(log_w.mean())
    return {
        "elbo": elbo,
        "elbo_se": float(log_w.std()) / math.sqrt(len(log_w)),
        "gap": math.nan if problem.log_evidence is None else problem.log_evidence - elbo,
        "k_hat": pareto_k(log_w),
        "relative_ess": relative_ess(log_w),
    }


def score(
    problem: Problem, result: Any, *, num_samples: int, ks: Sequence[int], seed: int, integrated: bool = True
) -> dict[str, float]:
    """All of one result; divergences if they may be `integrated`, and `kl_q_iw_<k>` if log q is exact."""
    draws = result.sample(num_samples, seed).double().cpu()
    random = torch_generator(seed, "atlas", "score")
    found = weights(problem, result, draws) | moments(problem, draws) | distances(problem, draws, random)
    on_grid = OnGrid.of(problem, result) if integrated else None
    kl_q_p, kl_p_q = on_grid.divergences() if on_grid else (math.nan, math.nan)
    exact = on_grid if getattr(result, "log_prob_is_exact", True) else None
    importance = {f"kl_q_iw_{k}": exact.resampled(k) if exact else math.nan for k in ks}
    return found | {"kl_q_p": kl_q_p, "kl_p_q": kl_p_q} | importance
