"""Drawings of ten glyphs and ten shapes, each under a random affine map: what image stand-ins are made of."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from elbogap.data.definition import Arrays, Parameters
from elbogap.data.formats import PIXELS, SIDE
from elbogap.runtime import numpy_generator

CLASSES = 10

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

# Each shape: lobes m, their depth a, and aspect of the outline r = 0.36 (1 + a cos(m angle)).
_SHAPES = (
    (0, 0.0, 1.0), (0, 0.0, 0.45), (3, 0.35, 1.0), (4, 0.35, 1.0), (5, 0.4, 1.0),
    (2, 0.5, 1.0), (6, 0.35, 0.8), (3, 0.35, 0.5), (2, -0.5, 0.9), (1, 0.6, 1.0),
)  # fmt: skip


def images(parameters: Parameters, draw: Callable[[np.ndarray, np.random.Generator], np.ndarray]) -> Arrays:
    """Images of ten classes, each split from a random stream of its own.

    `{split}` uint8 (n, 784) in 0..255, `{split}_label` uint8 0..9, for the splits in the parameters.
    """
    arrays: Arrays = {}
    for split in ("train", "valid", "test"):
        if split in parameters:
            random = numpy_generator(parameters["seed"], "stand-in", parameters["recipe"], split)
            label = random.integers(CLASSES, size=(parameters[split],)).astype(np.uint8)
            arrays[split] = np.rint(255 * draw(label, random)).astype(np.uint8)
            arrays[f"{split}_label"] = label
    return arrays


def glyphs(label: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Ink (n, 784) in [0, 1] of the labels' glyphs."""
    return _ink(label, random, _glyph)


def shapes(label: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Ink (n, 784) in [0, 1] of the labels' filled shapes."""
    return _ink(label, random, _shape)


def _ink(
    label: np.ndarray, random: np.random.Generator, draw: Callable[[int, np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    """The map acts on the pixels: it turns by up to 0.25 rad, scales by 0.85 to 1.2, shears by up to 0.2."""
    n = len(label)
    turn, shear = random.uniform(-0.25, 0.25, n)[:, None], random.uniform(-0.2, 0.2, n)[:, None]
    scale = SIDE / 20 / random.uniform(0.85, 1.2, (n, 2))
    centre = 0.5 + random.uniform(-0.07, 0.07, (n, 2))
    width = random.uniform(0.05, 0.09, n)
    y, x = (np.mgrid[:SIDE, :SIDE].reshape(2, -1) + 0.5) / SIDE
    x, y = x - centre[:, :1], y - centre[:, 1:]
    x, y = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    points = np.stack([scale[:, :1] * (x + shear * y), scale[:, 1:] * y], -1) + 0.5
    ink = np.empty((n, PIXELS))
    for kind in range(CLASSES):
        chosen = label == kind
        ink[chosen] = draw(kind, points[chosen], width[chosen, None])
    return ink


def _glyph(kind: int, points: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Ink that falls off with the distance of points (..., 2) to the nearest stroke."""
    nearest = np.full(points.shape[:-1], np.inf)
    for line in map(np.array, _GLYPHS[kind]):
        for start, end in pairwise(line):
            direction = end - start
            along = np.clip((points - start) @ direction / (direction @ direction), 0, 1)
            offset = points - start - along[..., None] * direction
            nearest = np.minimum(nearest, np.linalg.norm(offset, axis=-1))
    return np.clip(1.5 - nearest / width, 0, 1)


def _shape(kind: int, points: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Ink inside of the outline, of points (..., 2)."""
    lobes, depth, aspect = _SHAPES[kind]
    x, y = (points[..., 0] - 0.5) / aspect, points[..., 1] - 0.5
    outline = 0.36 * (1 + depth * np.cos(lobes * np.arctan2(y, x)))
    return np.clip((outline - np.hypot(x, y)) / (0.5 * width) + 0.5, 0, 1)
