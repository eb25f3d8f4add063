"""Mixtures of Gaussians as q(z|x) for one-dimensional z, with draws stratified over their components.

IWAE's S draws would choose their component at random, through which no gradient reaches the mixture weights.
Here each of the K components makes n = S / K draws z_kj ~ N(m_k, s_k^2), and

    p^(x) = sum_k pi_k (1/n) sum_j p(x, z_kj) / q(z_kj|x),    q(z|x) = sum_k pi_k N(z; m_k, s_k^2).

It is unbiased, E p^(x) = sum_k pi_k int N(z; m_k, s_k^2) p(x, z) / q(z|x) dz = int p(x, z) dz = p(x), so
E log p^(x) <= log p(x) as for IWAE. No random choice depends on the weights pi_k, so that differentiating p^
gives unbiased gradients in all parameters (Morningstar et al. 2021, "Automatic differentiation variational
inference with mixture models").
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from elbogap.densities import LOG_2PI, log_sum_exp


@dataclass(frozen=True)
class Mixture:
    """q(z|x) of B observations.

    Attributes:
        log_weight: log pi_k `[..., B, K]`.
        mean: m_k `[..., B, K]`.
        log_variance: log s_k^2 `[..., B, K]`.
    """

    log_weight: Tensor
    mean: Tensor
    log_variance: Tensor

    @classmethod
    def from_heads(cls, outputs: Tensor) -> "Mixture":
        """From an encoder's outputs `[..., B, 3 K]`: logits of the weights, means, log-variances."""
        logits, mean, log_variance = outputs.chunk(3, -1)
        return cls(logits.log_softmax(-1), mean, log_variance)

    def draw(self, noise: Tensor) -> Tensor:
        """z_kj = m_k + s_k e_kj, standard normal e `[..., K, n, B]` to `[..., K n, B]`."""
        mean, log_variance = (value.mT.unsqueeze(-2) for value in (self.mean, self.log_variance))
        return (mean + torch.exp(0.5 * log_variance) * noise).flatten(-3, -2)

    def log_density(self, z: Tensor) -> Tensor:
        """log q(z|x), `[..., S, B]` to `[..., S, B]`."""
        constant = self.log_weight - 0.5 * (LOG_2PI + self.log_variance)
        precision = torch.exp(-0.5 * self.log_variance)
        u = (z.unsqueeze(-1) - self.mean.unsqueeze(-3)) * precision.unsqueeze(-3)
        return log_sum_exp(constant.unsqueeze(-3) - 0.5 * u.square(), -1)

    def log_weights(self, z: Tensor, log_joint: Tensor) -> Tensor:
        """log [K pi_k p(x, z_kj) / q(z_kj|x)] of draws of :meth:`draw`, whose mean over S is p^(x).

        Args:
            z: `[..., S, B]`.
            log_joint: log p(x, z) there `[..., S, B]`.

        Returns:
            `[..., S, B]`, for `elbogap.inference.bounds.iwae`.
        """
        components = self.log_weight.shape[-1]
        own = self.log_weight.mT.repeat_interleave(z.shape[-2] // components, -2)
        return math.log(components) + own + log_joint - self.log_density(z)
