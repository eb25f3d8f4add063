"""MAPA's proposal: a distribution over indices of the data, with stratified draws (document mapa, eq. 9)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor

from elbogap.densities import log_sum_exp
from elbogap.errors import UserError
from elbogap.inference.families.base import Family
from elbogap.inference.noise import Noise, Spec, Specs, draw

TIE = 1e-9
"""Values of log q closer than this are ties, in nats."""


class Terms(NamedTuple):
    """Which terms of the sum over i a bound evaluates for each of B points.

    Attributes:
        indices: i_t, the certain ones first, `[B, T]`.
        log_weights: log(w_t / q(i_t|n)) with the weights w_t of stratified draws, `[B, T]`.
    """

    indices: Tensor
    log_weights: Tensor


@dataclass(frozen=True)
class Proposal(Family):
    """q(i|n) for B points over N indices: the k largest ones are drawn for certain, S from the rest q~(i|n).

    E_q f(i) = E sum_t w_t f(i_t), where w_t = q(i_t|n) for the k indices of the set B_n(k), each a stratum of
    its own, and w_t = q(not in B_n(k)|n) / S for the others, i_t ~ q~(i|n). So w_t / q(i_t|n) is 1 for the
    first and 1 / (S q~(i_t|n)) for the others. Nothing here has a gradient.

    It stays in the log domain, since in single precision the mass of the rest often underflows to 0.

    Attributes:
        log_q: normalised log q(i|n), finite, `[B, N]`.
        head: the set B_n(k), `[B, k]`.
        log_rest: log q(not in B_n(k)|n), `[B, 1]`.
        cumulative: sums of q~ up to each index, `[B, N]`, float64.
        num_samples: S.
    """

    log_q: Tensor
    head: Tensor
    log_rest: Tensor
    cumulative: Tensor
    num_samples: int

    @classmethod
    def prepare(cls, log_q: Tensor, k: int, num_samples: int, generator: torch.Generator) -> Self:
        """Set the k largest of each row aside, and sum up the rest.

        Args:
            log_q: normalised log q(i|n), `[B, N]`.
            k: terms taken for certain, 0 to N.
            num_samples: S; nothing is drawn where k = N.
            generator: breaks ties, on the device of `log_q`: where q is uniform, B_n(k) is a random set.

        Raises:
            UserError: k is out of range.
        """
        count = log_q.shape[-1]
        if not 0 <= k <= count:
            raise UserError(f"k = {k} terms cannot be the largest of N = {count}; choose k between 0 and N")
        uniform = torch.rand(log_q.shape, dtype=torch.float64, device=log_q.device, generator=generator)
        head = torch.topk(log_q + TIE * uniform, k, dim=-1, sorted=False).indices
        rest = log_q.scatter(-1, head, -math.inf)
        log_rest = log_sum_exp(rest, -1).unsqueeze(-1)
        cumulative = (rest - log_rest).double().exp().cumsum(-1)
        return cls(log_q, head, log_rest, cumulative, num_samples if k < count else 0)

    def __getitem__(self, rows: Tensor) -> Self:
        """Those of some of the points."""
        return self._with(lambda part: part[rows])

    def to(self, device: str) -> Self:
        """The same on another device, where its noise must be, too."""
        return self._with(lambda part: part.to(device))

    def _with(self, change: Callable[[Tensor], Tensor]) -> Self:
        log_q, head, log_rest = change(self.log_q), change(self.head), change(self.log_rest)
        return type(self)(log_q, head, log_rest, change(self.cumulative), self.num_samples)

    def noise(self, *batch: int) -> Specs:
        """`uniform`, `[B, S]`, to be drawn in float64."""
        return {"uniform": Spec((*batch, self.num_samples), uniform=True)}

    def rsample(self, noise: Noise) -> Tensor:
        """Indices i_t, `[B, k + S]`; a draw inverts the cumulative sum by bisection."""
        whole = self.cumulative[..., -1:]
        # Rounding may carry the largest uniform up to the whole mass, past every index: keep it just below.
        position = torch.minimum(noise["uniform"] * whole, torch.nextafter(whole, torch.zeros_like(whole)))
        return torch.cat([self.head, torch.searchsorted(self.cumulative, position, right=True)], -1)

    def log_prob(self, z: Tensor, noise: Noise | None = None) -> Tensor:
        """log q(i|n) of indices, `[B, T]` to `[B, T]`."""
        return self.log_q.gather(-1, z)

    def log_draw_weights(self, num_draws: int) -> Tensor:
        """log w_t of the draws of :meth:`rsample`, `[B, k + S]`."""
        num_samples = num_draws - self.head.shape[-1]
        of_rest = (self.log_rest - math.log(max(1, num_samples))).expand(-1, num_samples)
        return torch.cat([self.log_prob(self.head), of_rest], -1)

    def terms(self, noise: Noise) -> Terms:
        """The draws with the weights that they have in a bound."""
        indices = self.rsample(noise)
        return Terms(indices, self.log_draw_weights(indices.shape[-1]) - self.log_prob(indices))

    def choose(self, generator: torch.Generator) -> Terms:
        """:meth:`terms` with noise of a generator."""
        return self.terms(draw(self.noise(len(self.head)), generator, dtype=torch.float64))
