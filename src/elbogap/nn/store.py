"""Trained networks in one file of named arrays, with what is known of their members."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np

from elbogap.nn.mlp import MLP
from elbogap.tables import read_arrays


@dataclass(frozen=True)
class Stored:
    """Networks of the same M members, and values of each member `[M, ...]` or of all.

    Attributes:
        networks: by name.
        values: by name, without a slash.
    """

    networks: Mapping[str, MLP]
    values: Mapping[str, np.ndarray] = field(default_factory=dict)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The values, and the networks' arrays as `<network>/<array>`."""
        arrays = {name: np.asarray(value) for name, value in self.values.items()}
        return arrays | {
            f"{name}/{key}": value
            for name, network in self.networks.items()
            for key, value in network.to_arrays().items()
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """What :meth:`to_arrays` gave.

        Raises:
            UserError: an array is missing.
        """
        values: dict[str, np.ndarray] = {}
        parts: dict[str, dict[str, np.ndarray]] = {}
        for path, value in arrays.items():
            name, separator, key = path.partition("/")
            if separator:
                parts.setdefault(name, {})[key] = value
            else:
                values[name] = value
        return cls({name: MLP.from_arrays(part) for name, part in parts.items()}, values)

    @classmethod
    def load(cls, path: Path) -> Self:
        """From a file.

        Raises:
            UserError: the file is missing or holds no networks.
        """
        return cls.from_arrays(read_arrays(path))

    def member(self, member: int, device: str = "cpu") -> dict[str, MLP]:
        """The networks of one member."""
        return {name: network.select([member]).to(device) for name, network in self.networks.items()}
