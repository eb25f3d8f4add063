"""The trained models of one data set and cell of document air."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elbogap.nn.mlp import MLP
from elbogap.tables import read_arrays

PLAIN = ("method", "alpha", "strength", "seed", "kept_step")
NETWORKS = ("encoder", "decoder")


@dataclass(frozen=True)
class Models:
    """Members ordered by method, seed, then strength.

    Attributes:
        method: name of the method of each member, `[M]`.
        alpha: share of the denoising regulariser, `[M]`.
        strength: sigma or H, `[M]`.
        seed: number of the repetition, `[M]`.
        kept_step: the training step whose networks these are, `[M]`; -1 where no measurement was finite.
        encoder: of images, mean and log-variance of q(z|x).
        decoder: of z, the pixels' logits.
    """

    method: np.ndarray
    alpha: np.ndarray
    strength: np.ndarray
    seed: np.ndarray
    kept_step: np.ndarray
    encoder: MLP
    decoder: MLP

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Everything that :meth:`load` needs."""
        arrays = {name: np.asarray(getattr(self, name)) for name in PLAIN}
        for name in NETWORKS:
            own = getattr(self, name).to_arrays()
            arrays |= {f"{name}_{key}": value for key, value in own.items()}
        return arrays

    @classmethod
    def load(cls, path: Path) -> "Models":
        """The models that experiment `air.train` stored."""
        arrays = read_arrays(path)
        own: dict[str, Any] = {name: arrays[name] for name in PLAIN}
        own |= {name: MLP.from_arrays(_part(arrays, name)) for name in NETWORKS}
        return cls(**own)

    def __len__(self) -> int:
        """The number M of members."""
        return len(self.method)

    def key(self, member: int) -> dict[str, Any]:
        """Key columns `method`, `alpha`, `strength`, `seed` of one member."""
        return {name: getattr(self, name)[member].item() for name in PLAIN[:4]}

    def networks(self, member: int, device: str) -> dict[str, MLP]:
        """One member's encoder and decoder."""
        return {name: getattr(self, name).select([member]).to(device) for name in NETWORKS}


def _part(arrays: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    prefix = f"{name}_"
    return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
