"""Distances between two distributions of which there are draws alone."""

import torch
from torch import Tensor

from elbogap.densities import squared_distances
from elbogap.errors import UserError


def sliced_wasserstein(first: Tensor, second: Tensor, directions: Tensor) -> Tensor:
    """(1/K) sum_k W_1 of the projections on unit vectors `[K, D]`, of two samples `[N, D]`: a scalar.

    W_1 of two samples on a line is the mean distance of their order statistics (Rabin et al. 2012, with the
    first power); its unit is that of the draws. UserError unless both have the same shape.
    """
    if first.shape != second.shape:
        shapes = f"{list(first.shape)} and {list(second.shape)}"
        raise UserError(f"samples must have the same shape, not {shapes}; take as many draws of both")
    projected, others = ((draws @ directions.mT).sort(0).values for draws in (first, second))
    return (projected - others).abs().mean()


def squared_mmd(first: Tensor, second: Tensor) -> Tensor:
    """MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y), of samples `[N, D]` and `[M, D]`, unbiased: a scalar.

    k(x, y) = exp(-|x - y|^2 / h) with h the median of |y - y'|^2 in the second, the reference (Gretton et al.
    2012, lemma 6). It may be negative, where the distributions are alike.
    """
    own, other, between = (
        squared_distances(*pair) for pair in ((first, first), (second, second), (first, second))
    )
    n, m = len(first), len(second)
    above = torch.triu_indices(m, m, 1, device=second.device)
    width = other[above[0], above[1]].median()

    def mean_of_pairs(squares: Tensor, count: int) -> Tensor:
        return (torch.exp(-squares / width).sum() - count) / (count * (count - 1))

    return mean_of_pairs(own, n) + mean_of_pairs(other, m) - 2 * torch.exp(-between / width).mean()
