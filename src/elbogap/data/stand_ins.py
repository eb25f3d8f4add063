"""The stand-ins of data sets: learnable, and the same for the same parameters.

Each has the array names, types and image size of its data set. Those of 28 x 28 images are drawings of ten
glyphs or ten shapes, each under a random affine map.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from elbogap.data.formats import PIXELS, SIDE, SPLITS, Arrays
from elbogap.runtime import numpy_generator

Parameters = Mapping[str, Any]

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


def _images(parameters: Parameters, draw: Callable[..., np.ndarray]) -> Arrays:
    """Grey images of ten classes and their labels, each split from a random stream of its own."""
    arrays: Arrays = {}
    for split in SPLITS:
        if split in parameters:
            random = numpy_generator(parameters["seed"], "stand-in", parameters["recipe"], split)
            label = random.integers(CLASSES, size=(parameters[split],)).astype(np.uint8)
            arrays[split] = np.rint(255 * draw(label, random)).astype(np.uint8)
            arrays[f"{split}_label"] = label
    return arrays


def _ink(label: np.ndarray, random: np.random.Generator, draw: Callable[..., np.ndarray]) -> np.ndarray:
    """Ink (n, 784) in [0, 1], turned by up to 0.25 rad, scaled by 0.85 to 1.2, sheared by up to 0.2."""
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


_glyphs, _shapes = partial(_ink, draw=_glyph), partial(_ink, draw=_shape)


def _textured_shapes(label: np.ndarray, random: np.random.Generator) -> np.ndarray:
    level = random.uniform(0.5, 1, (len(label), 1))
    texture = 1 + 0.15 * random.standard_normal((len(label), PIXELS))
    return np.clip(level * texture, 0, 1) * _shapes(label, random)


def _sorted_by_class(arrays: Arrays, split: str) -> Arrays:
    order = np.argsort(arrays[f"{split}_label"], kind="stable")
    return {name: arrays[name][order] for name in (split, f"{split}_label")}


def bernoulli(parameters: Parameters, grey: Arrays) -> Arrays:
    """A fixed binarisation of grey images: x ~ Bernoulli(g / 255); the test part is sorted by class."""
    arrays = dict(grey)
    for split in SPLITS:
        random = numpy_generator(parameters["seed"], "stand-in", "bernoulli", split)
        mean = grey[split].astype(np.float32) / 255
        arrays[split] = (random.random(mean.shape, dtype=np.float32) < mean).astype(np.uint8)
    return arrays | _sorted_by_class(arrays, "test")


def _characters(parameters: Parameters) -> Arrays:
    arrays = _images(parameters, _glyphs)
    for split in ("train", "test"):
        arrays |= _sorted_by_class(arrays, split)
    return arrays


def _silhouettes(parameters: Parameters) -> Arrays:
    arrays = _images(parameters, _shapes)
    return arrays | {split: (arrays[split] < 128).astype(np.uint8) for split in SPLITS}


def _topics(parameters: Parameters) -> Arrays:
    """Documents of a small vocabulary.

    Topic t ~ Dirichlet(0.02), background ~ Zipf, length ~ 20 + Poisson(80), and
    counts ~ Multinomial(length, 0.6 topic + 0.4 background).
    """
    seed, words, groups = parameters["seed"], parameters["words"], 20
    random = numpy_generator(seed, "stand-in", "topics")
    topic = random.dirichlet(np.full(words, 0.02), size=groups)
    background = 1 / np.arange(1, words + 1)
    mean = 0.6 * topic + 0.4 * background / background.sum()
    arrays: Arrays = {"vocabulary": np.array([f"word{i}" for i in range(words)])}
    for split in ("train", "test"):
        random = numpy_generator(seed, "stand-in", "topics", split)
        label = np.sort(random.integers(groups, size=parameters[split])).astype(np.uint8)
        length = 20 + random.poisson(80, size=len(label))
        arrays[split] = csr_array(random.multinomial(length, mean[label]).astype(np.int32))
        arrays[f"{split}_label"] = label
    return arrays


def _activities(parameters: Parameters) -> Arrays:
    """Features x = tanh(class mean + low-rank noise + noise)."""
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


def draw_faces(seed: int, names: Iterable[str]) -> np.ndarray:
    """A face for each name: an ellipse of skin with hair, eyes and mouth before a background."""
    return np.stack([_face(numpy_generator(seed, "stand-in", "faces", str(name))) for name in names])


def _face(random: np.random.Generator) -> np.ndarray:
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


def _enlarged(parameters: Parameters, grey: Arrays) -> Arrays:
    images = np.concatenate([grey[part] for part in SPLITS])
    test = len(grey["test"])
    return _by_name(len(images) - test, test, partial(_enlarge, images))


def _enlarge(grey: np.ndarray, names: Iterable[str]) -> np.ndarray:
    """Colour images of grey ones `[n, 784]`: a border of 2 pixels, then each pixel four times."""
    rows = [int(name.removesuffix(".jpg")) - 1 for name in names]
    bordered = np.pad(grey[rows].reshape(-1, SIDE, SIDE), ((0, 0), (2, 2), (2, 2)))
    return np.repeat(bordered.repeat(2, 1).repeat(2, 2)[..., None], 3, axis=-1)


def _by_name(train: int, test: int, images: Callable[[Iterable[str]], np.ndarray]) -> Arrays:
    names = np.array([f"{number:06d}.jpg" for number in range(1, train + test + 1)])
    return {"train_name": names[:train], "test_name": names[train:], "images": images}


# The data sets of posteriordb: rows, and each variable from normal numbers (n,) and the rows' own numbers.
_VARIABLES: dict[str, tuple[int, dict[str, Callable[..., np.ndarray]]]] = {
    "earnings": (100, {
        "earn": lambda u, i: np.exp(10 + 0.9 * u),
        "height": lambda u, i: 67 + 4 * u,
        "male": lambda u, i: u > 0,
    }),
    "eight_schools": (8, {"y": lambda u, i: 8 + 10 * u, "sigma": lambda u, i: 10 + np.abs(u)}),
    "gp_pois_regr": (11, {
        "x": lambda u, i: 2 * i - 10,
        "y": lambda u, i: 3 + u,
        "k": lambda u, i: np.rint(20 + 5 * u),
    }),
    "kidiq": (100, {
        "kid_score": lambda u, i: 87 + 20 * u,
        "mom_hs": lambda u, i: u > -0.8,
        "mom_iq": lambda u, i: 100 + 15 * u,
    }),
    "low_dim_gauss_mix": (100, {"y": lambda u, i: 3 * (-1.0) ** i + u}),
    "mesquite": (46, {
        **dict.fromkeys(
            ("canopy_height", "density", "diam1", "diam2", "total_height"), lambda u, i: np.exp(0.4 * u)
        ),
        "group": lambda u, i: u > 0,
        "weight": lambda u, i: np.exp(6 + u),
    }),
    "nes2000": (100, {
        **dict.fromkeys(("educ1", "income", "age_discrete"), lambda u, i: 1 + i % 4),
        **dict.fromkeys(("partyid7", "real_ideo"), lambda u, i: np.clip(np.rint(4 + 2 * u), 1, 7)),
        "gender": lambda u, i: 1 + i % 2,
        "race_adj": lambda u, i: 1 + (u > 1),
        "year": lambda u, i: 2000 + 0 * i,
    }),
}  # fmt: skip
_AROUND = {
    "earnings-logearn_interaction": (8.4, 0.02, -0.05, 0.007, 0.9),
    "eight_schools-eight_schools_noncentered": (6.0, 5.0, 4.0, 5.0, 4.0, 4.0, 6.0, 5.0, 4.5, 3.7),
    "gp_pois_regr-gp_pois_regr": (5.7, 2.9, *[3.0] * 11),
    "kidiq-kidscore_interaction": (-11.0, 50.0, 1.0, -0.5, 18.0),
    "low_dim_gauss_mix-low_dim_gauss_mix": (-2.7, 2.9, 1.0, 1.0, 0.6),
    "mesquite-logmesquite_logvas": (5.4, 0.4, 0.4, -0.4, 0.4, 0.1, -0.6, 0.34),
    "nes2000-nes": (0.8, 0.8, -1.1, -0.5, -0.7, -0.5, 0.2, -0.1, 0.2, 1.8),
}


def _posteriors(parameters: Parameters) -> Arrays:
    """posteriordb's arrays: variables as in its data sets, and parameters times exp(0.1 u)."""
    random = numpy_generator(parameters["seed"], "stand-in", "posteriors")
    arrays: Arrays = {}
    for data, (rows, variables) in _VARIABLES.items():
        for name, made in variables.items():
            values = made(random.standard_normal(rows), np.arange(rows))
            arrays[f"{data}.{name}"] = values.astype(np.float64)
    for posterior, middle in _AROUND.items():
        arrays[posterior] = middle * np.exp(0.1 * random.standard_normal((1000, len(middle))))
    return arrays


RECIPES: dict[str, Callable[..., Arrays]] = {
    "strokes": partial(_images, draw=_glyphs),
    "binary strokes": lambda parameters: bernoulli(parameters, _images(parameters, _glyphs)),
    "bernoulli of mnist": bernoulli,
    "shapes": partial(_images, draw=_textured_shapes),
    "characters": _characters,
    "silhouettes": _silhouettes,
    "topics": _topics,
    "activities": _activities,
    "faces": lambda sizes: _by_name(sizes["train"], sizes["test"], partial(draw_faces, sizes["seed"])),
    "enlarged fashion mnist": _enlarged,
    "posteriors": _posteriors,
    "random features": lambda parameters: {},  # drawn by their user
}
"""By recipe: from parameters, and the arrays of the donor if there is one, to arrays."""
