"""The semi-implicit family with a mean affine in H features of the noise: densities in H dimensions, not D.

q(z|e) = N(z; W h(e) + b, diag sigma^2), as with any network whose last layer is linear. With V = W / sigma,
for z = mu(e) + sigma u,

    log q(z|e') - log q(z|e) = d.v - d.A d / 2,   d = h(e') - h(e), v = V u, A = V V^T,

exactly, so that after one product of H x D with D x H no other noise e' costs more than H^2, and no tensor of
means `[T, D]` is made.
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
    """M semi-implicit families of one variable each; draws are `[M, S, D]`.

    The last of the layers of the `mean` is linear, W `[M, H, D]`, b `[M, 1, D]`; `log_scale` is `[M, 1, D]`.
    """

    mean: Layers

    def rsample(self, noise: Noise) -> Tensor:
        """z = W h(e) + b + sigma u."""
        mixing, normal = self._own(noise)
        # by the features, since autograd has no second derivatives of a whole network
        mean = torch.baddbmm(self.mean.biases[-1], self._features(mixing), self.mean.weights[-1])
        return mean + self.log_scale.exp() * normal

    def rsample_and_log_prob(self, noise: Noise) -> tuple[Tensor, Tensor]:
        """As :meth:`SemiImplicit.rsample_and_log_prob`, for noises `more` `[M, T, 1, E]` that all S share."""
        others = self.log_ratios(noise)(take(noise, "more", 1, self.mixing).squeeze(-2))
        own = others.new_zeros(*others.shape[:2], 1)
        density = self.conditional_log_prob(noise) + log_mean_exp(torch.cat([own, others], -1), -1)
        return self.rsample(noise), density

    def log_ratios(self, noise: Noise) -> Callable[[Tensor], Tensor]:
        """log q(z_s|e') - log q(z_s|e_s) of z_s = mu(e_s) + sigma u_s, of e' `[M, T, E]`: `[M, S, T]`."""
        centre, gram, pull, at_own = self._products(noise)

        def of_mixing(mixing: Tensor) -> Tensor:
            h = self._features(mixing) - centre
            return pull @ h.mT - (h @ gram * h).sum(-1).unsqueeze(1) / 2 - at_own

        return of_mixing

    def reverse_conditional(self, z: Tensor, noise: Noise) -> hmc.LogDensity:
        """log q(e'|z), up to a constant, of e' `[M, S, E]`, for the draws z of this noise."""
        centre, gram, pull, _ = self._products(noise)

        def of_mixing(mixing: Tensor) -> Tensor:  # fewer operations than the ratios: chains are made of these
            h = self._features(mixing) - centre
            return (h * torch.baddbmm(pull, h, gram, alpha=-0.5)).sum(-1) - mixing.square().sum(-1) / 2

        return of_mixing

    def _features(self, mixing: Tensor) -> Tensor:
        """h(e); a network without hidden layers has the noise itself for features."""
        weights, biases, activation = self.mean.weights, self.mean.biases, self.mean.activation
        if len(weights) == 1:
            return mixing
        # activations overwrite, which a network's output may not be
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
