"""Draws of a posterior by Hamiltonian Monte Carlo that can be a reference, and says where it cannot."""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from elbogap.api.diagnostics import chain_diagnostics
from elbogap.api.result import FitWarning, table
from elbogap.api.space import Dim, Space, Support, Values
from elbogap.api.target import Target
from elbogap.api.whitening import Affine, whiten
from elbogap.errors import UserError
from elbogap.inference.dual_averaging import DualAveraging, iterate
from elbogap.inference.hmc import LogDensity

if TYPE_CHECKING:
    import pandas as pd

MOST_R_HAT = 1.01
LEAST_ESS = 100  # of each chain
STEP_SIZE = 0.5
SPREADS = (1.5, 1.0, 0.1)  # of the starts, in standard deviations of the Gaussian fit
PARTS = 3  # of the burn-in


@dataclass(frozen=True)
class Reference:
    """Draws of C chains, tensors `[C, S, *shape]` in the user's space, and whether they agree.

    `r_hat`, `ess_bulk` and `ess_tail` `[F]` are in the order of :meth:`summary` (Vehtari et al. 2021). The
    chains have `converged` if no R-hat is above 1.01 and no effective sample size below 100 C.
    """

    space: Space
    draws: Values
    r_hat: np.ndarray
    ess_bulk: np.ndarray
    ess_tail: np.ndarray
    acceptance: float
    step_size: float
    gradient_evaluations: int
    seconds: float
    converged: bool

    def sample(self) -> Values:
        """All draws, tensors `[C S, *shape]`."""
        return self.space.map(lambda value: value.flatten(0, 1), self.draws)

    def summary(self, level: float = 0.9) -> "pd.DataFrame":
        """Mean, standard deviation and central interval of each number, with the diagnostics."""
        return table(self.space, self.sample(), level).assign(
            r_hat=self.r_hat, ess_bulk=self.ess_bulk, ess_tail=self.ess_tail
        )


def hmc_reference(
    log_density: Callable[[Any], Tensor],
    dim: Dim,
    *,
    support: Support = None,
    num_chains: int = 4,
    num_samples: int = 1000,
    burn_in: int = 1000,
    seed: int = 0,
    device: str = "cpu",
) -> Reference:
    """S draws of each of C chains, after a burn-in that finds masses and the step size.

    The chains run in coordinates in which the posterior's best Gaussian is standard normal, from draws 1.5
    times as wide. The burn-in has three parts of equal length, each with dual averaging of the step size;
    after the first and the second, each coordinate is divided by its standard deviation over the chains: a
    diagonal mass. Chains that have not converged warn in one line. The arguments are those of `fit`, and so
    are its errors; UserError also if there are too few iterations.
    """
    if num_chains < 2 or num_samples < 4 or burn_in < 3 * 4:
        raise UserError("a reference takes 2 chains, 4 samples and 12 iterations of burn-in, or more")
    begin = time.perf_counter()
    target = Target(log_density, Space.of(dim, support), device)
    generator = torch.Generator(device).manual_seed(seed)
    whitening = whiten(target, generator)
    state = _starts(whitening.pull(target), whitening.mean, num_chains, generator)
    step_size = STEP_SIZE
    for part in range(PARTS):
        rule = DualAveraging(step_size)
        chains = iterate(whitening.pull(target), state, burn_in // PARTS, generator, rule)
        state, step_size = chains.last, rule.average
        if part < PARTS - 1:
            scale = _scale(chains.draws)
            whitening, state = whitening.then(Affine(torch.zeros_like(scale), scale.diag())), state / scale
    chains = iterate(whitening.pull(target), state, num_samples, generator, step_size)
    draws = target.space.constrain(whitening(chains.draws.transpose(0, 1)))[0]
    found = chain_diagnostics(target.space.flatten(draws))
    worst = float(found["r_hat"].max())
    least = min(float(found[name].min()) for name in ("ess_bulk", "ess_tail"))
    converged = worst <= MOST_R_HAT and least >= LEAST_ESS * num_chains  # not if one is NaN
    if not converged:
        advice = "take more samples and burn-in, or other coordinates"
        warnings.warn(
            f"the chains have not converged: R-hat up to {worst:.3g}, effective sample size from {least:.0f} "
            f"of {num_chains * num_samples} draws; {advice}", FitWarning, stacklevel=2,
        )  # fmt: skip
    return Reference(
        target.space, draws, found["r_hat"], found["ess_bulk"], found["ess_tail"],
        float(chains.acceptance.mean()), step_size, target.gradient_evaluations,
        time.perf_counter() - begin, converged,
    )  # fmt: skip


def _starts(log_density: LogDensity, like: Tensor, num_chains: int, generator: torch.Generator) -> Tensor:
    """Starts `[C, D]` at which the log-density is finite; UserError if they are not found."""
    for spread in SPREADS:
        v = spread * torch.randn(
            10 * num_chains, len(like), generator=generator, dtype=like.dtype, device=like.device
        )
        with torch.no_grad():
            usable = v[log_density(v).isfinite()]
        if len(usable) >= num_chains:
            return usable[:num_chains]
    raise UserError(
        "the log-density is hardly finite near the Gaussian that fits it best: mend it, or declare a support"
    )


def _scale(draws: Tensor) -> Tensor:
    """Standard deviations over the second half of draws `[T, C, D]` of all chains, drawn a little to 1."""
    late = draws[len(draws) // 2 :].flatten(0, 1)
    share = len(late) / (len(late) + 10)
    return (share * late.var(0) + (1 - share)).sqrt()
