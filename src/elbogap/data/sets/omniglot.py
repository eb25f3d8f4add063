"""OMNIGLOT 28 x 28 of Burda et al., 24,345 / 8,070 drawings; no validation part is defined.

Arrays: `{train,test}` uint8 (n, 784) row-major, value / 255 = Bernoulli mean of ink; `*_label` uint8 alphabet
0..49, `*_char` uint8 character 0..54 inside its alphabet.

Caution: the drawings are SORTED BY ALPHABET; shuffle before splitting.
"""

from pathlib import Path

import numpy as np

from elbogap.data import drawings, formats
from elbogap.data.definition import Arrays, Definition, Parameters, StandIn


def read_mat(path: Path) -> Arrays:
    """From the canonical MATLAB file."""
    stored = formats.mat(path)
    arrays: Arrays = {}
    for split, prefix in (("train", ""), ("test", "test")):
        arrays[split] = formats.upright(np.rint(255 * stored[f"{prefix}data"].T).astype(np.uint8))
        arrays[f"{split}_label"] = stored[f"{prefix}target"].argmax(axis=0).astype(np.uint8)
        arrays[f"{split}_char"] = (stored[f"{prefix}targetchar"].ravel() - 1).astype(np.uint8)
    return arrays


def read_npz(path: Path) -> Arrays:
    """Rebuilt from the drawings, without the 45 test drawings marked as missing from the published 8,070."""
    stored = formats.npz(path)
    arrays: Arrays = {}
    for split in ("train", "test"):
        keep = stored["test_keep_8070"] if split == "test" else slice(None)
        arrays[split] = stored[split][keep]
        arrays[f"{split}_label"] = stored[f"{split}_alphabet"][keep]
        arrays[f"{split}_char"] = stored[f"{split}_char"][keep] - np.uint8(1)
    return arrays


def characters(parameters: Parameters) -> Arrays:
    """The stand-in."""
    arrays = drawings.images(parameters, drawings.glyphs)
    for split in ("train", "test"):
        order = np.argsort(arrays[f"{split}_label"], kind="stable")
        arrays[split], arrays[f"{split}_label"] = arrays[split][order], arrays[f"{split}_label"][order]
        arrays[f"{split}_char"] = arrays[f"{split}_label"].copy()
    return arrays


DEFINITION = Definition(
    "omniglot",
    {"canonical": read_mat, "mirror": read_npz},
    StandIn(
        "Grey drawings of ten glyphs, sorted by glyph; alphabet and character coincide.",
        {"recipe": "characters", "seed": 4, "train": 2000, "test": 500},
        characters,
    ),
)
