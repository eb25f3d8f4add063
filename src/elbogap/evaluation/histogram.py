"""The entropy of a distribution that gives draws but no density, by counting them in cells."""

import math

import torch
from torch import Tensor


def entropy(draws: Tensor, width: float) -> Tensor:
    """H = -sum_c n_c / N log(n_c / (N h^D)) + (C - 1) / (2 N), over the C cells with draws.

    The last term corrects the bias of order 1 / N (Miller 1955). What remains is that the density is averaged
    over cells, which adds about h^2 / 24 E[|d log q / d z|^2]: cells have to be small against the scale of
    the density's details, and hold many draws.

    Args:
        draws: `[..., N, D]`; the cells have no limits, so no draw lies outside.
        width: side h of the square cells.

    Returns:
        `[...]`, in nats and float64; NaN where a draw is not finite.
    """
    batch, (count, dimension) = draws.shape[:-2], draws.shape[-2:]
    values = [_entropy(one, width) for one in draws.double().reshape(-1, count, dimension)]
    return torch.stack(values).reshape(batch)


def _entropy(draws: Tensor, width: float) -> Tensor:
    if not draws.isfinite().all():
        return draws.new_tensor(torch.nan)
    counts = (draws / width).floor().unique(dim=0, return_counts=True)[1].double()
    count, dimension = draws.shape
    log_density = (counts / count).log() - dimension * math.log(width)
    return -(counts * log_density).sum() / count + (len(counts) - 1) / (2 * count)
