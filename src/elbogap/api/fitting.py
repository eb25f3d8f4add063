"""Fit one method to a user's posterior."""

import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from elbogap.api.approximations import Setup
from elbogap.api.ascent import Steps, ascend, most_steps
from elbogap.api.diagnostics import relative_ess
from elbogap.api.methods import Method, method_of
from elbogap.api.result import Fit, FitWarning
from elbogap.api.space import Dim, Space, Support
from elbogap.api.step import Step
from elbogap.api.target import Target
from elbogap.api.whitening import whiten

LEAST_SHARE = 0.1  # of the draws


def fit(
    log_density: Callable[[Any], Tensor],
    dim: Dim,
    method: str | Method = "uivi",
    *,
    seed: int = 0,
    steps: Steps = "auto",
    device: str = "cpu",
    progress: bool = True,
    support: Support = None,
) -> Fit:
    """An approximation q of exp(log_density) / Z by one of `METHODS`, or by a method of your own.

    `log_density`, in nats up to a constant, maps draws z `[..., D]` to `[...]` for `dim` = D. Where `dim` is
    a dictionary of shapes by name, such as `{"mu": (), "theta": 8}`, it takes one of tensors `[..., *shape]`.
    It is computed by torch, and called with one axis of draws in front. `support` says where z may lie: a
    constraint of `torch.distributions.constraints`, or some by name; all reals if it is None.

    `steps` is a number of steps, or "auto" to go on until the objective is flat (:func:`.ascend`). A fit that
    has not converged, was stopped by Ctrl-C, or misses much of the posterior warns in one line. UserError for
    a log-density that cannot be used, an unknown method or shapes that do not fit.
    """
    begin = time.perf_counter()
    name, chosen = method_of(method)
    most_steps(steps)
    target = Target(log_density, Space.of(dim, support), device)
    generator = torch.Generator(device).manual_seed(seed)
    whitening = whiten(target, generator)
    q = chosen.approximation(Setup(whitening.scale_tril, generator))
    step = Step(chosen, q, whitening.pull(target), generator)
    trace = ascend(q, step, q.optimiser(chosen.learning_rate), steps=steps, label=name, progress=progress)
    step_size, acceptance = step.chains()
    spent = target.gradient_evaluations, time.perf_counter() - begin
    found = Fit(name, chosen, target, whitening, q, trace, step_size, acceptance, *spent)
    _warn(found)
    return found


def _warn(found: Fit) -> None:
    """One line if the fit is not to be trusted."""
    share = relative_ess(found.log_weights)
    faults = [] if found.trace.converged else [found.trace.reason]
    if share < LEAST_SHARE:
        faults.append(
            f"the importance weights p / q have an effective share of {share:.2g} of the draws (1 is best)"
        )
    if faults:
        warnings.warn(f"{found.method}: {'; '.join(faults)}; see Fit.diagnostics", FitWarning, stacklevel=3)
