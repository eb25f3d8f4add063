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
from elbogap.inference.noise import Noise, Spec, Specs, draw, take

TIE = 1e-9  # values of log q closer than this, in nats, are ties


class Terms(NamedTuple):
    """The indices i_t at which a bound evaluates a sum over i, and log(w_t / q(i_t|n)), both `[..., T]`."""

    indices: Tensor
    log_weights: Tensor


@dataclass(frozen=True)
class Proposal(Family):
    """q(i|n) over N indices for B points, whose draws are its k most probable indices and S random others.

    The k indices, the set B_n(k), have weights w_t = q(i_t|n). The others are drawn from q~(i|n), which is q
    renormalised on the rest, and have w_t = q(not in B_n(k)|n) / S. For S > 0, E_q f(i) = E sum_t w_t f(i_t),
    and w_t / q(i_t|n) is 1 for the k first and 1 / (S q~(i_t|n)) for the others. Draws are indices
    `[B, T, 1]`, T = k + S, or T = N for k = N, where nothing is left to be drawn.

    `log_q` is normalised and finite, `[B, N]`, `head` the set B_n(k), `[B, k]`, `log_rest` log q(not in
    B_n(k)|n), `[B, 1]`, whose exponential often underflows in single precision; `cumulative` holds the sums
    of q~ up to each index, `[B, N]`, float64.
    """

    has_rsample = False

    log_q: Tensor
    head: Tensor
    log_rest: Tensor
    cumulative: Tensor

    @classmethod
    def prepare(cls, log_q: Tensor, k: int, generator: torch.Generator) -> Self:
        """The proposal of normalised log q(i|n) `[..., N]`.

        The generator, on the device of `log_q`, breaks ties: for a uniform q, B_n(k) is a random set.
        UserError if k is not between 0 and N.
        """
        count = log_q.shape[-1]
        if not 0 <= k <= count:
            raise UserError(f"k = {k} terms cannot be the largest of N = {count}; choose k between 0 and N")
        uniform = torch.rand(log_q.shape, dtype=torch.float64, device=log_q.device, generator=generator)
        head = torch.topk(log_q + TIE * uniform, k, dim=-1, sorted=False).indices
        rest = log_q.scatter(-1, head, -math.inf)
        log_rest = log_sum_exp(rest, -1).unsqueeze(-1)
        cumulative = (rest - log_rest).detach().double().exp().cumsum(-1)
        return cls(log_q, head, log_rest, cumulative)

    def __getitem__(self, rows: Tensor) -> Self:
        """The proposal of the points with these row numbers."""
        return self._with(lambda part: part[rows])

    def to(self, device: str) -> Self:
        """The same on another device, where its noise must be too."""
        return self._with(lambda part: part.to(device))

    def _with(self, change: Callable[[Tensor], Tensor]) -> Self:
        return type(self)(*map(change, (self.log_q, self.head, self.log_rest, self.cumulative)))

    def noise(self, *batch: int) -> Specs:
        """`uniform`, `[..., S, 1]` for T draws, to be drawn in float64; UserError if T < k."""
        *lead, draws = batch
        k, count = self.head.shape[-1], self.log_q.shape[-1]
        if draws < k:
            raise UserError(f"{draws} draws cannot include the k = {k} most probable indices; take k or more")
        return {"uniform": Spec((*lead, draws - k if k < count else 0, 1), uniform=True)}

    def sample(self, noise: Noise) -> Tensor:
        """Indices i_t, `[..., T, 1]`, those of B_n(k) first, by inversion of the cumulative sums."""
        uniform = take(noise, "uniform", -1, 1).squeeze(-1)
        head, cumulative = (part.expand(*uniform.shape[:-1], -1) for part in (self.head, self.cumulative))
        if head.shape[-1] == cumulative.shape[-1]:
            return head.unsqueeze(-1)
        whole = cumulative[..., -1:]
        # Rounding may carry the largest uniform up to the whole mass, past every index: keep it just below.
        position = torch.minimum(uniform * whole, torch.nextafter(whole, torch.zeros_like(whole)))
        drawn = torch.searchsorted(cumulative.contiguous(), position, right=True)
        return torch.cat([head, drawn], -1).unsqueeze(-1)

    def log_prob(self, z: Tensor, noise: Noise | None = None) -> Tensor:
        """log q(i|n) of indices, `[..., T, 1]` to `[..., T]`."""
        return torch.take_along_dim(self.log_q, z.squeeze(-1), -1)

    def log_draw_weights(self, num_draws: int) -> Tensor:
        """log w_t of the draws of :meth:`sample`, `[..., T]`."""
        num_samples = num_draws - self.head.shape[-1]
        of_rest = self.log_rest - math.log(max(1, num_samples))
        of_head = self.log_prob(self.head.unsqueeze(-1))
        return torch.cat([of_head, of_rest.expand(*of_rest.shape[:-1], num_samples)], -1)

    def terms(self, noise: Noise) -> Terms:
        """The draws and their weights in a bound."""
        z = self.sample(noise)
        return Terms(z.squeeze(-1), self.log_draw_weights(z.shape[-2]) - self.log_prob(z))

    def choose(self, num_samples: int, generator: torch.Generator) -> Terms:
        """:meth:`terms` of each point, with S random draws by a generator."""
        *lead, k = self.head.shape
        return self.terms(draw(self.noise(k + num_samples), generator, *lead, dtype=torch.float64))
