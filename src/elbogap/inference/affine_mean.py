"""Semi-implicit q whose mean is affine in H features of the noise: densities in H dimensions instead of D.

q(z|e) = N(z; W h(e) + b, diag sigma^2), as with any network whose last layer is linear. With V = W / sigma,
for z = mu(e) + sigma u,

    log q(z|e') - log q(z|e) = d.v - d.A d / 2,   d = h(e') - h(e), v = V u, A = V V^T,

exactly, so that after one product of H x D with D x H no other noise e' costs more than H^2, and no tensor of
means `[T, D]` is made.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from elbogap.densities import log_mean_exp, standard_gaussian_log_density
from elbogap.inference.semi_implicit import LogJoint, SemiImplicit
from elbogap.nn.mlp import ACTIVATIONS, Layers, Network


@dataclass(frozen=True)
class AffineMean:
    """M families of one variable each, z of D dimensions.

    Attributes:
        features: h, `[M, ..., E]` to `[M, ..., H]`.
        weight: W, `[M, H, D]`.
        bias: b, `[M, 1, D]`.
        log_deviation: log sigma, `[M, 1, D]`.
    """

    features: Network
    weight: Tensor
    bias: Tensor
    log_deviation: Tensor

    @classmethod
    def of(cls, layers: Layers, log_deviation: Tensor) -> Self:
        """The mean is a network; one without hidden layers has the noise itself for features."""
        hidden = Layers(layers.weights[:-1], layers.biases[:-1], layers.activation)

        def features(noise: Tensor) -> Tensor:  # activations overwrite, which a network's output may not be
            return ACTIVATIONS[layers.activation](hidden(noise).clone()) if hidden.weights else noise

        return cls(features, layers.weights[-1], layers.biases[-1], log_deviation)

    def mean(self, noise: Tensor) -> Tensor:
        """mu(e) = W h(e) + b, `[M, S, E]` to `[M, S, D]`."""
        return torch.baddbmm(self.bias, self.features(noise), self.weight)

    def plain(self) -> SemiImplicit:
        """The same as a semi-implicit family of any mean, of one variable per member."""
        return SemiImplicit(self.mean, self.log_deviation)

    def place(self, noise: Tensor, draws: Tensor) -> Tensor:
        """z = mu(e) + sigma u of noises e `[M, S, E]` and standard normal u `[M, S, D]`."""
        return self.mean(noise) + self.log_deviation.exp() * draws

    def conditional(self, draws: Tensor) -> Tensor:
        """log q(z|e) of z = mu(e) + sigma u, which depends on u `[M, S, D]` alone: `[M, S]`."""
        return standard_gaussian_log_density(draws) - self.log_deviation.sum(-1)

    def ratios(self, noise: Tensor, draws: Tensor) -> Callable[[Tensor], Tensor]:
        """log q(z_s|e') - log q(z_s|e_s) of z_s = mu(e_s) + sigma u_s as a function of e'.

        Args:
            noise: e, `[M, S, E]`.
            draws: u, `[M, S, D]`.

        Returns:
            A function of other noises `[M, T, E]` to `[M, S, T]`, in nats.
        """
        centre, gram, pull, at_own = self._products(noise, draws)

        def of_others(others: Tensor) -> Tensor:
            h = self.features(others) - centre
            return pull @ h.mT - (h @ gram * h).sum(-1).unsqueeze(1) / 2 - at_own

        return of_others

    def reverse(self, noise: Tensor, draws: Tensor) -> Callable[[Tensor], Tensor]:
        """log q(e'|z), up to a constant, of z = mu(e) + sigma u, as a function of e' `[M, 1, E]`: `[M, 1]`.

        Args:
            noise: e, `[M, 1, E]`.
            draws: u, `[M, 1, D]`.
        """
        centre, gram, pull, _ = self._products(noise, draws)

        def of_other(other: Tensor) -> Tensor:  # fewer operations than the ratios: chains are made of these
            h = self.features(other) - centre
            return (h * torch.baddbmm(pull, h, gram, alpha=-0.5)).sum(-1) - other.square().sum(-1) / 2

        return of_other

    def _products(self, noise: Tensor, draws: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """A centre c of the features, A, v + A (h(e) - c), and (h(e) - c).(v + A (h(e) - c) / 2)."""
        scaled = self.weight * torch.exp(-self.log_deviation)
        own = self.features(noise)
        centre = own.mean(1, keepdim=True)  # only differences count, and small numbers cancel less
        own = own - centre
        gram = scaled @ scaled.mT
        slope = draws @ scaled.mT
        pull = slope + own @ gram
        return centre, gram, pull, (own * (slope + pull)).sum(-1, keepdim=True) / 2


def sivi_bound(log_joint: LogJoint, family: AffineMean, noise: Tensor, draws: Tensor, more: Tensor) -> Tensor:
    """The bound of :func:`elbogap.inference.semi_implicit.sivi_bound`, which is the ELBO where H = 0.

    Args:
        log_joint: log p(x, z).
        family: q.
        noise: e, `[M, S, E]`.
        draws: u, `[M, S, D]`.
        more: e_l, `[M, L, E]` with L >= 0, the same for all S.

    Returns:
        `[M, S]`, in nats.
    """
    others = family.ratios(noise, draws)(more)
    own = others.new_zeros(*noise.shape[:2], 1)
    density = family.conditional(draws) + log_mean_exp(torch.cat([own, others], -1), -1)
    return log_joint(family.place(noise, draws)) - density
