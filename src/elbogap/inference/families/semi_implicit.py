"""Semi-implicit distributions, Gaussians with a random mean (Yin and Zhou 2018), and implicit ones.

q(z|e), whose mean is a network of e ~ N(0, I), has a density, its mixture q(z) none in closed form (lecture,
part II). For q(z|x) the network takes x too. An implicit distribution has draws alone (part I).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from elbogap.densities import gaussian_log_density, log_mean_exp, standard_gaussian_log_density
from elbogap.errors import UserError
from elbogap.inference import hmc
from elbogap.inference.families.base import Family
from elbogap.inference.noise import Noise, Spec, Specs, take


@dataclass(frozen=True)
class SemiImplicit(Family):
    """q(z) = E_e q(z|e), q(z|e) = N(z; mu(e), diag sigma^2); the mean mu maps e `[..., E]` to `[..., D]`.

    e has E (`mixing`) dimensions; log sigma broadcasts against draws `[..., D]` and does not depend on e. T
    (`num_mixing`) further noises e_t estimate log q(z).
    """

    bias = "below"

    mean: Callable[[Tensor], Tensor]
    log_scale: Tensor
    mixing: int
    num_mixing: int = 0

    def noise(self, *batch: int) -> Specs:
        """`mixing` e, `[*batch, E]`, and `normal` u, `[*batch, D]`."""
        return {"mixing": Spec((*batch, self.mixing)), "normal": Spec((*batch, self.log_scale.shape[-1]))}

    def log_prob_noise(self, *batch: int) -> Specs:
        """`more` e_t, `[..., T, B, E]`, for `batch` = (..., B)."""
        return {"more": Spec((*batch[:-1], self.num_mixing, *batch[-1:], self.mixing))}

    def rsample(self, noise: Noise) -> Tensor:
        """z = mu(e) + sigma u."""
        mixing, normal = self._own(noise)
        return self.mean(mixing) + self.log_scale.exp() * normal

    def log_prob(self, z: Tensor, noise: Noise | None = None) -> Tensor:
        """log (1/T) sum_t q(z|e_t), T >= 1, below log q(z) on average, `[..., B, D]` to `[..., B]`.

        The noise `more` is e_t `[..., T, B, E]`, independent of z, or `[..., T, 1, E]`, shared by all B.
        UserError if T = 0.
        """
        return self._mixture(z, self.mean(self._more(z, noise)))

    def rsample_and_log_prob(self, noise: Noise) -> tuple[Tensor, Tensor]:
        """Draws, and SIVI's log (1 / (T + 1)) [q(z|e) + sum_t q(z|e_t)], above log q(z) on average."""
        mixing, normal = self._own(noise)
        mean = self.mean(mixing)
        z = mean + self.log_scale.exp() * normal
        more, means = self._more(z, noise), mean.unsqueeze(-3)
        if more.shape[-3]:
            others = self.mean(more)
            means = torch.cat([means, others.expand(*others.shape[:-2], *mean.shape[-2:])], -3)
        return z, self._mixture(z, means)

    def conditional_log_prob(self, noise: Noise) -> Tensor:
        """log q(z|e) of the draw z = mu(e) + sigma u, `[...]`: a function of u and sigma alone."""
        normal = take(noise, "normal", self.log_scale.shape[-1])
        return standard_gaussian_log_density(normal) - self.log_scale.sum(-1)

    def reverse_conditional(self, z: Tensor, noise: Noise) -> hmc.LogDensity:
        """log q(e'|z) up to a constant, as a function of e' `[..., E]`, at the draws z of this noise."""

        def of_mixing(mixing: Tensor) -> Tensor:
            conditional = gaussian_log_density(z, self.mean(mixing), 2 * self.log_scale)
            return standard_gaussian_log_density(mixing) + conditional

        return of_mixing

    def _own(self, noise: Noise) -> tuple[Tensor, Tensor]:
        """e and u, `[..., E]` and `[..., D]`."""
        normal = take(noise, "normal", self.log_scale.shape[-1])
        return take(noise, "mixing", *normal.shape[:-1], self.mixing), normal

    def _more(self, z: Tensor, noise: Noise | None) -> Tensor:
        """e_t, `[..., T, B, E]` or `[..., T, 1, E]`, for z `[..., B, D]`."""
        more = take(noise, "more", *z.shape[:-2], -1, -1, self.mixing)
        return more if more.shape[-2] == 1 else take(noise, "more", z.shape[-2], self.mixing)

    def _mixture(self, z: Tensor, means: Tensor) -> Tensor:
        """log (1/T) sum_t N(z; mu_t, diag sigma^2) of z `[..., B, D]`, mu_t `[..., T, B, D]`: `[..., B]`."""
        log_scale = self.log_scale.unsqueeze(-3) if self.log_scale.ndim > 2 else self.log_scale
        return log_mean_exp(gaussian_log_density(z.unsqueeze(-3), means, 2 * log_scale), -2)


@dataclass(frozen=True)
class Implicit(Family):
    """z = f(e), e ~ N(0, I) in E `dimensions`; the `transform` f maps `[..., E]` to `[..., D]`."""

    transform: Callable[[Tensor], Tensor]
    dimensions: int

    def noise(self, *batch: int) -> Specs:
        """`normal` e, `[*batch, E]`."""
        return {"normal": Spec((*batch, self.dimensions))}

    def rsample(self, noise: Noise) -> Tensor:
        """z = f(e)."""
        return self.transform(take(noise, "normal", self.dimensions))

    def log_prob(self, z: Tensor, noise: Noise | None = None) -> Tensor:
        """There is none: a UserError."""
        raise UserError("an implicit distribution has no density; maximise DensityRatio, which needs none")
