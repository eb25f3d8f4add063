"""Prior recovery: from the learned codes g(x_n) of an empiricalised model to a standard normal prior.

Deviations (document mapa, appendix C.3): eq. 36 counts codes `>=` the n-th, which makes the map decreasing
and the smallest code's value Phi^-1(1), infinity; here the copula is Phi^-1((rank - 1/2) / N), increasing, of
the same law. Beside the document's two distilled networks there is the exact monotone quantile map h, for
which nothing is fitted: the latent values of f(h(z)) follow the codes' empirical law.

With h from N(0, 1) to the codes, f(g(x)) = (f o h)((h^-1 o g)(x)) (eq. 38): the recovered model has the
decoder f o h and the encoder h^-1 o g.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.special import ndtr, ndtri

from elbogap.errors import UserError


@dataclass(frozen=True)
class MonotoneMap:
    """A non-decreasing, piecewise linear map h from latent values to codes, constant beyond its knots.

    The knots' latent values `[K]` are strictly increasing, in float64, the codes there `[K]` non-decreasing.
    """

    latents: Tensor
    codes: Tensor

    @classmethod
    def identity(cls, bound: float) -> "MonotoneMap":
        """h(z) = z on [-bound, bound]."""
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
        """h^-1(c), `[...]` to `[...]`; beyond the extreme codes that of the extreme.

        Where tied codes make h flat, it is the median of the prior on the flat piece.
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
    """The monotone map h under which N(0, 1) becomes the empirical law of codes `[N]`; ties are allowed.

    h takes u_(r) = Phi^-1((r - 1/2) / N) to the r-th smallest code and is linear in between. Beyond the
    extremes it is constant: half of 1 / N of the prior's mass lies on each side, 1 / N in all. UserError if
    there are fewer than two codes, or one is not finite.
    """
    if codes.ndim != 1 or len(codes) < 2 or not codes.isfinite().all():
        raise UserError("a quantile map needs two or more finite codes; check the model that made them")
    ranks = torch.arange(len(codes), dtype=torch.float64, device=codes.device)
    return MonotoneMap(ndtri((ranks + 0.5) / len(codes)), codes.double().sort().values)


def gaussian_copula(codes: Tensor) -> Tensor:
    """u_n = Phi^-1((rank_n - 1/2) / N) (eq. 36, corrected), `[N]` to `[N]`; tied codes share a mean rank."""
    return quantile_map(codes).inverse(codes)


def whitened(copula: Tensor) -> Tensor:
    """z*_n = (u_n - mean u) / sd u (eq. 37), `[N]` to `[N]`, sd of the sample; UserError if it is 0."""
    scale = copula.std()
    if not scale > 0:
        raise UserError(f"{len(copula)} equal codes cannot be whitened; check the model that made them")
    return (copula - copula.mean()) / scale
