"""Caltech-101 Silhouettes, split 1, 4,100 / 2,264 / 2,307 images of 28 x 28 pixels.

Arrays: `{train,valid,test}` uint8 (n, 784) in {0, 1}, row-major, upright; `*_label` uint8 0..100.

Caution: 1 is the BACKGROUND, as in the file; most papers use 1 - x.
"""

from pathlib import Path

import numpy as np

from elbogap.data import drawings, formats
from elbogap.data.definition import Arrays, Definition, Parameters, StandIn

PREFIXES = {"train": "train", "valid": "val", "test": "test"}


def read_mat(path: Path) -> Arrays:
    """From the canonical MATLAB file."""
    stored = formats.mat(path)
    arrays: Arrays = {}
    for split, prefix in PREFIXES.items():
        arrays[split] = formats.upright(stored[f"{prefix}_data"].astype(np.uint8))
        arrays[f"{split}_label"] = (stored[f"{prefix}_labels"].ravel() - 1).astype(np.uint8)
    return arrays


def read_bits(path: Path) -> Arrays:
    """From packed bits."""
    stored = formats.npz(path)
    arrays: Arrays = {}
    for split, prefix in PREFIXES.items():
        arrays[split] = formats.bits(stored[f"{prefix}_bits"])
        arrays[f"{split}_label"] = stored[f"{prefix}_labels"] - np.uint8(1)
    return arrays


def silhouettes(parameters: Parameters) -> Arrays:
    """The stand-in."""
    arrays = drawings.images(parameters, drawings.shapes)
    return {
        name: value if "label" in name else (value < 128).astype(np.uint8) for name, value in arrays.items()
    }


DEFINITION = Definition(
    "caltech_silhouettes",
    {"canonical": read_mat, "mirror": read_bits},
    StandIn(
        "Binary filled shapes of ten kinds, 1 = background as in the real file.",
        {"recipe": "silhouettes", "seed": 5, "train": 2000, "valid": 500, "test": 500},
        silhouettes,
    ),
)
