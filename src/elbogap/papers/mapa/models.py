"""The trained models of one problem and cell of the density grid: one member per data draw and restart."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from elbogap.evaluation.quadrature import Decoder
from elbogap.nn.mlp import MLP
from elbogap.tables import read_arrays

PLAIN = ("draw", "restart", "bound", "passes", "points", "batch", "seed")


@dataclass(frozen=True)
class Models:
    """Members of one cell, ordered by draw, then restart.

    Attributes:
        draw: number of the data set of each member, `[M]`.
        restart: number of the restart of each member, `[M]`.
        decoder: f, from z `[M, ..., 1]` to means `[M, ..., 2]`.
        encoder: of x `[M, ..., 2]`; for VAE and IWAE mean and log-variance of q(z|x) `[M, ..., 2]`, for MAPA
            the code g(x) `[M, ..., 1]`.
        bound: mean of the objective over each recorded stretch of training, `[M, R]`, in nats.
        passes: mean number of distinct points per step on which the decoder was evaluated, over the batch
            size, `[M]`.
        points: size N of each training set.
        batch: observations per step of the training.
        seed: base seed of the data sets.
    """

    draw: np.ndarray
    restart: np.ndarray
    decoder: MLP
    encoder: MLP
    bound: np.ndarray
    passes: np.ndarray
    points: int
    batch: int
    seed: int

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Everything that :meth:`load` needs."""
        arrays = {name: np.asarray(getattr(self, name)) for name in PLAIN}
        for name, network in (("decoder", self.decoder), ("encoder", self.encoder)):
            arrays |= {f"{name}_{key}": value for key, value in network.to_arrays().items()}
        return arrays

    @classmethod
    def load(cls, path: Path) -> "Models":
        """The models that experiment `mapa.train` stored, in float64."""
        arrays = read_arrays(path)
        own: dict[str, Any] = {
            name: arrays[name] if arrays[name].ndim else int(arrays[name]) for name in PLAIN
        }
        return cls(decoder=_network(arrays, "decoder"), encoder=_network(arrays, "encoder"), **own)

    def __len__(self) -> int:
        """The number M of members."""
        return len(self.draw)

    def decode(self, member: int) -> Decoder:
        """One member's f, `[..., 1]` to `[..., 2]`, without gradient."""
        return _function(self.decoder, member)

    def encode(self, member: int) -> Decoder:
        """One member's encoder, `[..., 2]` to `[..., 1]` or `[..., 2]`, without gradient."""
        return _function(self.encoder, member)


def _network(arrays: Mapping[str, np.ndarray], name: str) -> MLP:
    prefix = f"{name}_"
    own = {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
    return MLP.from_arrays(own).double()


def _function(network: MLP, member: int) -> Decoder:
    chosen = network.select([member])

    @torch.no_grad()
    def apply(inputs: Tensor) -> Tensor:
        return chosen(inputs[None])[0]

    return apply
