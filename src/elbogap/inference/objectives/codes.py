"""The ELBO of Bernoulli codes, with gradients by ARM (efvae, appendix C.2), DisARM and REINFORCE."""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from elbogap.inference.bounds import zero_with_gradient
from elbogap.inference.families.base import LogJoint
from elbogap.inference.families.bernoulli import BernoulliCodes
from elbogap.inference.noise import Noise, Spec, Specs, take
from elbogap.inference.objectives.base import Estimate, Objective, State


@dataclass(frozen=True)
class OfCodes(Objective[BernoulliCodes]):
    """log p(x, z) + H(q), z ~ q, for each draw, with the entropy H(q) in closed form.

    Subclasses differ in their unbiased estimate of d/da E_q[f(z)], f = log p(x, z), in the logits a. The
    model's parameters get the gradient of f at z. A draw whose f is not finite gives no gradient.
    """

    def noise(self, *batch: int, dimensions: int, mixing: int = 0) -> Specs:
        """`uniform` u, `[*batch, L]`."""
        return {"uniform": Spec((*batch, dimensions), uniform=True)}

    def estimate(self, q: BernoulliCodes, log_joint: LogJoint, noise: Noise, state: State = None) -> Estimate:
        """The ELBO, `[...]` in nats."""
        uniform = take(noise, "uniform", q.logits.shape[-1])
        value, slope = self.slope(log_joint, q.detach(), uniform)
        slope = torch.where(slope.isfinite(), slope, 0).detach()
        entropy = q.entropy()
        surrogate = value + (slope * zero_with_gradient(q.logits)).sum(-1) + entropy
        return Estimate(value.detach() + entropy.detach(), surrogate)

    @abstractmethod
    def slope(self, function: LogJoint, q: BernoulliCodes, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """f(z) at draws z, `[...]`, and each draw's estimate of d/da E_q[f(z)], `[..., L]`."""


@dataclass(frozen=True)
class ARM(OfCodes):
    """(f(z) - f(z')) (u - 1/2), z = 1[u > sigmoid(-a)], z' = 1[u < sigmoid(a)] (Yin and Zhou 2019).

    f is called twice, the second time without gradient.
    """

    def slope(self, function: LogJoint, q: BernoulliCodes, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """As the class says."""
        _, _, value, difference = _antithetic(function, q, uniform)
        return value, difference * (uniform - 0.5)


@dataclass(frozen=True)
class DisARM(OfCodes):
    """1/2 (f(z) - f(z')) (z - z') sigmoid(|a|), ARM's mean given z and z' (Dong et al. 2020)."""

    def slope(self, function: LogJoint, q: BernoulliCodes, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """As the class says."""
        first, second, value, difference = _antithetic(function, q, uniform)
        return value, difference * (0.5 * (first - second) * torch.sigmoid(q.logits.abs()))


@dataclass(frozen=True)
class REINFORCE(OfCodes):
    """f(z) d log q(z) / da = f(z) (z - sigmoid(a)), with one call of f (Williams 1992)."""

    def slope(self, function: LogJoint, q: BernoulliCodes, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """As the class says."""
        z = q.sample({"uniform": uniform})
        value = function(z)
        return value, value.detach().unsqueeze(-1) * (z - torch.sigmoid(q.logits))


def _antithetic(
    function: LogJoint, q: BernoulliCodes, uniform: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """z, z', f(z), and f(z) - f(z') `[..., 1]`."""
    first, second = q.sample({"uniform": uniform}), q.sample({"uniform": 1 - uniform})
    value = function(first)
    with torch.no_grad():  # the model's gradient at z suffices, at two thirds of the cost
        difference = value - function(second)
    return first, second, value, difference.unsqueeze(-1)
