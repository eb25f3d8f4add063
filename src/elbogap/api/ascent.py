"""Stochastic gradient ascent until the objective is flat."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from tqdm import tqdm

from elbogap.errors import UserError, shown

Steps = int | Literal["auto"]
WINDOW = 250
LEVELS = (1.0, 0.3, 0.1)  # of the learning rate
MOST_STEPS = 20_000
TOLERANCE = 0.01  # nats in a window
MOST_GRADIENT = 100.0  # a longer one is shortened


@dataclass
class Trace:
    """The objective of each step, and how the ascent ended.

    `values` are in nats. The `undefined` steps were left out as the gradient was not finite. `reason` says in
    words why the ascent has `converged` or not, or was `interrupted`.
    """

    values: list[float] = field(default_factory=list)
    undefined: int = 0
    converged: bool = False
    interrupted: bool = False
    reason: str = ""

    def window(self, steps: int, back: int = 0) -> Tensor:
        """The finite values of the last steps, or of those `back` windows before."""
        end = len(self.values) - back * steps
        values = torch.tensor(self.values[max(0, end - steps) : end], dtype=torch.float64)
        return values[values.isfinite()]

    def gain(self, steps: int) -> tuple[float, float]:
        """By how much the mean of the last window exceeds that of the one before, and its standard error."""
        last, before = self.window(steps), self.window(steps, 1)
        if min(len(last), len(before)) < 2:
            return math.nan, math.nan
        error = (last.var() / len(last) + before.var() / len(before)).sqrt()
        return float(last.mean() - before.mean()), float(error)


def most_steps(steps: Steps) -> int:
    """How many there are at most; UserError if that is no positive number."""
    most = MOST_STEPS if steps == "auto" else steps
    if not isinstance(most, int) or most < 1:
        raise UserError(f'steps is a positive number or "auto", not {shown(steps)}')
    return most


def ascend(
    module: nn.Module,
    objective: Callable[[], Tensor],
    optimiser: torch.optim.Optimizer,
    *,
    steps: Steps,
    label: str = "",
    progress: bool = False,
) -> Trace:
    """Steps along the gradient of `objective()`, a scalar whose values are traced, in all parameters.

    It is flat where the mean over W steps differs from that over the W before by less than 0.01 nats or two
    standard errors of the difference. For "auto" W = 250; the learning rate falls to 0.3 and then 0.1 of its
    value, each time once it is flat, and the ascent has converged when it is flat again, or ends after 20,000
    steps. A number of steps ends on a cosine schedule, and has converged if its last quarter is flat.

    Ctrl-C, or a window without a finite value, brings back the parameters of the best window.
    """
    auto, most = steps == "auto", most_steps(steps)
    window = WINDOW if auto else max(1, most // 4)
    rates = [group["lr"] for group in optimiser.param_groups]
    trace, best, kept = Trace(), -math.inf, None
    level = begin = 0
    try:
        with tqdm(total=most, desc=label, unit="step", disable=not progress, mininterval=0.5) as bar:
            for i in range(1, most + 1):
                cosine = 0.5 * (1 + math.cos(math.pi * (i - 1) / most))
                for group, rate in zip(optimiser.param_groups, rates, strict=True):
                    group["lr"] = rate * (LEVELS[level] if auto else cosine)
                trace.values.append(_step(module, objective, optimiser, trace))
                bar.update()
                if i % window:
                    continue
                mean = float(trace.window(window).mean())
                bar.set_postfix_str(f"ELBO {mean:.3f}", refresh=False)
                if mean > best:
                    best, kept = mean, _copy(module)
                flat = i - begin >= 2 * window and _flat(trace, window)
                if auto and (flat or math.isnan(mean)):
                    level, begin = level + 1, i
                    if math.isnan(mean) and kept:
                        module.load_state_dict(kept)
                    if level == len(LEVELS):
                        break
    except KeyboardInterrupt:
        if kept:
            module.load_state_dict(kept)
        trace.interrupted, trace.reason = True, f"stopped by Ctrl-C after {len(trace.values)} steps"
        return trace
    trace.converged = _flat(trace, window)
    gain, error = trace.gain(window)
    state = "flat" if trace.converged else "not flat" if math.isfinite(gain) else "not finite"
    change = f"{gain:+.2g} nats (standard error {error:.1g}) in the last {window}"
    trace.reason = f"{state} after {len(trace.values)} steps: {change}"
    return trace


def _flat(trace: Trace, window: int) -> bool:
    gain, error = trace.gain(window)
    return abs(gain) < max(TOLERANCE, 2 * error)  # not if one is NaN


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def _step(
    module: nn.Module, objective: Callable[[], Tensor], optimiser: torch.optim.Optimizer, trace: Trace
) -> float:
    """One step, and the objective before it."""
    optimiser.zero_grad()
    value = objective()
    (-value).backward()
    if torch.nn.utils.clip_grad_norm_(module.parameters(), MOST_GRADIENT).isfinite():
        optimiser.step()
    else:
        trace.undefined += 1
    return value.item()
