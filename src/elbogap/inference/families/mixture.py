"""Mixtures of diagonal Gaussians, with draws stratified over their components.

If components were drawn at random, pi_k would get no reparameterised gradient. Here n = S / K of the S draws
come from each of the K components, and E_q f(z) = E sum_s w_s f(z_s) with w_s = pi_k / n for those of
component k. No random choice depends on pi, so differentiating the sum gives unbiased gradients in all
parameters, and so does differentiating the log of

    p^(x) = sum_s w_s p(x, z_s) / q(z_s|x),    E log p^(x) <= log p(x)

(Morningstar et al. 2021, "Automatic differentiation variational inference with mixture models").
"""

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from elbogap.densities import LOG_2PI, log_sum_exp
from elbogap.errors import UserError
from elbogap.inference.families.base import Family
from elbogap.inference.noise import Noise, Spec, Specs, take


@dataclass(frozen=True)
class GaussianMixture(Family):
    """q(z) = sum_k pi_k N(z; m_k, diag s_k^2), log pi_k `[..., K]`, m_k and s_k `[..., K, D]`.

    Draws are `[..., S, D]`, with `draws_axis` -2. For q(z|x_b), parameters have an axis B before K, draws are
    `[..., S, B, D]` and `draws_axis` is -3. The sign of s_k does not matter.
    """

    log_weight: Tensor
    mean: Tensor
    scale: Tensor
    draws_axis: int = -2

    @classmethod
    def from_heads(cls, outputs: Tensor, dimensions: int) -> Self:
        """q(z|x_b) from an encoder's outputs `[..., B, K (1 + 2 D)]`: logits, means, log-variances."""
        components = outputs.shape[-1] // (1 + 2 * dimensions)
        logits, mean, log_variance = outputs.split([components, *[components * dimensions] * 2], -1)
        mean, log_variance = (head.unflatten(-1, (components, dimensions)) for head in (mean, log_variance))
        return cls(logits.log_softmax(-1), mean, torch.exp(0.5 * log_variance), draws_axis=-3)

    def noise(self, *batch: int) -> Specs:
        """`normal` u, `[*batch, D]`; the number S of draws must be a multiple of K."""
        return {"normal": Spec((*batch, self.mean.shape[-1]))}

    def rsample(self, noise: Noise) -> Tensor:
        """z = m_k + s_k u, S / K draws of each k in turn; UserError if S is no multiple of K."""
        normal = take(noise, "normal", self.mean.shape[-1])
        num_draws = normal.shape[self.draws_axis]
        return self._of_draws(self.mean, num_draws) + self._of_draws(self.scale, num_draws) * normal

    def log_draw_weights(self, num_draws: int) -> Tensor:
        """log w_s of the draws of :meth:`rsample`, `[..., S]` or `[..., S, B]`; UserError as there."""
        log_weight = self._of_draws(self.log_weight.unsqueeze(-1), num_draws).squeeze(-1)
        return log_weight - math.log(num_draws // self.log_weight.shape[-1])

    def log_prob(self, z: Tensor, noise: Noise | None = None) -> Tensor:
        """log sum_k pi_k N(z; m_k, diag s_k^2)."""
        mean, scale = (own.unsqueeze(self.draws_axis - 1) for own in (self.mean, self.scale))
        u = (z.unsqueeze(-2) - mean) / scale
        constant = self.log_weight - self.scale.abs().log().sum(-1) - 0.5 * LOG_2PI * z.shape[-1]
        return log_sum_exp(constant.unsqueeze(self.draws_axis) - 0.5 * u.square().sum(-1), -1)

    def covariance(self) -> Tensor:
        """The covariance of z, `[..., D, D]`."""
        weight = self.log_weight.exp().unsqueeze(-1)
        about = self.mean - (weight * self.mean).sum(-2, keepdim=True)
        within = torch.diag_embed((weight * self.scale.square()).sum(-2))
        return within + (weight * about).mT @ about

    def _of_draws(self, parameter: Tensor, num_draws: int) -> Tensor:
        """A parameter `[..., K, D]` or `[..., B, K, D]` of each draw's component, shaped like the draws."""
        per_component, left = divmod(num_draws, self.log_weight.shape[-1])
        if left or not per_component:
            raise UserError(f"{num_draws} draws of {self.log_weight.shape[-1]} components: take a multiple")
        return parameter.movedim(-2, self.draws_axis).repeat_interleave(per_component, self.draws_axis)
