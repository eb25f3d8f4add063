"""Retrieval by Hamming distance between binary codes (semantic hashing)."""

import torch
from torch import Tensor

from elbogap.errors import UserError


def hamming_precision(
    queries: Tensor, documents: Tensor, query_labels: Tensor, labels: Tensor, neighbours: int
) -> Tensor:
    """Fraction of a query's R nearest documents that have its label, expected over random orders of ties.

    With n_d documents at distance d, m_d of them with the query's label, and t_d = how many of these n_d are
    among the R nearest, it is sum_d t_d m_d / n_d / R. Few bits make many ties.

    Of codes in {0, 1}, `[Q, L]` and `[N, L]`, and labels `[Q]` and `[N]`: `[Q]` in float64. UserError if R is
    not from 1 to N.
    """
    if not 1 <= neighbours <= len(documents):
        raise UserError(f"{neighbours} neighbours among {len(documents)} documents; ask for 1 to all of them")
    signs, others = 2.0 * queries - 1, 2.0 * documents - 1
    distance = ((queries.shape[1] - signs @ others.mT) / 2).round().long()
    relevant = (query_labels[:, None] == labels).double()
    bins = relevant.new_zeros(len(queries), queries.shape[1] + 1)
    found = bins.scatter_add(1, distance, torch.ones_like(relevant))
    matching = bins.scatter_add(1, distance, relevant)
    nearer = found.cumsum(1) - found
    taken = torch.minimum((neighbours - nearer).clamp(min=0), found)
    return (taken * matching / found.clamp(min=1)).sum(1) / neighbours
