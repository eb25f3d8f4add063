"""SIVI's bound, its gradient and UIVI's where all is known (lecture, "Semi-Implicit Distributions").

e is one-dimensional, so that q(z) and the ELBO, with its gradient, are found by quadrature: the trapezoid
rule, which converges exponentially for these smooth integrands. q is random and fixed; nothing is trained.
The target is the multimodal one of the toys. The lecture states these properties and measures none.
"""

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from elbogap import provenance
from elbogap.densities import gaussian_log_density, standard_gaussian_log_density
from elbogap.inference import hmc
from elbogap.inference.families.base import LogJoint
from elbogap.inference.families.semi_implicit import SemiImplicit
from elbogap.inference.noise import Noise, draw
from elbogap.inference.objectives.base import Estimate, Objective
from elbogap.inference.objectives.elbo import SIVI
from elbogap.inference.objectives.uivi import UIVI
from elbogap.nn.mlp import MLP
from elbogap.papers.implicit.settings import Identities as Settings
from elbogap.papers.implicit.uivi_targets import LogDensities
from elbogap.runtime import Run, torch_generator
from elbogap.training import Work, tabulate

DOUBLE = torch.float64
LATENT = 2
NODE_BOUND = 9.0  # N(0, 1) leaves e^-40 outside
TERMS = 2**20  # densities held in memory at once

LOG_JOINT = LogDensities.of(["multimodal"], dtype=torch.float64)


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Measure the bound for all numbers L of further noises, and the gradients of all estimators.

    Returns:
        `bound`: per number `samples` L, in nats, the mean `bound` over draws with its standard error
        `bound_se`; `gap`, the mean distance of the bound below log p(z) - log q(z) at the same draws, with
        its standard error `gap_se`; `gap_by_noises`, the gap times L + 1; the exact `elbo`; and `identity_z`,
        (bound + gap - elbo) in standard errors.
        `gradient`: per `estimator` and `samples`, iterations of UIVI's chains (0 leaves e' = e) or SIVI's L,
        the distance `bias` of the mean of all estimates from the exact gradient of the ELBO, over the length
        of the latter; `bias_se`, the standard error of the mean in the same measure, all parameters together;
        and `bias_in_errors`, their ratio, about 1 where the estimator is unbiased.

    Raises:
        OutOfTime: the time budget is spent.
    """
    exact = Exact.of(settings)
    identity = provenance.identity(__name__, settings, run)
    return {"bound": _bounds(settings, exact), "gradient": _gradients(settings, exact, run, identity)}


@dataclass(frozen=True)
class Fixed:
    """The fixed q with its parameters.

    Attributes:
        network: mu, of one member.
        log_scale: log sigma, `[1, 1, 2]`.
    """

    network: MLP
    log_scale: Tensor

    @classmethod
    def of(cls, settings: Settings) -> "Fixed":
        """Drawn at random."""
        generator = torch_generator(settings.seed, "implicit.identities")
        sizes = [1, *settings.hidden, LATENT]
        network = MLP(1, sizes, "tanh", generator, "wide", torch.float64)
        scale = torch.full((1, 1, LATENT), settings.deviation, dtype=torch.float64)
        return cls(network, scale.log().requires_grad_())

    @property
    def q(self) -> SemiImplicit:
        """Differentiable in the parameters."""
        return SemiImplicit(self.network.layers(), self.log_scale, 1)

    def gradient(self, value: Tensor) -> Tensor:
        """Of a number in all P parameters, `[P]`."""
        parameters = [*self.network.parameters(), self.log_scale]
        return torch.cat([slope.flatten() for slope in torch.autograd.grad(value, parameters)])


@dataclass(frozen=True)
class Exact:
    """What quadrature gives.

    Attributes:
        nodes: of e, `[1, J, 1]`.
        log_weights: log of their probabilities, `[J, 1]`.
        elbo: in nats.
        gradient: of the ELBO, `[P]`.
    """

    nodes: Tensor
    log_weights: Tensor
    elbo: float
    gradient: Tensor

    @classmethod
    def of(cls, settings: Settings) -> "Exact":
        """The ELBO as an integral over z, of which a part is held in memory at a time."""
        nodes = torch.linspace(-NODE_BOUND, NODE_BOUND, settings.nodes, dtype=torch.float64)[None, :, None]
        spacing = 2 * NODE_BOUND / (settings.nodes - 1)
        log_weights = (standard_gaussian_log_density(nodes[0]) + math.log(spacing))[:, None]
        axis = torch.linspace(-settings.half_width, settings.half_width, settings.points, dtype=torch.float64)
        cell = (2 * settings.half_width / (settings.points - 1)) ** 2
        fixed = Fixed.of(settings)
        elbo, gradient = 0.0, torch.zeros(())
        for z in torch.cartesian_prod(axis, axis)[None].split(max(1, TERMS // settings.nodes), 1):
            log_q = log_marginal(fixed.q, z, nodes, log_weights)
            value = (log_q.exp() * (LOG_JOINT(z) - log_q)).sum() * cell
            elbo += float(value.detach())
            gradient = gradient + fixed.gradient(value)
        return cls(nodes, log_weights, elbo, gradient)


def log_marginal(q: SemiImplicit, z: Tensor, nodes: Tensor, log_weights: Tensor) -> Tensor:
    """log q(z) = log sum_j w_j q(z|e_j), z `[1, B, 2]`, nodes `[1, J, 1]`, log-weights `[J, 1]`, `[1, B]`."""
    means = q.mean(nodes)[:, :, None]
    conditional = gaussian_log_density(z[:, None], means, 2 * q.log_scale)
    return torch.logsumexp(log_weights + conditional, 1)


@torch.no_grad()
def _bounds(settings: Settings, exact: Exact) -> pd.DataFrame:
    """All L share draws of z and noises, so that their bounds are compared on common random numbers."""
    generator = torch_generator(settings.seed, "implicit.identities.bound")
    q, most = Fixed.of(settings).q.detach(), max(settings.others)
    parts, left = [], settings.bound_draws
    while left:
        count = min(left, max(1, TERMS // max(most, settings.nodes)))
        left -= count
        specs = SIVI(most, shared=False).noise(count, dimensions=LATENT, mixing=1)
        noise = draw(specs, generator, 1, dtype=DOUBLE)
        z = q.rsample(noise)
        perfect = LOG_JOINT(z) - log_marginal(q, z, exact.nodes, exact.log_weights)
        bounds = [
            SIVI(others).estimate(q, LOG_JOINT, {**noise, "more": noise["more"][:, :others]}).value
            for others in settings.others
        ]
        parts.append(torch.cat([perfect, *bounds]))
    perfect, *bounds = torch.cat(parts, 1)
    return pd.DataFrame(
        _bound_row(others, bound, perfect, exact.elbo)
        for others, bound in zip(settings.others, bounds, strict=True)
    )


def _bound_row(others: int, bound: Tensor, perfect: Tensor, elbo: float) -> dict[str, str | float]:
    (mean, error), (gap, gap_error) = _mean(bound), _mean(perfect - bound)
    return {
        "document": "implicit",
        "samples": others,
        "bound": mean,
        "bound_se": error,
        "gap": gap,
        "gap_se": gap_error,
        "gap_by_noises": (others + 1) * gap,
        "elbo": elbo,
        "identity_z": (mean + gap - elbo) / _mean(perfect)[1],
    }


def _mean(values: Tensor) -> tuple[float, float]:
    """The mean of independent values and its standard error."""
    return float(values.mean()), float(values.std() / len(values) ** 0.5)


def _gradients(settings: Settings, exact: Exact, run: Run, identity: str) -> pd.DataFrame:
    estimators: dict[tuple[str, int], Objective[Any]] = {("uivi", 0): OwnNoise()}
    for length in settings.chain_lengths:  # the last state alone is kept, and the step is fixed
        kernel = hmc.Kernel(length, settings.leapfrog_steps, burn_in=length - 1)
        estimators["uivi", length] = UIVI(kernel, settings.step_size)
    estimators |= {("sivi", others): SIVI(others, shared=False) for others in settings.others}
    return pd.DataFrame(
        _gradient_row(settings, exact, run, identity, *key, estimator)
        for key, estimator in estimators.items()
    )


def _gradient_row(
    settings: Settings,
    exact: Exact,
    run: Run,
    identity: str,
    name: str,
    samples: int,
    estimator: Objective[Any],
) -> dict[str, str | float]:
    specs = estimator.noise(settings.gradient_draws, dimensions=LATENT, mixing=1)

    def estimate(i: int) -> Tensor:
        generator = torch_generator(settings.seed, "implicit.identities.gradient", name, samples, i)
        fixed = Fixed.of(settings)
        noise = draw(specs, generator, 1, dtype=DOUBLE)
        return fixed.gradient(estimator.estimate(fixed.q, LOG_JOINT, noise).surrogate.mean())

    work = Work.of(run, f"{name}-{samples}", identity, checkpoint_seconds=10)
    estimates = tabulate(estimate, rows=settings.gradients, work=work)
    length = exact.gradient.norm()
    bias = float((estimates.mean(0) - exact.gradient).norm() / length)
    error = float(estimates.std(0).norm() / settings.gradients**0.5 / length)
    row: dict[str, str | float] = {"document": "implicit", "estimator": name, "samples": samples}
    return row | {"bias": bias, "bias_se": error, "bias_in_errors": bias / error}


class OwnNoise(Objective[SemiImplicit]):
    """UIVI with e' = e, whose score is -u / sigma: the gradient of SIVI's bound for L = 0."""

    def estimate(
        self, q: SemiImplicit, log_joint: LogJoint, noise: Noise, state: nn.Module | None = None
    ) -> Estimate:
        """As of UIVI."""
        z = q.rsample(noise)
        score = -noise["normal"] * torch.exp(-q.log_scale.detach())
        surrogate = log_joint(z) - (score * z).sum(-1)
        return Estimate(surrogate.detach(), surrogate)
