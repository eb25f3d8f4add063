"""The methods by name: a new one is a file and its line here.

A method is called as `method(log_density, dim, seed=0, steps="auto")` and returns what `metrics.score` reads:
draws by `sample`, and if there is one log q by `log_prob`.
"""

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from elbogap.api.ascent import Steps
from elbogap.api.fitting import fit
from elbogap.api.methods import METHODS as FITTED
from elbogap.api.result import FitWarning
from elbogap.errors import named
from elbogap.inference.families.base import LogJoint
from elbogap.papers.atlas.chains import HMC
from elbogap.papers.atlas.problems.base import Problem

Method = Callable[..., Any]


def _fit(log_density: LogJoint, dim: int, *, method: str, seed: int = 0, steps: Steps = "auto") -> Any:
    return fit(log_density, dim, method, seed=seed, steps=steps, progress=False)


METHODS: Mapping[str, Method] = {
    **{name: partial(_fit, method=name) for name in FITTED},
    "hmc": HMC,
}


@dataclass
class Counted:
    """A log-density that counts the points `evaluations` at which it was asked for with a derivative."""

    log_density: LogJoint
    evaluations: int = 0

    def __call__(self, z: Tensor) -> Tensor:
        """The same values."""
        if z.requires_grad and torch.is_grad_enabled():
            self.evaluations += z.shape[:-1].numel()
        return self.log_density(z)


@dataclass(frozen=True)
class Fitted:
    """What a method made of a problem, and what it took."""

    result: Any
    evaluations: int
    cpu_s: float


def fitted(method: Method, problem: Problem, *, seed: int, steps: Steps) -> Fitted:
    """One fit, without its warnings that it has not converged: the tables say so."""
    counted, started = Counted(problem.log_density), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        result = method(counted, problem.dim, seed=seed, steps=steps)
    return Fitted(result, counted.evaluations, time.process_time() - started)


def method(name: str) -> Method:
    """The method of that name; UserError if there is none."""
    return named(METHODS, name, "no method")
