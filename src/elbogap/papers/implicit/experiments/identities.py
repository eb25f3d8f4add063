"""SIVI's bound, its gradient and UIVI's where all is known (lecture, "Semi-Implicit Distributions").

e is one-dimensional, so that q(z) and the ELBO, with its gradient, are found by quadrature: the trapezoid
rule, which converges exponentially for these smooth integrands. q is random and fixed; nothing is trained.
The target is the multimodal one of the toys. The lecture states these properties and measures none.
"""

import math
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from elbogap.densities import gaussian_log_density, standard_gaussian_log_density
from elbogap.inference import hmc
from elbogap.inference.families.semi_implicit import SemiImplicit
from elbogap.inference.noise import draw
from elbogap.inference.objectives.base import Objective
from elbogap.inference.objectives.elbo import SIVI
from elbogap.inference.objectives.uivi import UIVI
from elbogap.nn.mlp import MLP
from elbogap.papers.implicit.frames import keyed
from elbogap.papers.implicit.settings import Identities as Settings
from elbogap.papers.implicit.targets import UIVI_TARGETS, log_density
from elbogap.runtime import Run, torch_generator
from elbogap.training import Work, tabulate

DOUBLE = torch.float64
LATENT = 2
NODE_BOUND = 9.0  # N(0, 1) leaves e^-40 outside
TERMS = 2**20  # densities held in memory at once

LOG_JOINT = log_density([UIVI_TARGETS["multimodal"]], dtype=DOUBLE)


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Measure the bound for all numbers L of further noises, and the gradients of all estimators.

    Returns:
        `bound`: per number `samples` L, with standard errors (`_se`), in nats; `gradient`: per `estimator`
        and `samples`, iterations of UIVI's chains or SIVI's L, the distance `bias` of the
        mean estimate from the exact gradient of the ELBO over the latter's length, with its standard error;
        `bias_squared`: the square of that distance without the part that chance adds (:func:`_square`).
    """
    fixed = Fixed(settings)
    exact = Exact(settings, fixed)
    bound, gradient = _bounds(settings, fixed.q, exact), _gradients(settings, fixed, exact, run)
    return {"bound": keyed(bound), "gradient": keyed(gradient)}


class Fixed:
    """The random, fixed `q` with its parameters: those of the network mu, and log sigma `[1, 1, 2]`."""

    def __init__(self, settings: Settings) -> None:
        """Draw the network."""
        generator = torch_generator(settings.seed, "implicit.identities")
        network = MLP(1, [1, *settings.hidden, LATENT], "tanh", generator, "wide", DOUBLE)
        scale = torch.full((1, 1, LATENT), settings.deviation, dtype=DOUBLE)
        self._parameters = [*network.parameters(), scale.log().requires_grad_()]
        self.q = SemiImplicit(network.layers(), self._parameters[-1], 1)

    def gradient(self, value: Tensor) -> Tensor:
        """Of a number in all P parameters, `[P]`."""
        return torch.cat([slope.flatten() for slope in torch.autograd.grad(value, self._parameters)])


class Exact:
    """By quadrature the `elbo` of q in nats and its `gradient` `[P]`."""

    def __init__(self, settings: Settings, fixed: Fixed) -> None:
        """The ELBO as an integral over z, of which a part is held in memory at a time."""
        self._nodes = torch.linspace(-NODE_BOUND, NODE_BOUND, settings.nodes, dtype=DOUBLE)[None, :, None]
        spacing = 2 * NODE_BOUND / (settings.nodes - 1)
        self._log_weights = (standard_gaussian_log_density(self._nodes[0]) + math.log(spacing))[:, None]
        axis = torch.linspace(-settings.half_width, settings.half_width, settings.points, dtype=DOUBLE)
        area = (2 * settings.half_width / (settings.points - 1)) ** 2
        self.elbo, self.gradient = 0.0, torch.zeros(())
        for z in torch.cartesian_prod(axis, axis)[None].split(max(1, TERMS // settings.nodes), 1):
            log_q = self.log_marginal(fixed.q, z)
            value = (log_q.exp() * (LOG_JOINT(z) - log_q)).sum() * area
            self.elbo += float(value.detach())
            self.gradient = self.gradient + fixed.gradient(value)

    def log_marginal(self, q: SemiImplicit, z: Tensor) -> Tensor:
        """log q(z) = log sum_j w_j q(z|e_j), `[1, B, 2]` to `[1, B]`."""
        conditional = gaussian_log_density(z[:, None], q.mean(self._nodes)[:, :, None], 2 * q.log_scale)
        return torch.logsumexp(self._log_weights + conditional, 1)


@torch.no_grad()
def _bounds(settings: Settings, q: SemiImplicit, exact: Exact) -> pd.DataFrame:
    """The bounds of all L, from common random numbers."""
    generator = torch_generator(settings.seed, "implicit.identities.bound")
    most, parts = max(settings.others), []
    at_once = max(1, TERMS // max(most, settings.nodes))
    for first in range(0, settings.bound_draws, at_once):
        count = min(at_once, settings.bound_draws - first)
        specs = SIVI(most, shared=False).noise(count, dimensions=LATENT, mixing=1)
        noise = draw(specs, generator, 1, dtype=DOUBLE)
        z = q.rsample(noise)
        bounds = [
            SIVI(others).estimate(q, LOG_JOINT, {**noise, "more": noise["more"][:, :others]}).value
            for others in settings.others
        ]
        parts.append(torch.cat([LOG_JOINT(z) - exact.log_marginal(q, z), *bounds]))
    perfect, bound = torch.cat(parts, 1).tensor_split([1])
    table = pd.DataFrame({"samples": settings.others})
    table["bound"], table["bound_se"] = _mean(bound)
    table["gap"], table["gap_se"] = _mean(perfect - bound)
    table["elbo"] = exact.elbo
    table["identity_z"] = (table["bound"] + table["gap"] - exact.elbo) / _mean(perfect)[1].item()
    return table


def _mean(values: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The mean of each row of independent values, and its standard error."""
    error = torch.stack([row.std() for row in values]) / values.shape[-1] ** 0.5
    return values.mean(-1).numpy(), error.numpy()


def _gradients(settings: Settings, fixed: Fixed, exact: Exact, run: Run) -> pd.DataFrame:
    estimators: dict[tuple[str, int], Objective[Any]] = {}
    for length in settings.chain_lengths:  # the last state alone is kept, and the step is fixed
        kernel = hmc.Kernel(length, settings.leapfrog_steps, burn_in=length - 1)
        estimators["uivi", length] = UIVI(kernel, settings.step_size)
    kernel = hmc.Kernel(settings.burn_in + settings.kept, settings.leapfrog_steps, settings.burn_in)
    estimators["uivi_averaged", kernel.num_iterations] = UIVI(kernel, settings.step_size)
    estimators |= {("sivi", others): SIVI(others, shared=False) for others in settings.others}

    def gradient(estimator: Objective[Any], key: tuple[str, int], i: int) -> Tensor:
        generator = torch_generator(settings.seed, "implicit.identities.gradient", *key, i)
        specs = estimator.noise(settings.gradient_draws, dimensions=LATENT, mixing=1)
        noise = draw(specs, generator, 1, dtype=DOUBLE)
        return fixed.gradient(estimator.estimate(fixed.q, LOG_JOINT, noise).surrogate.mean())

    rows, size = [], exact.gradient.norm()
    for key, estimator in estimators.items():
        work = Work.in_module(__name__, settings, run, "{}-{}".format(*key), seconds=10)
        estimates = tabulate(partial(gradient, estimator, key), rows=settings.gradients, work=work)
        bias = float((estimates.mean(0) - exact.gradient).norm() / size)
        error = float(estimates.std(0).norm() / settings.gradients**0.5 / size)
        rows.append((*key, bias, error, bias / error, *_square((estimates - exact.gradient) / size)))
    squared = ["bias_squared", "bias_squared_se"]
    return pd.DataFrame(rows, columns=["estimator", "samples", "bias", "bias_se", "bias_in_errors", *squared])


def _square(draws: Tensor) -> tuple[float, float]:
    """An unbiased estimate of |E d|^2 from independent d `[R, P]`, and its jackknife standard error.

    The mean of d_i . d_j over pairs i != j, which is negative by chance where E d is near 0.
    """
    count, total, own = len(draws), draws.sum(0), draws.square().sum(1)
    pairs = total.square().sum() - own.sum()
    without = (pairs - 2 * (draws @ total - own)) / ((count - 1) * (count - 2))  # draw i
    return float(pairs / (count * (count - 1))), float(without.std(correction=0) * (count - 1) ** 0.5)
