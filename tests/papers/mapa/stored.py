"""Files as experiments of document mapa store them, and linear models, of which everything is known."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.distributions import MultivariateNormal

from elbogap import tables
from elbogap.nn.mlp import MLP
from elbogap.nn.store import Stored

VARIANCE = 0.01  # of the problem `circle`, under whose name linear ground truths run


def truth(path: Path, decoder: MLP) -> Path:
    """A surrogate decoder."""
    tables.write(Stored({"decoder": decoder}).to_arrays(), path)
    return path


def models(
    path: Path,
    decoder: MLP,
    encoder: MLP,
    members: Sequence[tuple[int, int]],
    *,
    points: int = 200,
    batch: int = 20,
    seed: int = 0,
    passes: Sequence[float] | None = None,
) -> Path:
    """Trained models of data draws and restarts."""
    draw, restart = np.array(members).T
    values = {
        "draw": draw, "restart": restart, "bound": np.full((len(draw), 2), -1.0),
        "passes": np.ones(len(draw)) if passes is None else np.array(passes),
        "points": np.array(points), "batch": np.array(batch), "seed": np.array(seed),
    }  # fmt: skip
    tables.write(Stored({"decoder": decoder, "encoder": encoder}, values).to_arrays(), path)
    return path


def linear(weights: Sequence[Sequence[float]], inputs: int = 1, bias: Sequence[float] = (0.0, 0.0)) -> MLP:
    """Networks without hidden layer, one for each list of weights `[inputs, outputs]`, flattened."""
    weight = torch.tensor(weights, dtype=torch.float64).reshape(len(weights), inputs, -1)
    outputs = weight.shape[2]
    biases = torch.tensor(bias[:outputs], dtype=torch.float64).expand(len(weights), 1, -1)
    return MLP.from_tensors([weight], [biases], "identity")


def marginal(slope: Sequence[float]) -> MultivariateNormal:
    """x = w z + sigma e has p(x) = N(0, w w' + sigma^2 I)."""
    w = torch.tensor(slope, dtype=torch.float64)
    covariance = w[:, None] * w + VARIANCE * torch.eye(2, dtype=torch.float64)
    return MultivariateNormal(torch.zeros_like(w), covariance)
