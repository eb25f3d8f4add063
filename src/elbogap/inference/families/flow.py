"""Normalising flows, from the package zuko."""

import copy
from dataclasses import dataclass
from typing import Self

from torch import Tensor
from zuko.distributions import NormalizingFlow
from zuko.lazy import LazyDistribution

from elbogap.errors import UserError
from elbogap.inference.families.base import Family
from elbogap.inference.noise import Noise, Spec, Specs, take


@dataclass(frozen=True)
class Flow(Family):
    """q(z) = N(f(z); 0, I) |det df/dz|, or q(z|c_b) with a context c `[B, C]`.

    `network` is a flow of zuko with a standard normal base, such as `zuko.flows.NSF(features=D)`.
    """

    network: LazyDistribution
    context: Tensor | None = None

    @property
    def distribution(self) -> NormalizingFlow:
        """The flow at the current parameters and context; UserError if the network is not a flow."""
        flow = self.network(self.context)
        if not isinstance(flow, NormalizingFlow):
            kind = type(flow).__name__
            raise UserError(f"a Flow takes a flow of zuko, such as NSF(features=2), not one of a {kind}")
        return flow

    def noise(self, *batch: int) -> Specs:
        """`normal` u, `[*batch, D]`."""
        return {"normal": Spec((*batch, *self.distribution.event_shape))}

    def rsample(self, noise: Noise) -> Tensor:
        """z = f^-1(u)."""
        flow = self.distribution
        inverse: Tensor = flow.transform.inv(take(noise, "normal", *flow.event_shape))
        return inverse

    def log_prob(self, z: Tensor, noise: Noise | None = None) -> Tensor:
        """log N(f(z); 0, I) + log |det df/dz|."""
        return self.distribution.log_prob(z)

    def detach(self) -> Self:
        """The same with a copy of the network that has no gradient."""
        context = None if self.context is None else self.context.detach()
        return type(self)(copy.deepcopy(self.network).requires_grad_(False), context)
