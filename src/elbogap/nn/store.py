"""Trained networks in one file of named arrays, with what is known of their members."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from elbogap.nn.mlp import MLP
from elbogap.tables import read_arrays


def joined(networks: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of several networks, which have a method `to_arrays`, as `<network>/<array>`."""
    return {
        f"{name}/{key}": value
        for name, network in networks.items()
        for key, value in network.to_arrays().items()
    }


def part(name: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of one of the networks that :func:`joined` joined."""
    prefix = f"{name}/"
    return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}


@dataclass(frozen=True)
class Stored:
    """Networks of the same M members, and values of each `[M, ...]` or of all, named without slashes."""

    networks: Mapping[str, MLP]
    values: Mapping[str, np.ndarray] = field(default_factory=dict)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The values, and the networks' arrays as `<network>/<array>`."""
        return {name: np.asarray(value) for name, value in self.values.items()} | joined(self.networks)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """What :meth:`to_arrays` gave; UserError if an array is missing."""
        names = dict.fromkeys(path.partition("/")[0] for path in arrays if "/" in path)
        networks = {name: MLP.from_arrays(part(name, arrays)) for name in names}
        return cls(networks, {name: value for name, value in arrays.items() if "/" not in name})

    @classmethod
    def load(cls, path: Path) -> Self:
        """What a file holds; UserError if it or an array is missing."""
        return cls.from_arrays(read_arrays(path))

    def member(self, member: int, device: str = "cpu") -> dict[str, MLP]:
        """The networks of one member."""
        return {name: network.select([member]).to(device) for name, network in self.networks.items()}
