"""Declared synthetic stand-ins: small, learnable, and the same for the same parameters.

A stand-in has the array names, types and image size of the data set it stands for, and ten classes that a
classifier or an autoencoder can tell apart, but it is no data: everything made from it is marked.
The parameters are part of the data record, so a stand-in can be made again anywhere.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from elbogap import digest
from elbogap.data.trust import DERIVED, SYNTHETIC
from elbogap.runtime import numpy_generator

SIDE = 28
PIXELS = SIDE * SIDE
CLASSES = 10

Arrays = dict[str, Any]
Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class Donor:
    """Another data set, real, that a stand-in is derived from where it can be had.

    Attributes:
        name: of the donor.
        parameters: what the stand-in is made with.
        note: what it is.
    """

    name: str
    parameters: dict[str, Any]
    note: str


BERNOULLI_OF_MNIST, ENLARGED_FASHION = "bernoulli of mnist", "enlarged fashion mnist"

DONORS: Mapping[str, Donor] = {
    "binarized_mnist": Donor(
        "mnist",
        {"recipe": BERNOULLI_OF_MNIST, "seed": 2},
        "One fixed Bernoulli draw from the real grey MNIST images: other pixels than the published "
        "binarisation, so numbers near the documents' but not comparable digit for digit.",
    ),
    "celeba": Donor(
        "fashion_mnist",
        {"recipe": ENLARGED_FASHION},
        "Grey Fashion-MNIST images, enlarged to 64 x 64: no faces, so that no number compares with the "
        "documents'.",
    ),
}
"""Data sets whose stand-in is better than a synthetic one where the donor is there."""

LARGEST = 100_000
"""Of the numbers that a record may ask a stand-in to be made with."""

SMALL = {"train": 2000, "valid": 500, "test": 500}

PARAMETERS: dict[str, dict[str, Any]] = {
    "mnist": {"recipe": "strokes", "seed": 1, **SMALL},
    "binarized_mnist": {"recipe": "binary strokes", "seed": 2, **SMALL},
    "fashion_mnist": {"recipe": "shapes", "seed": 3, **SMALL},
    "omniglot": {"recipe": "characters", "seed": 4, "train": 2000, "test": 500},
    "caltech_silhouettes": {"recipe": "silhouettes", "seed": 5, **SMALL},
    "newsgroups": {"recipe": "topics", "seed": 6, "train": 1000, "test": 500, "words": 2000},
    "hapt": {"recipe": "activities", "seed": 7, "train": 2000, "test": 500},
    "celeba": {"recipe": "faces", "seed": 8, "train": 1000, "test": 200},
    "fid_inception": {"recipe": "random features", "seed": 9},
}
"""What the stand-in of each data set is made with."""

_OUTLINES = (
    (0, 0.0, 1.0),
    (0, 0.0, 0.45),
    (3, 0.35, 1.0),
    (4, 0.35, 1.0),
    (5, 0.4, 1.0),
    (2, 0.5, 1.0),
    (6, 0.35, 0.8),
    (3, 0.35, 0.5),
    (2, -0.5, 0.9),
    (1, 0.6, 1.0),
)

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
    """Grey drawings of ten glyphs, each turned, scaled and sheared at random.

    `{split}` uint8 (n, 784) in 0..255, `{split}_label` uint8 0..9.
    """
    return _images(parameters, lambda label, random: _ink(label, random, _strokes_of))


def binary_strokes(parameters: Parameters) -> Arrays:
    """One fixed Bernoulli draw of grey drawings of ten glyphs; the test part is sorted by class.

    Arrays as :func:`strokes`, pixels in {0, 1}.
    """
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


def shapes(parameters: Parameters) -> Arrays:
    """Grey filled shapes of ten kinds, each with its own grey level and texture.

    Arrays as :func:`strokes`.
    """

    def draw(label: np.ndarray, random: np.random.Generator) -> np.ndarray:
        level = random.uniform(0.5, 1, (len(label), 1))
        texture = 1 + 0.15 * random.standard_normal((len(label), PIXELS))
        return np.clip(level * texture, 0, 1) * _ink(label, random, _filled)

    return _images(parameters, draw)


def silhouettes(parameters: Parameters) -> Arrays:
    """Binary filled shapes of ten kinds, 1 = background as in the real file.

    Arrays as :func:`strokes`.
    """
    arrays = _images(parameters, lambda label, random: _ink(label, random, _filled))
    return {
        name: value if "label" in name else (value < 128).astype(np.uint8) for name, value in arrays.items()
    }


def characters(parameters: Parameters) -> Arrays:
    """Grey drawings of ten glyphs, sorted by glyph; alphabet and character coincide."""
    arrays = strokes(parameters)
    for split in ("train", "test"):
        order = np.argsort(arrays[f"{split}_label"], kind="stable")
        arrays[split], arrays[f"{split}_label"] = arrays[split][order], arrays[f"{split}_label"][order]
        arrays[f"{split}_char"] = arrays[f"{split}_label"].copy()
    return arrays


def topics(parameters: Parameters) -> Arrays:
    """Documents of a topic model with twenty topics: a document's words come from its topic or a background.

    Topic t ~ Dirichlet(0.02), background ~ Zipf, length ~ 20 + Poisson(80), and
    counts ~ Multinomial(length, 0.6 topic + 0.4 background). Arrays of 20 Newsgroups, with fewer words.
    """
    seed, words, groups = parameters["seed"], parameters["words"], 20
    random = numpy_generator(seed, "stand-in", "topics")
    topic = random.dirichlet(np.full(words, 0.02), size=groups)
    background = 1 / np.arange(1, words + 1)
    mean = 0.6 * topic + 0.4 * background / background.sum()
    arrays: Arrays = {
        "vocabulary": np.array([f"word{i}" for i in range(words)]),
        "groups": np.array([f"group{i}" for i in range(groups)]),
    }
    for split in ("train", "test"):
        random = numpy_generator(seed, "stand-in", "topics", split)
        label = np.sort(random.integers(groups, size=parameters[split])).astype(np.uint8)
        length = 20 + random.poisson(80, size=len(label))
        arrays[split] = csr_array(random.multinomial(length, mean[label]).astype(np.int32))
        arrays[f"{split}_label"] = label
    return arrays


def activities(parameters: Parameters) -> Arrays:
    """Twelve classes of 561 features in [-1, 1]: x = tanh(class mean + low-rank noise + noise)."""
    seed, classes, features, rank = parameters["seed"], 12, 561, 20
    random = numpy_generator(seed, "stand-in", "activities")
    mean = 0.35 * random.standard_normal((classes, features))
    loading = random.standard_normal((rank, features)) / np.sqrt(rank)
    arrays: Arrays = {}
    for split in ("train", "test"):
        random = numpy_generator(seed, "stand-in", "activities", split)
        label = random.integers(classes, size=(parameters[split],)).astype(np.uint8)
        shared = random.standard_normal((len(label), rank)) @ loading
        own = 0.3 * random.standard_normal((len(label), features))
        arrays[split] = np.tanh(mean[label] + shared + own).astype(np.float32)
        arrays[f"{split}_label"] = label
        arrays[f"{split}_subject"] = random.integers(1, 31, size=len(label)).astype(np.uint8)
    return arrays


def faces(parameters: Parameters) -> Arrays:
    """Names of drawn faces: skin, hair, eyes, mouth and background of random colours.

    `{train,test}_name`; :class:`Faces` draws them.
    """
    train, test = parameters["train"], parameters["test"]
    names = np.array([f"{number:06d}.jpg" for number in range(1, train + test + 1)])
    return {"train_name": names[:train], "test_name": names[train:]}


@dataclass(frozen=True)
class Faces:
    """Draws the faces of the CelebA stand-in by name."""

    seed: int

    def __call__(self, names: Iterable[str]) -> np.ndarray:
        """Images uint8 (n, 64, 64, 3) of these names, 0..255, RGB."""
        return np.stack([self._draw(str(name)) for name in names])

    def _draw(self, name: str) -> np.ndarray:
        random = numpy_generator(self.seed, "stand-in", "faces", name)
        y, x = np.mgrid[-1:1:64j, -1:1:64j]
        x = x - random.uniform(-0.1, 0.1)
        skin = np.array([0.9, 0.7, 0.55]) * random.uniform(0.5, 1)
        hair, mouth = random.uniform(0, 0.6, 3), np.array([0.75, 0.2, 0.25])
        wide, smile = random.uniform(0.45, 0.6), random.uniform(-0.3, 0.5)
        image = np.ones((64, 64, 1)) * random.uniform(0.2, 1, 3) * (1 - 0.2 * y[..., None])
        parts = (
            (x**2 / (wide + 0.12) ** 2 + (y + 0.15) ** 2 / 0.75**2, hair),
            (x**2 / wide**2 + (y - 0.05) ** 2 / 0.68**2, skin),
            (((np.abs(x) - 0.22) ** 2 + (y + 0.12) ** 2) / 0.08**2, np.array([0.1, 0.1, 0.15])),
            (x**2 / 0.25**2 + (y - 0.4 + smile * (x**2 - 0.03)) ** 2 / 0.06**2, mouth),
        )
        for level, colour in parts:
            cover = np.clip((1.05 - level) / 0.1, 0, 1)[..., None]
            image = (1 - cover) * image + cover * colour
        image += 0.02 * random.standard_normal(image.shape)
        return np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)


def enlarged(grey: Arrays) -> tuple[Arrays, "Enlarged"]:
    """28 x 28 grey images as stand-ins of CelebA: names of both parts, and what reads the images by name."""
    images = np.concatenate([grey[part] for part in ("train", "valid", "test")])
    names = np.array([f"{number:06d}.jpg" for number in range(1, len(images) + 1)])
    test = len(grey["test"])
    return {"train_name": names[:-test], "test_name": names[-test:]}, Enlarged(images)


@dataclass(frozen=True)
class Enlarged:
    """Grey images `[n, 784]` as 64 x 64 colour images: a border of 2 pixels, then each pixel four times."""

    grey: np.ndarray

    def __call__(self, names: Iterable[str]) -> np.ndarray:
        """Images uint8 (n, 64, 64, 3) of these names, 0..255."""
        rows = [int(name.removesuffix(".jpg")) - 1 for name in names]
        bordered = np.pad(self.grey[rows].reshape(-1, SIDE, SIDE), ((0, 0), (2, 2), (2, 2)))
        return np.repeat(bordered.repeat(2, 1).repeat(2, 2)[..., None], 3, axis=-1)


def random_features(parameters: Parameters) -> Arrays:
    """A few features of a small random network, drawn by its user from the seed in the record; no arrays."""
    return {}


RECIPES: Mapping[str, Callable[[Parameters], Arrays]] = {
    "strokes": strokes,
    "binary strokes": binary_strokes,
    "shapes": shapes,
    "characters": characters,
    "silhouettes": silhouettes,
    "topics": topics,
    "activities": activities,
    "faces": faces,
    "random features": random_features,
}


def describe(name: str) -> str:
    """One sentence on the stand-in of a data set."""
    recipe = RECIPES[PARAMETERS[name]["recipe"]]
    return f"STAND-IN, synthetic: {digest.summary(__name__, recipe.__name__)}"


def known(dataset: str, variant: str, parameters: Parameters) -> bool:
    """Whether a data set has such a stand-in: its own recipe, at whatever seed and moderate sizes."""
    donor, ours = DONORS.get(dataset), PARAMETERS[dataset]
    if donor is not None and variant == f"{DERIVED}{donor.name}":
        return parameters == {**donor.parameters, "variant": parameters.get("variant")}
    numbers = [value for name, value in parameters.items() if name != "recipe"]
    return (
        variant == SYNTHETIC
        and set(parameters) == set(ours)
        and parameters["recipe"] == ours["recipe"]
        and all(isinstance(number, int) and 0 < number <= LARGEST for number in numbers)
    )


def make(parameters: Parameters) -> Arrays:
    """The arrays of a stand-in with these parameters."""
    return RECIPES[parameters["recipe"]](parameters)


def _images(parameters: Parameters, draw: Callable[[np.ndarray, np.random.Generator], np.ndarray]) -> Arrays:
    """Images of ten classes, drawn split by split from streams of their own."""
    arrays: Arrays = {}
    for split in ("train", "valid", "test"):
        if split in parameters:
            random = numpy_generator(parameters["seed"], "stand-in", parameters["recipe"], split)
            label = random.integers(CLASSES, size=(parameters[split],)).astype(np.uint8)
            arrays[split] = np.rint(255 * draw(label, random)).astype(np.uint8)
            arrays[f"{split}_label"] = label
    return arrays


def _ink(
    label: np.ndarray, random: np.random.Generator, shape: Callable[[int, np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    """Images (n, 784) in [0, 1] of each label's shape under a random affine map.

    The map acts on the pixels: it turns by up to 0.25 rad, scales by 0.85 to 1.2 and shears by up to 0.2.
    """
    n = len(label)
    turn, shear = random.uniform(-0.25, 0.25, n)[:, None], random.uniform(-0.2, 0.2, n)[:, None]
    scale = SIDE / 20 / random.uniform(0.85, 1.2, (n, 2))
    centre = 0.5 + random.uniform(-0.07, 0.07, (n, 2))
    width = random.uniform(0.05, 0.09, n)
    y, x = (np.mgrid[:SIDE, :SIDE].reshape(2, -1) + 0.5) / SIDE
    x, y = x - centre[:, :1], y - centre[:, 1:]
    x, y = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    points = np.stack([scale[:, :1] * (x + shear * y), scale[:, 1:] * y], -1) + 0.5
    images = np.empty((n, PIXELS))
    for kind in range(CLASSES):
        chosen = label == kind
        images[chosen] = shape(kind, points[chosen], width[chosen, None])
    return images


def _strokes_of(kind: int, points: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Ink that falls off with the distance of points (..., 2) to the nearest stroke of a glyph."""
    nearest = np.full(points.shape[:-1], np.inf)
    for line in map(np.array, _GLYPHS[kind]):
        for start, end in pairwise(line):
            direction = end - start
            along = np.clip((points - start) @ direction / (direction @ direction), 0, 1)
            offset = points - start - along[..., None] * direction
            nearest = np.minimum(nearest, np.linalg.norm(offset, axis=-1))
    return np.clip(1.5 - nearest / width, 0, 1)


def _filled(kind: int, points: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Inside of r = 0.36 (1 + a cos(m angle)), stretched by an aspect; (m, a, aspect) name the kind."""
    lobes, depth, aspect = _OUTLINES[kind]
    x, y = (points[..., 0] - 0.5) / aspect, points[..., 1] - 0.5
    outline = 0.36 * (1 + depth * np.cos(lobes * np.arctan2(y, x)))
    return np.clip((outline - np.hypot(x, y)) / (0.5 * width) + 0.5, 0, 1)
