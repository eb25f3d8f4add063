"""MAPA's proposal over the nearest neighbours of each observation and a uniform floor: memory linear in N."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from elbogap.densities import log_softmax
from elbogap.errors import UserError
from elbogap.inference.families.proposal import Terms
from elbogap.mapa.kernels import Kernel
from elbogap.mapa.neighbours import nearest

BLOCK = 4_000_000  # values of one block


@dataclass(frozen=True)
class NeighbourProposal:
    """q(i|n) = (1 - a) k(x_n|x_i) / sum_{j in B_n} k(x_n|x_j) for i in the K neighbours B_n of x_n, + a / N.

    Row n has the neighbours by falling probability, `indices` `[B, K]`, and log q without the floor a,
    `log_kernel` `[B, K]`. The first k (`head`) are evaluated always; S others are drawn from the rest of the
    row by alias tables (Walker 1977), or by the floor from all N.
    """

    indices: Tensor
    log_kernel: Tensor
    floor: float
    size: int
    head: int
    keep: Tensor
    alias: Tensor

    @classmethod
    def prepare(
        cls, kernel: Kernel, x: Tensor, queries: Tensor | None = None, *, neighbours: int = 50, head: int = 5,
        floor: float = 0.1,
    ) -> "NeighbourProposal":  # fmt: skip
        """The proposal for `queries` `[B, D]`, which are x if left out, among the observations x `[N, D]`.

        UserError unless 0 < floor < 1, 0 <= head < neighbours <= N and neighbours > 1.
        """
        if not 0 < floor < 1 or not 0 <= head < neighbours <= len(x) or neighbours < 2:
            raise UserError(
                f"{neighbours} neighbours among {len(x)}, {head} of them always, and a floor of {floor}: the "
                "floor must be between 0 and 1, and 0 <= always < neighbours <= all, of 2 or more"
            )
        own = queries is None
        queries = x if queries is None else queries
        found = torch.from_numpy(nearest(x.numpy(), queries.numpy(), neighbours))
        rows = max(1, BLOCK // (neighbours * x.shape[-1]))
        log_k = torch.cat(
            [
                kernel.log_kernel(block.unsqueeze(-2), x[near.long()])
                for block, near in zip(queries.split(rows), found.split(rows), strict=True)
            ]
        )
        if own:  # as much as the largest other, see kernels.with_own
            same = found == torch.arange(len(x)).unsqueeze(-1)
            log_k = torch.where(same, log_k.masked_fill(same, -math.inf).amax(-1, keepdim=True), log_k)
        log_k, order = log_softmax(log_k, -1).sort(dim=-1, descending=True, stable=True)
        found = found.gather(-1, order)
        keep, alias = alias_tables(log_softmax(log_k[:, head:], -1).exp())
        return cls(found, log_k, floor, len(x), head, keep, alias)

    def log_prob(self, rows: Tensor, indices: Tensor) -> Tensor:
        """log q(i|n) in nats of rows n `[B]` and indices `[B, T]`."""
        same = self.indices[rows].unsqueeze(-2) == indices.unsqueeze(-1)
        near = (self.log_kernel[rows].unsqueeze(-2).exp() * same).sum(-1)
        return ((1 - self.floor) * near + self.floor / self.size).log()

    def terms(self, rows: Tensor, num_samples: int, generator: torch.Generator) -> Terms:
        """k + S indices and log-weights `[B, T]` of rows n `[B]`, with sum_i f(i) = E sum_t exp(w_t) f(i_t).

        A draw that the first k already hold has the log-weight -inf. With S = 0 the rest is dropped, and the
        sum of terms that are not negative is smaller.
        """
        near, head = self.indices[rows], self.indices[rows, : self.head].long()
        weights = torch.zeros(head.shape, dtype=self.log_kernel.dtype)
        if not num_samples:
            return Terms(head, weights)
        shape = (len(rows), num_samples)
        column = torch.randint(self.keep.shape[-1], shape, generator=generator)
        keep, alias = self.keep[rows].gather(-1, column), self.alias[rows].gather(-1, column)
        column = torch.where(torch.rand(shape, generator=generator) < keep, column, alias.long())
        local = near.gather(-1, column + self.head).long()
        anywhere = torch.randint(self.size, shape, generator=generator)
        drawn = torch.where(torch.rand(shape, generator=generator) < self.floor, anywhere, local)
        rest = log_softmax(self.log_kernel[rows, self.head :], -1).exp()
        same = near[:, self.head :].unsqueeze(-2) == drawn.unsqueeze(-1)
        log_q = ((1 - self.floor) * (rest.unsqueeze(-2) * same).sum(-1) + self.floor / self.size).log()
        twice = (drawn.unsqueeze(-1) == head.unsqueeze(-2)).any(-1)
        log_weights = torch.where(twice, -math.inf, -math.log(num_samples) - log_q)
        return Terms(torch.cat([head, drawn], -1), torch.cat([weights, log_weights], -1))


def alias_tables(probability: Tensor) -> tuple[Tensor, Tensor]:
    """Walker's tables `[B, K]` of rows of probabilities: column j stays with `keep`_j, else is `alias`_j.

    Each of K - 1 steps fills the smallest column that is left from the largest.
    """
    rows, count = probability.shape
    keep, alias = torch.ones_like(probability), torch.zeros(rows, count, dtype=torch.int32)
    mass = (probability.double() * count).clone()
    open_columns = torch.ones(rows, count, dtype=torch.bool)
    for _ in range(count - 1):
        small = torch.where(open_columns, mass, math.inf).argmin(-1, keepdim=True)
        large = torch.where(open_columns, mass, -math.inf).argmax(-1, keepdim=True)
        share = mass.gather(-1, small).clamp(max=1)
        keep.scatter_(-1, small, share.to(keep.dtype))
        alias.scatter_(-1, small, large.int())
        mass.scatter_add_(-1, large, share - 1)
        open_columns.scatter_(-1, small, value=False)
    return keep, alias
