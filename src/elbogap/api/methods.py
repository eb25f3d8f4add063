"""The methods by name: how each makes its approximation and what it maximises; a new one is one more entry.

All work in whitened coordinates (:mod:`elbogap.api.whitening`), where one setting fits many posteriors. VCD
needs them most: its gradient is noisy, and weak in directions in which the chains hardly move. In the
coordinates of eight schools, where mu has three times the standard deviation of the others, three iterations
with a step of 0.2 and 3,000 steps of Adam left the mean of mu at 0.56 for the learning rate 0.001, and at
4.08 for 0.01; it is 4.41. Here five iterations, whose step adapts, end there once the objective is flat.

All methods but `mean_field` have covariances; `full_rank`, `iwae`, `vcd`, `alpha_vcd` and `hoffman` differ
in their objectives alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from elbogap.api.approximations import (
    Adversarial,
    Approximation,
    FullRank,
    MeanField,
    Mixture,
    NormalisingFlow,
    SemiImplicitMean,
    Setup,
)
from elbogap.errors import UserError, did_you_mean
from elbogap.inference import hmc
from elbogap.inference.families.base import Family, LogJoint
from elbogap.inference.families.refined import Refined
from elbogap.inference.families.resampled import Resampled
from elbogap.inference.objectives.adversarial import Classification, DensityRatio
from elbogap.inference.objectives.base import Objective
from elbogap.inference.objectives.contrastive import VCD, Hoffman
from elbogap.inference.objectives.elbo import ELBO, IWAE, SIVI
from elbogap.inference.objectives.uivi import UIVI

STEP_SIZE = 0.3


def adapting(num_iterations: int) -> hmc.Kernel:
    """Iterations that adapt their step size while q is fitted, to 0.9 of acceptance.

    Three leapfrog steps are then a quarter of a standard normal's period in ten dimensions: five would be
    half of one, and bring each chain to the opposite of where it began.
    """
    return hmc.Kernel(num_iterations, leapfrog_steps=3, burn_in=num_iterations, adaptation=hmc.Adaptation())


@dataclass(frozen=True)
class Method:
    """How to fit.

    Attributes:
        approximation: makes the trainable q.
        objectives: of q: the sum of all is maximised, the first is what is reported.
        batch: draws of a step; for IWAE `(k, B)`.
        learning_rate: of Adam, at first.
        watched: whose value is reported instead; of UIVI's own only the gradient is that of the ELBO.
        improved: the distribution that draws come from, of q, the log-joint and the chains' step size.
    """

    approximation: Callable[[Setup], Approximation]
    objectives: Callable[[Any], Sequence[Objective[Any]]]
    batch: tuple[int, ...] = (64,)
    learning_rate: float = 0.02
    watched: Objective[Any] | None = None
    improved: Callable[[Family, LogJoint, float], Family] | None = None


def resampled(q: Family, log_joint: LogJoint, step_size: float) -> Resampled:
    """q_IW of eight draws."""
    return Resampled(q, log_joint, num_proposals=8, num_batches=16)


def refined(q: Family, log_joint: LogJoint, step_size: float) -> Refined:
    """q_t after five iterations."""
    return Refined(q, log_joint, hmc.Kernel(5, leapfrog_steps=3), step_size, num_chains=16)


def density_ratio(q: Adversarial) -> list[Objective[Any]]:
    """The ELBO by the discriminator, and the discriminator's own objective."""
    return [DensityRatio(q.discriminator), Classification(q.discriminator, q.weight.shape[1])]


def uivi(q: Approximation) -> list[Objective[Any]]:
    """UIVI, whose chains forget their start in four iterations before two that count."""
    return [UIVI(replace(adapting(6), burn_in=4), STEP_SIZE)]


def elbo(q: Approximation) -> list[Objective[Any]]:
    """The ELBO."""
    return [ELBO()]


def reparameterised(q: Approximation) -> list[Objective[Any]]:
    """The ELBO, or IWAE's bound, with a gradient whose noise vanishes where q is the posterior."""
    return [IWAE(doubly_reparameterised=True)]


METHODS: Mapping[str, Method] = {
    "mean_field": Method(MeanField, elbo),
    "full_rank": Method(FullRank, reparameterised, batch=(1, 64)),
    "mixture": Method(Mixture, elbo),
    "flow": Method(NormalisingFlow, elbo, learning_rate=0.005),
    "iwae": Method(FullRank, reparameterised, batch=(8, 16), improved=resampled),
    "sivi": Method(SemiImplicitMean, lambda q: [SIVI(100)]),
    "uivi": Method(SemiImplicitMean, uivi, watched=SIVI(100)),
    "vcd": Method(FullRank, lambda q: [VCD(adapting(5), STEP_SIZE)]),
    "alpha_vcd": Method(FullRank, lambda q: [VCD(adapting(5), STEP_SIZE, alpha=0.5)]),
    "hoffman": Method(FullRank, lambda q: [Hoffman(adapting(5), STEP_SIZE)], improved=refined),
    "density_ratio": Method(Adversarial, density_ratio, (256,), 0.001),
}


def method_of(method: str | Method) -> tuple[str, Method]:
    """Its name and itself; UserError for a name that is not known."""
    if isinstance(method, Method):
        return next((name for name, known in METHODS.items() if known is method), "own"), method
    if method not in METHODS:
        raise UserError(
            f"no method '{method}'{did_you_mean(str(method), METHODS)}; there are: {', '.join(METHODS)}"
        )
    return method, METHODS[method]
