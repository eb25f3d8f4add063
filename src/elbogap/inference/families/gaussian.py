"""Gaussians with a diagonal (mean-field) or full covariance."""

from dataclasses import dataclass

import torch
from torch import Tensor

from elbogap.densities import gaussian_log_density, standard_gaussian_log_density
from elbogap.inference.families.base import Family
from elbogap.inference.noise import Noise, Spec, Specs, take


@dataclass(frozen=True)
class DiagonalGaussian(Family):
    """q(z) = N(m, diag exp s), mean-field; m and s broadcast against draws `[..., D]`."""

    mean: Tensor
    log_variance: Tensor

    def noise(self, *batch: int) -> Specs:
        """`normal` u, `[*batch, D]`."""
        return {"normal": Spec((*batch, self.mean.shape[-1]))}

    def rsample(self, noise: Noise) -> Tensor:
        """z = m + exp(s / 2) u."""
        return self.mean + torch.exp(0.5 * self.log_variance) * take(noise, "normal", self.mean.shape[-1])

    def log_prob(self, z: Tensor, noise: Noise | None = None) -> Tensor:
        """log N(z; m, diag exp s)."""
        return gaussian_log_density(z, self.mean, self.log_variance)


@dataclass(frozen=True)
class FullRankGaussian(Family):
    """q(z) = N(m, L L^T), m `[..., D]`, L `[..., D, D]` lower triangular with a positive diagonal."""

    mean: Tensor
    scale_tril: Tensor

    noise = DiagonalGaussian.noise

    def rsample(self, noise: Noise) -> Tensor:
        """z = m + L u."""
        normal = take(noise, "normal", self.mean.shape[-1])
        return self.mean + (self.scale_tril @ normal.unsqueeze(-1)).squeeze(-1)

    def log_prob(self, z: Tensor, noise: Noise | None = None) -> Tensor:
        """log N(z; m, L L^T)."""
        centred = (z - self.mean).unsqueeze(-1)
        whitened = torch.linalg.solve_triangular(self.scale_tril, centred, upper=False).squeeze(-1)
        log_det = self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return standard_gaussian_log_density(whitened) - log_det
