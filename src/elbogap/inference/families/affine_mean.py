"""Semi-implicit families whose mean is affine in H features of the noise: densities in H dimensions, not D.

q(z|e) = N(z; W^T h(e) + b, diag sigma^2), as for any network whose last layer is linear. With V = W / sigma
and z = mu(e) + sigma u,

    log q(z|e') - log q(z|e) = d.v - d.A d / 2,   d = h(e') - h(e), v = V u, A = V V^T,

exactly: once A is computed, each further noise e' costs O(H^2) per draw, and its mean is never formed.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from elbogap.densities import log_mean_exp
from elbogap.inference import hmc
from elbogap.inference.families.semi_implicit import SemiImplicit
from elbogap.inference.noise import Noise, take
from elbogap.nn.mlp import ACTIVATIONS, Layers


@dataclass(frozen=True)
class AffineMean(SemiImplicit):
    """q(z) of each of M members; draws are `[M, S, D]`.

    The last layer of `mean` is linear, with W `[M, H, D]` and b `[M, 1, D]`; `log_scale` is `[M, 1, D]`.
    """

    mean: Layers

    def rsample(self, noise: Noise) -> Tensor:
        """z = W^T h(e) + b + sigma u."""
        mixing, normal = self._own(noise)
        # by the features, since autograd has no second derivatives of a whole network
        mean = torch.baddbmm(self.mean.biases[-1], self._features(mixing), self.mean.weights[-1])
        return mean + self.log_scale.exp() * normal

    def rsample_and_log_prob(self, noise: Noise) -> tuple[Tensor, Tensor]:
        """As that of :class:`.SemiImplicit`, with `more` `[M, T, 1, E]` shared by all S draws."""
        others = self.log_ratios(noise)(take(noise, "more", 1, self.mixing).squeeze(-2))
        own = others.new_zeros(*others.shape[:2], 1)
        density = self.conditional_log_prob(noise) + log_mean_exp(torch.cat([own, others], -1), -1)
        return self.rsample(noise), density

    def log_ratios(self, noise: Noise) -> Callable[[Tensor], Tensor]:
        """log q(z_s|e') - log q(z_s|e_s) as a function of e', `[M, T, E]` to `[M, S, T]`."""
        centre, gram, pull, at_own = self._products(noise)

        def of_mixing(mixing: Tensor) -> Tensor:
            h = self._features(mixing) - centre
            return pull @ h.mT - (h @ gram * h).sum(-1).unsqueeze(1) / 2 - at_own

        return of_mixing

    def reverse_conditional(self, z: Tensor, noise: Noise) -> hmc.LogDensity:
        """log q(e'|z) up to a constant, as a function of e' `[M, S, E]`, at the draws z of this noise."""
        centre, gram, pull, _ = self._products(noise)

        def of_mixing(mixing: Tensor) -> Tensor:  # fewer operations than the ratios: chains are made of these
            h = self._features(mixing) - centre
            return (h * torch.baddbmm(pull, h, gram, alpha=-0.5)).sum(-1) - mixing.square().sum(-1) / 2

        return of_mixing

    def _features(self, mixing: Tensor) -> Tensor:
        """h(e), which is e itself for a network without hidden layers."""
        weights, biases, activation = self.mean.weights, self.mean.biases, self.mean.activation
        if len(weights) == 1:
            return mixing
        # activations work in place, which autograd forbids on a network's output
        return ACTIVATIONS[activation](Layers(weights[:-1], biases[:-1], activation)(mixing).clone())

    def _products(self, noise: Noise) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """A centre c of the features, A, v + A (h(e) - c), and (h(e) - c).(v + A (h(e) - c) / 2)."""
        mixing, normal = self._own(noise)
        scaled = self.mean.weights[-1] * torch.exp(-self.log_scale)
        own = self._features(mixing)
        centre = own.mean(1, keepdim=True)  # only differences count, and small numbers cancel less
        own = own - centre
        gram = scaled @ scaled.mT
        slope = normal @ scaled.mT
        pull = slope + own @ gram
        return centre, gram, pull, (own * (slope + pull)).sum(-1, keepdim=True) / 2
