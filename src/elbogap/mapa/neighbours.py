"""Nearest neighbours, by scipy up to three dimensions and faiss beyond, and groups of near points."""

import numpy as np
from scipy.spatial import cKDTree

from elbogap.errors import UserError

MOST_FOR_TREES = 3  # dimensions


def nearest(points: np.ndarray, queries: np.ndarray, count: int) -> np.ndarray:
    """Indices of the `count` points `[N, D]` nearest to each query `[B, D]`, the nearest first, `[B, K]`.

    UserError if there are fewer points.
    """
    if not 1 <= count <= len(points):
        raise UserError(f"{count} neighbours among {len(points)} points: take 1 to {len(points)}")
    if points.shape[1] <= MOST_FOR_TREES:
        found = cKDTree(points).query(queries, count)[1]
        return found.reshape(len(queries), count).astype(np.int32)
    import faiss

    index = faiss.IndexFlatL2(points.shape[1])
    index.add(np.ascontiguousarray(points, dtype=np.float32))
    return index.search(np.ascontiguousarray(queries, dtype=np.float32), count)[1].astype(np.int32)


def leaves(points: np.ndarray, size: int) -> list[np.ndarray]:
    """Groups of at most `size` near points of `[N, D]`, halved along their longest direction until they fit.

    The direction is the widest of the axes up to three dimensions, else one step of power iteration towards
    the first principal component. UserError for a size below 1.
    """
    if size < 1:
        raise UserError(f"groups of {size} points: take 1 or more")
    waiting, found = [np.arange(len(points))], []
    random = np.random.default_rng(0)
    while waiting:
        group = waiting.pop()
        if len(group) <= size:
            found.append(group)
            continue
        inside = points[group]
        if points.shape[1] <= MOST_FOR_TREES:
            along = inside[:, np.ptp(inside, axis=0).argmax()]
        else:
            centred = inside - inside.mean(0)
            along = centred @ (centred.T @ (centred @ random.standard_normal(points.shape[1])))
        parts = -(-len(group) // size)
        cut = len(group) * (parts // 2) // parts
        order = np.argpartition(along, cut)
        waiting += [group[order[:cut]], group[order[cut:]]]
    return found
