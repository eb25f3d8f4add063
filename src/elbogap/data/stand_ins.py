"""Declared synthetic stand-ins: small, learnable, and the same for the same parameters.

A stand-in has the array names, types and image size of the data set it stands for, and ten classes that a
classifier or an autoencoder can tell apart, but it is no data: everything made from it is marked.
The parameters are part of the data record, so a stand-in can be made again anywhere.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from elbogap.runtime import numpy_generator

SIDE = 28
PIXELS = SIDE * SIDE
CLASSES = 10

Arrays = dict[str, Any]
Parameters = Mapping[str, Any]

BERNOULLI_OF_MNIST = "bernoulli of mnist"

SMALL = {"train": 2000, "valid": 500, "test": 500}

PARAMETERS: dict[str, dict[str, Any]] = {
    "mnist": {"recipe": "strokes", "seed": 1, **SMALL},
    "binarized_mnist": {"recipe": "binary strokes", "seed": 2, **SMALL},
}
"""What the stand-in of each data set is made with."""

# Each glyph: strokes, each a polyline through points (x, y) of the unit square, y downwards.
_RING = [(0.5 + 0.32 * np.cos(a), 0.5 + 0.42 * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 13)]
_GLYPHS: tuple[tuple[list[tuple[float, float]], ...], ...] = (
    (_RING,),
    ([(0.5, 0.08), (0.5, 0.92)],),
    ([(0.15, 0.1), (0.85, 0.1), (0.15, 0.9), (0.85, 0.9)],),
    ([(0.15, 0.1), (0.8, 0.1), (0.8, 0.9), (0.15, 0.9)], [(0.25, 0.5), (0.8, 0.5)]),
    ([(0.25, 0.08), (0.2, 0.55), (0.85, 0.55)], [(0.7, 0.1), (0.7, 0.92)]),
    ([(0.85, 0.1), (0.2, 0.1), (0.2, 0.5), (0.8, 0.5), (0.8, 0.9), (0.15, 0.9)],),
    ([(0.5, 0.08), (0.12, 0.9), (0.88, 0.9), (0.5, 0.08)],),
    ([(0.12, 0.12), (0.88, 0.12), (0.4, 0.92)],),
    ([(0.12, 0.1), (0.88, 0.9)], [(0.88, 0.1), (0.12, 0.9)]),
    ([(0.5, 0.08), (0.5, 0.92)], [(0.1, 0.5), (0.9, 0.5)]),
)


def strokes(parameters: Parameters) -> Arrays:
    """Grey drawings of ten glyphs under random affine maps: `{split}` uint8 (n, 784), `{split}_label` uint8."""
    arrays: Arrays = {}
    for split in ("train", "valid", "test"):
        if split in parameters:
            random = numpy_generator(parameters["seed"], "stand-in", parameters["recipe"], split)
            label = random.integers(CLASSES, size=parameters[split]).astype(np.uint8)
            arrays[split] = _quantise(_draw(label, random))
            arrays[f"{split}_label"] = label
    return arrays


def binary_strokes(parameters: Parameters) -> Arrays:
    """One fixed Bernoulli draw of :func:`strokes`, pixels in {0, 1}; the test part is sorted by class."""
    return bernoulli(strokes(parameters), parameters["seed"])


def bernoulli(grey: Arrays, seed: int) -> Arrays:
    """A fixed binarisation of grey images: x ~ Bernoulli(g / 255), the test part sorted by class.

    The sorting repeats a trap of the real fixed-binarised MNIST: its first test rows are of one class.
    """
    arrays = dict(grey)
    for split in ("train", "valid", "test"):
        random = numpy_generator(seed, "stand-in", "bernoulli", split)
        mean = grey[split].astype(np.float32) / 255
        arrays[split] = (random.random(mean.shape, dtype=np.float32) < mean).astype(np.uint8)
    order = np.argsort(arrays["test_label"], kind="stable")
    return arrays | {name: arrays[name][order] for name in ("test", "test_label")}


RECIPES = {
    "strokes": strokes,
    "binary strokes": binary_strokes,
}


def describe(name: str) -> str:
    """One sentence on the stand-in of a data set."""
    doc = RECIPES[PARAMETERS[name]["recipe"]].__doc__ or ""
    return f"STAND-IN, synthetic: {doc.splitlines()[0]}"


def make(parameters: Parameters) -> Arrays:
    """The arrays of a stand-in with these parameters."""
    return RECIPES[parameters["recipe"]](parameters)


def _draw(label: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Images (n, 784) in [0, 1]: ink falls off with the distance to the nearest stroke of the glyph.

    The pixels, not the strokes, go through the random affine map: x' = A (x - c) + 1/2, where A turns by up
    to 0.25 rad, scales by 0.85 to 1.2 and shears by up to 0.2.
    """
    n = len(label)
    turn, shear = random.uniform(-0.25, 0.25, n), random.uniform(-0.2, 0.2, n)
    scale = 28 / 20 / random.uniform(0.85, 1.2, (n, 2))
    centre = 0.5 + random.uniform(-0.07, 0.07, (n, 2))
    width = random.uniform(0.05, 0.09, n)
    grid = (
        np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="xy"), -1).reshape(-1, 2) + 0.5
    ) / SIDE
    offset = grid[None] - centre[:, None]
    x = np.cos(turn)[:, None] * offset[..., 0] + np.sin(turn)[:, None] * offset[..., 1]
    y = np.cos(turn)[:, None] * offset[..., 1] - np.sin(turn)[:, None] * offset[..., 0]
    points = np.stack([scale[:, :1] * (x + shear[:, None] * y), scale[:, 1:] * y], -1) + 0.5
    images = np.empty((n, PIXELS))
    for glyph in range(CLASSES):
        chosen = label == glyph
        distance = _distance(points[chosen], _GLYPHS[glyph])
        images[chosen] = np.clip(1.5 - distance / width[chosen, None], 0, 1)
    return images


def _distance(points: np.ndarray, lines: tuple[list[tuple[float, float]], ...]) -> np.ndarray:
    """Distance of points (..., 2) to the nearest of several polylines."""
    nearest = np.full(points.shape[:-1], np.inf)
    for line in lines:
        for start, end in zip(np.array(line)[:-1], np.array(line)[1:], strict=True):
            direction = end - start
            along = np.clip((points - start) @ direction / (direction @ direction), 0, 1)
            nearest = np.minimum(
                nearest, np.linalg.norm(points - start - along[..., None] * direction, axis=-1)
            )
    return nearest


def _quantise(images: np.ndarray) -> np.ndarray:
    return np.rint(255 * images).astype(np.uint8)
