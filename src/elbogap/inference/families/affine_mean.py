"""The semi-implicit family with a mean affine in H features of the noise: densities in H dimensions, not D.

q(z|e) = N(z; W h(e) + b, diag sigma^2), as with any network whose last layer is linear. With V = W / sigma,
for z = mu(e) + sigma u,

    log q(z|e') - log q(z|e) = d.v - d.A d / 2,   d = h(e') - h(e), v = V u, A = V V^T,

exactly, so that after one product of H x D with D x H no other noise e' costs more than H^2, and no tensor of
means `[T, D]` is made.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from elbogap.densities import log_mean_exp, standard_gaussian_log_density
from elbogap.inference import hmc
from elbogap.inference.families.base import Bias, Family
from elbogap.inference.families.semi_implicit import SemiImplicit
from elbogap.inference.noise import Noise, Specs, take
from elbogap.nn.mlp import ACTIVATIONS, Layers


@dataclass(frozen=True)
class AffineMean(Family):
    """M semi-implicit families of one variable each; draws are `[M, S, D]`.

    Attributes:
        layers: the network of the mean, whose last layer is linear: W `[M, H, D]`, b `[M, 1, D]`.
        log_scale: log sigma, `[M, 1, D]`.
        num_mixing: the number T of further noises that estimate log q(z).
    """

    bias: ClassVar[Bias] = "below"

    layers: Layers
    log_scale: Tensor
    num_mixing: int = 0

    def general(self) -> SemiImplicit:
        """The same distribution as a semi-implicit family of any mean."""
        return SemiImplicit(self.layers, self.log_scale, self.layers.weights[0].shape[1], self.num_mixing)

    def noise(self, *batch: int) -> Specs:
        """As :meth:`SemiImplicit.noise`."""
        return self.general().noise(*batch)

    def log_prob_noise(self, *batch: int) -> Specs:
        """As :meth:`SemiImplicit.log_prob_noise`."""
        return self.general().log_prob_noise(*batch)

    def rsample(self, noise: Noise) -> Tensor:
        """z = mu(e) + sigma u."""
        mixing, normal = self._own(noise)
        return self.mean(mixing) + self.log_scale.exp() * normal

    def log_prob(self, z: Tensor, noise: Noise | None = None) -> Tensor:
        """As :meth:`SemiImplicit.log_prob`."""
        return self.general().log_prob(z, noise)

    def mean(self, mixing: Tensor) -> Tensor:
        """mu(e) = W h(e) + b, `[M, S, E]` to `[M, S, D]`."""
        return torch.baddbmm(self.layers.biases[-1], self._features(mixing), self.layers.weights[-1])

    def rsample_and_log_prob(self, noise: Noise) -> tuple[Tensor, Tensor]:
        """As :meth:`SemiImplicit.rsample_and_log_prob`, for noises `more` `[M, T, 1, E]` that all S share."""
        others = self.log_ratios(noise)(take(noise, "more", 1, noise["mixing"].shape[-1]).squeeze(-2))
        own = others.new_zeros(*noise["mixing"].shape[:2], 1)
        density = self.conditional_log_prob(noise) + log_mean_exp(torch.cat([own, others], -1), -1)
        return self.rsample(noise), density

    def conditional_log_prob(self, noise: Noise) -> Tensor:
        """As :meth:`SemiImplicit.conditional_log_prob`, `[M, S]`."""
        return standard_gaussian_log_density(self._own(noise)[1]) - self.log_scale.sum(-1)

    def log_ratios(self, noise: Noise) -> Callable[[Tensor], Tensor]:
        """log q(z_s|e') - log q(z_s|e_s) of z_s = mu(e_s) + sigma u_s, of e' `[M, T, E]`: `[M, S, T]`."""
        centre, gram, pull, at_own = self._products(noise)

        def of_mixing(mixing: Tensor) -> Tensor:
            h = self._features(mixing) - centre
            return pull @ h.mT - (h @ gram * h).sum(-1).unsqueeze(1) / 2 - at_own

        return of_mixing

    def reverse_conditional(self, z: Tensor, noise: Noise) -> hmc.LogDensity:
        """log q(e'|z), up to a constant, as a function of e' `[M, S, E]`, for the draws z of this noise."""
        centre, gram, pull, _ = self._products(noise)

        def of_mixing(mixing: Tensor) -> Tensor:  # fewer operations than the ratios: chains are made of these
            h = self._features(mixing) - centre
            return (h * torch.baddbmm(pull, h, gram, alpha=-0.5)).sum(-1) - mixing.square().sum(-1) / 2

        return of_mixing

    def _own(self, noise: Noise) -> tuple[Tensor, Tensor]:
        """e and u, `[M, S, E]` and `[M, S, D]`."""
        normal = take(noise, "normal", self.log_scale.shape[-1])
        return take(noise, "mixing", *normal.shape[:-1], self.layers.weights[0].shape[1]), normal

    def _features(self, mixing: Tensor) -> Tensor:
        """h(e); a network without hidden layers has the noise itself for features."""
        layers = self.layers
        if len(layers.weights) == 1:
            return mixing
        hidden = Layers(layers.weights[:-1], layers.biases[:-1], layers.activation)
        outputs = hidden(mixing).clone()  # activations overwrite, which a network's output may not be
        return ACTIVATIONS[layers.activation](outputs)

    def _products(self, noise: Noise) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """A centre c of the features, A, v + A (h(e) - c), and (h(e) - c).(v + A (h(e) - c) / 2)."""
        mixing, normal = self._own(noise)
        scaled = self.layers.weights[-1] * torch.exp(-self.log_scale)
        own = self._features(mixing)
        centre = own.mean(1, keepdim=True)  # only differences count, and small numbers cancel less
        own = own - centre
        gram = scaled @ scaled.mT
        slope = normal @ scaled.mT
        pull = slope + own @ gram
        return centre, gram, pull, (own * (slope + pull)).sum(-1, keepdim=True) / 2
