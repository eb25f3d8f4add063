"""The entropy of a distribution that gives draws but no density, by counting them in cells."""

import math

import torch
from torch import Tensor


def entropy(draws: Tensor, width: float) -> Tensor:
    """H = -sum_c n_c / N log(n_c / (N h^D)) + (C - 1) / (2 N), over the C cells of side h with draws.

    The last term corrects the bias of order 1 / N (Miller 1955). What remains is that the density is averaged
    over cells, which adds about h^2 / 24 E[|d log q / d z|^2]: cells have to be small against the scale of
    the density's details, and hold many draws. Of draws `[..., N, D]`: `[...]`, in nats and float64; NaN
    where a draw is not finite.
    """
    values = [_entropy(points, width) for points in draws.double().reshape(-1, *draws.shape[-2:])]
    return torch.stack(values).reshape(draws.shape[:-2])


def _entropy(points: Tensor, width: float) -> Tensor:
    if not points.isfinite().all():
        return points.new_tensor(torch.nan)
    counts = (points / width).floor().unique(dim=0, return_counts=True)[1].double()
    count, dimension = points.shape
    log_density = (counts / count).log() - dimension * math.log(width)
    return -(counts * log_density).sum() / count + (len(counts) - 1) / (2 * count)
