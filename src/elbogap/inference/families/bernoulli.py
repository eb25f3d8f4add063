"""Independent bits, which cannot be reparameterised."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from elbogap.densities import bernoulli_kl_to_uniform, bernoulli_log_likelihood
from elbogap.inference.families.base import Family
from elbogap.inference.noise import Noise, Spec, Specs, take


@dataclass(frozen=True)
class BernoulliCodes(Family):
    """q(z) = prod_l Bernoulli(z_l; sigmoid(a_l)), z in {0, 1}^L; logits a broadcast against z `[..., L]`."""

    has_rsample = False

    logits: Tensor

    def noise(self, *batch: int) -> Specs:
        """`uniform` u, `[*batch, L]`."""
        return {"uniform": Spec((*batch, self.logits.shape[-1]), uniform=True)}

    def sample(self, noise: Noise) -> Tensor:
        """z = 1[u > sigmoid(-a)], 0 or 1 in the type of the logits."""
        uniform = take(noise, "uniform", self.logits.shape[-1])
        return (uniform > torch.sigmoid(-self.logits)).to(self.logits.dtype)

    def log_prob(self, z: Tensor, noise: Noise | None = None) -> Tensor:
        """sum_l [z_l a_l - log(1 + exp a_l)]."""
        return bernoulli_log_likelihood(z, self.logits)

    def kl_to_uniform(self) -> Tensor:
        """KL(q || U({0, 1}^L)) in nats, of the shape of the logits without L."""
        return bernoulli_kl_to_uniform(self.logits)

    def entropy(self) -> Tensor:
        """E_q[-log q(z)] = L log 2 - KL(q || U({0, 1}^L)) in nats, of the shape of the logits without L."""
        return self.logits.shape[-1] * math.log(2) - self.kl_to_uniform()
