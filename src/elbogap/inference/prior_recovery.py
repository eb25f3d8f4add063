"""Prior recovery: from the learned codes g(x_n) of an empiricalised model to a standard normal prior.

If h maps N(0, 1) to the distribution of the codes, f(g(x)) = (f o h)((h^-1 o g)(x)) (document mapa, eq. 38):
the recovered model has the decoder f o h and the encoder h^-1 o g.

Deviations (appendix C.3): eq. 36 counts codes `>=` the n-th, which makes the map decreasing, with
Phi^-1(1) = infinity at the smallest code; here u_n = Phi^-1((rank_n - 1/2) / N) increases. Besides the
document's distilled networks (eq. 39 and 40) there are the exact quantile map h, which needs no training, and
a smoothed h: with a knot at each of the N codes, h itself fits the training codes, not their distribution.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.special import ndtr, ndtri

from elbogap.errors import UserError

HERMITE = 21  # nodes of the smoothing


@dataclass(frozen=True)
class MonotoneMap:
    """A non-decreasing, piecewise linear map h from latent values to codes, constant beyond its knots.

    It has K knots: strictly increasing latent values `[K]`, float64, and non-decreasing codes `[K]`.
    """

    latents: Tensor
    codes: Tensor

    @classmethod
    def identity(cls, bound: float) -> "MonotoneMap":
        """h(z) = z on [-bound, bound], constant beyond."""
        knots = torch.linspace(-bound, bound, 1 + math.ceil(8 * bound), dtype=torch.float64)
        return cls(knots, knots)

    def to(self, device: torch.device | str) -> "MonotoneMap":
        """The same on another device."""
        return MonotoneMap(self.latents.to(device), self.codes.to(device))

    def __call__(self, latents: Tensor) -> Tensor:
        """h(z), `[...]` to `[...]`, in float64."""
        z = latents.double().contiguous()
        right = torch.searchsorted(self.latents, z).clamp(1, len(self.latents) - 1)
        start, end = self.latents[right - 1], self.latents[right]
        fraction = ((z - start) / (end - start)).clamp(0, 1)
        return torch.lerp(self.codes[right - 1], self.codes[right], fraction)

    def inverse(self, codes: Tensor) -> Tensor:
        """h^-1(c), `[...]` to `[...]`; codes beyond the extremes are clamped to them.

        Where tied codes make h flat, it is the median of N(0, 1) restricted to the flat piece.
        """
        c = codes.double().contiguous()
        below, upto = (torch.searchsorted(self.codes, c, right=right) for right in (False, True))
        last = len(self.codes) - 1
        left, right = (below - 1).clamp(0, last), below.clamp(0, last)
        width = self.codes[right] - self.codes[left]
        fraction = torch.where(width > 0, (c - self.codes[left]) / torch.where(width > 0, width, 1), 0)
        between = torch.lerp(self.latents[left], self.latents[right], fraction)
        flat = 0.5 * (ndtr(self.latents[right]) + ndtr(self.latents[(upto - 1).clamp(0, last)]))
        return torch.where(upto - below > 1, ndtri(flat), between)


def quantile_map(codes: Tensor) -> MonotoneMap:
    """The monotone map h from N(0, 1) to the empirical distribution of codes `[N]`; ties are allowed.

    h takes u_(r) = Phi^-1((r - 1/2) / N) to the r-th smallest code and is linear in between. Beyond the
    extremes, where a fraction 1 / (2 N) of the prior's mass lies on each side, it is constant. UserError if
    there are fewer than two codes, or one is not finite.
    """
    if codes.ndim != 1 or len(codes) < 2 or not codes.isfinite().all():
        raise UserError("a quantile map needs two or more finite codes; check the model that made them")
    ranks = torch.arange(len(codes), dtype=torch.float64, device=codes.device)
    return MonotoneMap(ndtri((ranks + 0.5) / len(codes)), codes.double().sort().values)


def smoothed(h: MonotoneMap, width: float) -> MonotoneMap:
    """E h(z + width e) with e ~ N(0, 1), at the knots of h: a Gaussian smoothing, which stays monotone.

    The expectation is by a Gauss-Hermite rule; the width is in standard deviations of the prior.
    """
    nodes, weights = map(torch.from_numpy, np.polynomial.hermite_e.hermegauss(HERMITE))
    shifted = h(h.latents + width * nodes.to(h.latents.device)[:, None])
    mean = (weights / weights.sum()).to(h.latents.device) @ shifted
    return MonotoneMap(h.latents, mean.cummax(0).values)  # rounding apart, the maximum changes nothing


def gaussian_copula(codes: Tensor) -> Tensor:
    """u_n = Phi^-1((rank_n - 1/2) / N) (eq. 36, corrected), `[N]` to `[N]`; ties have their mean rank.

    UserError as from :func:`quantile_map`.
    """
    return quantile_map(codes).inverse(codes)


def whitened(copula: Tensor) -> Tensor:
    """z*_n = (u_n - mean u) / sd u (eq. 37), `[N]` to `[N]`; UserError if the sample's sd is 0 or NaN."""
    scale = copula.std()
    if not scale > 0:
        raise UserError(f"{len(copula)} equal codes cannot be whitened; check the model that made them")
    return (copula - copula.mean()) / scale
