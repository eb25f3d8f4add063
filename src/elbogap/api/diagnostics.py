"""What tells whether draws and weights are good, by ArviZ, which is imported when it is first needed."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


def arviz() -> Any:
    """The package, whose import takes seconds and may announce its next version."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import arviz
    return arviz


@dataclass(frozen=True)
class Diagnostics:
    """What tells whether a fit is good; the last four are those of draws of q, 4,000 if not asked otherwise.

    Attributes:
        elbo_trace: the objective of each step, `[steps]` in nats: the ELBO, or what has its place.
        converged: whether it was flat at the end.
        reason: in words how the fit ended.
        undefined: the steps that were left out, as the gradient was not finite.
        acceptance: the mean acceptance probability of the method's chains; None if it has none.
        k_hat: the shape of the tail of the importance weights w = p / q (Vehtari et al. 2024): above 0.7, q
            misses a part of the posterior, and weighting cannot help.
        log_weight_sd: the standard deviation of log w in nats, 0 if q is the posterior.
        relative_ess: (sum w)^2 / (S sum w^2), the effective share of the draws, 1 if q is the posterior.
    """

    elbo_trace: Tensor
    converged: bool
    reason: str
    undefined: int
    acceptance: float | None
    k_hat: float
    log_weight_sd: float
    relative_ess: float


def relative_ess(log_weights: Tensor) -> float:
    """(sum w)^2 / (S sum w^2) of log w `[S]`."""
    log_weights = log_weights.nan_to_num(-torch.inf, -torch.inf, -torch.inf)
    twice = 2 * log_weights.logsumexp(0) - (2 * log_weights).logsumexp(0)
    return float(twice.exp()) / len(log_weights)


def pareto_k(log_weights: Tensor) -> float:
    """The k-hat of Pareto smoothed importance sampling, of log w `[S]`; infinite if one is not finite."""
    if not log_weights.isfinite().all():
        return float("inf")
    return float(arviz().psislw(log_weights.cpu().numpy())[1])


def chain_diagnostics(draws: Tensor) -> dict[str, np.ndarray]:
    """Rank-normalised split R-hat, bulk and tail effective sample sizes of draws `[C, S, F]`: `[F]` each.

    (Vehtari et al. 2021.)
    """
    package = arviz()
    data = package.convert_to_dataset({"x": draws.cpu().numpy()})
    return {
        "r_hat": package.rhat(data)["x"].to_numpy(),
        "ess_bulk": package.ess(data, method="bulk")["x"].to_numpy(),
        "ess_tail": package.ess(data, method="tail")["x"].to_numpy(),
    }
