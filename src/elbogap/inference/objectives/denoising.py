"""Denoising: a bound whose encoder sees noisy observations, clean ones, or both (Shu et al. 2018, air)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from elbogap.inference.families.base import LogJoint
from elbogap.inference.families.gaussian import DiagonalGaussian
from elbogap.inference.noise import Noise, Spec, Specs, take
from elbogap.inference.objectives.base import Estimate, Objective, State
from elbogap.inference.objectives.elbo import IWAE, ClosedFormELBO


@dataclass(frozen=True)
class Denoising(Objective[DiagonalGaussian]):
    """alpha L(x; f(x + sigma e)) + (1 - alpha) L(x; f(x)), e ~ N(0, I), for an encoder f and a bound L.

    alpha = 0 is the VAE or IWAE, alpha = 1 the denoising one (eq. 13). Between them it is eq. 16 with one
    network f: log p(x) - alpha E KL(f(x + sigma e) || p(z|x)) - (1 - alpha) KL(f(x) || p(z|x)). The encoder
    sees V = 1 or 2 views of x, the noisy one first; x has `pixels` dimensions.
    """

    bound: ClosedFormELBO | IWAE
    alpha: float
    pixels: int

    @property
    def weights(self) -> list[float]:
        """The weight of each of the V views."""
        return [weight for weight in (self.alpha, 1 - self.alpha) if weight > 0]

    def noise(self, *batch: int, dimensions: int, mixing: int = 0) -> Specs:
        """`normal` `[V, *batch, D]`, and e as `input` if there is a noisy view; the batch is `[..., k, B]`.

        The k draws of a bound share e, `[..., B, pixels]`: its expectation is outside L_k (eq. 13 and 23).
        """
        own = self.bound.noise(len(self.weights), *batch, dimensions=dimensions, mixing=mixing)
        of_inputs = Spec((*batch[:-2], batch[-1], self.pixels))
        return {**own, "input": of_inputs} if self.alpha > 0 else own

    def views(self, x: Tensor, scale: Tensor, noise: Noise) -> Tensor:
        """x + sigma e, x, or both, `[M, V, ..., B, pixels]`; x broadcasts against e; `scale` is `[M]`."""
        if self.alpha == 0:
            return x[:, None]
        noisy = x + scale.view(-1, *[1] * (x.ndim - 1)) * take(noise, "input", *x.shape[-2:])
        return torch.stack([noisy, x.expand_as(noisy)] if self.alpha < 1 else [noisy], 1)

    def estimate(
        self, q: DiagonalGaussian, log_joint: LogJoint, noise: Noise, state: State = None
    ) -> Estimate:
        """The mean bound of each view, `[M, V]` in nats, and its weight; draws are `[M, V, ..., B, D]`."""
        found = self.bound.estimate(q, log_joint, noise, state)
        value, surrogate = (per_view.flatten(2).mean(-1) for per_view in (found.value, found.surrogate))
        weights = torch.stack([value.new_full((), weight) for weight in self.weights])
        return Estimate(value, surrogate, weights)
