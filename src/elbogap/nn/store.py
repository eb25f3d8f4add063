"""Several networks in one file of named arrays."""

from collections.abc import Mapping

import numpy as np

from elbogap.nn.mlp import MLP


def to_arrays(networks: Mapping[str, MLP]) -> dict[str, np.ndarray]:
    """All arrays of all networks, `<network>/<array>`."""
    return {
        f"{name}/{key}": value
        for name, network in networks.items()
        for key, value in network.to_arrays().items()
    }


def from_arrays(arrays: Mapping[str, np.ndarray]) -> dict[str, MLP]:
    """The networks that :func:`to_arrays` stored; arrays without a network's name are ignored.

    Raises:
        UserError: an array is missing.
    """
    parts: dict[str, dict[str, np.ndarray]] = {}
    for path, value in arrays.items():
        name, separator, key = path.partition("/")
        if separator:
            parts.setdefault(name, {})[key] = value
    return {name: MLP.from_arrays(part) for name, part in parts.items()}
