"""MNIST, its fixed binarisation and Fashion-MNIST: 28 x 28 images of ten classes, 50,000 / 10,000 / 10,000.

Arrays: `{train,valid,test}` uint8 (n, 784) row-major, grey levels 0..255 or bits; `*_label` uint8 0..9. The
validation part is the last 10,000 of the 60,000 training images.

Caution: the test part of the fixed binarisation is SORTED BY CLASS: its first rows are of one class, so
evaluate on all of it or on a random choice. Its canonical files have no labels; those of the re-packed file
are inferred from the grey images.
"""

from pathlib import Path

import numpy as np

from elbogap.data import drawings, formats
from elbogap.data.definition import Arrays, Definition, Parameters, StandIn
from elbogap.data.formats import PIXELS
from elbogap.runtime import numpy_generator

SPLITS = ("train", "valid", "test")
SIZES = {"train": 2000, "valid": 500, "test": 500}


def read_idx(train: Path, train_label: Path, test: Path, test_label: Path) -> Arrays:
    """Either grey set from IDX files."""
    images, labels = formats.idx(train)["values"], formats.idx(train_label)["values"]
    return {
        "train": images[:50000],
        "train_label": labels[:50000],
        "valid": images[50000:],
        "valid_label": labels[50000:],
        "test": formats.idx(test)["values"],
        "test_label": formats.idx(test_label)["values"],
    }


def read_amat(train: Path, valid: Path, test: Path) -> Arrays:
    """The fixed binarisation from text; no labels."""
    files = {"train": train, "valid": valid, "test": test}
    return {split: formats.amat(path)["bits"] for split, path in files.items()}


def read_bits(path: Path) -> Arrays:
    """The fixed binarisation from packed bits."""
    stored = formats.npz(path)
    return {split: formats.bits(stored[f"{split}_bits"]) for split in SPLITS} | {
        f"{split}_label": stored[f"{split}_label_inferred"] for split in SPLITS
    }


def glyphs(parameters: Parameters) -> Arrays:
    """The stand-in of MNIST."""
    return drawings.images(parameters, drawings.glyphs)


def bernoulli(parameters: Parameters, grey: Arrays) -> Arrays:
    """A fixed binarisation of grey images: x ~ Bernoulli(g / 255); the test part is sorted by class."""
    arrays = dict(grey)
    for split in SPLITS:
        random = numpy_generator(parameters["seed"], "stand-in", "bernoulli", split)
        mean = grey[split].astype(np.float32) / 255
        arrays[split] = (random.random(mean.shape, dtype=np.float32) < mean).astype(np.uint8)
    order = np.argsort(arrays["test_label"], kind="stable")
    return arrays | {name: arrays[name][order] for name in ("test", "test_label")}


def textured_shapes(parameters: Parameters) -> Arrays:
    """The stand-in of Fashion-MNIST."""

    def draw(label: np.ndarray, random: np.random.Generator) -> np.ndarray:
        level = random.uniform(0.5, 1, (len(label), 1))
        texture = 1 + 0.15 * random.standard_normal((len(label), PIXELS))
        return np.clip(level * texture, 0, 1) * drawings.shapes(label, random)

    return drawings.images(parameters, draw)


MNIST = Definition(
    "mnist",
    {"canonical": read_idx, "pickle": formats.mnist_pickle},
    StandIn(
        "Grey drawings of ten glyphs, each turned, scaled and sheared at random.",
        {"recipe": "strokes", "seed": 1, **SIZES},
        glyphs,
    ),
)
BINARIZED_MNIST = Definition(
    "binarized_mnist",
    {"canonical": read_amat, "mirror": read_bits},
    StandIn(
        "One fixed Bernoulli draw of grey drawings of ten glyphs; the test part is sorted by class.",
        {"recipe": "binary strokes", "seed": 2, **SIZES},
        lambda parameters: bernoulli(parameters, glyphs(parameters)),
    ),
    derived=StandIn(
        "One fixed Bernoulli draw from the real grey MNIST images: other pixels than the published "
        "binarisation, so numbers near the documents' but not comparable digit for digit.",
        {"recipe": "bernoulli of mnist", "seed": 2},
        bernoulli,
        donor="mnist",
    ),
)
FASHION_MNIST = Definition(
    "fashion_mnist",
    {"canonical": read_idx},
    StandIn(
        "Grey filled shapes of ten kinds, each with its own grey level and texture.",
        {"recipe": "shapes", "seed": 3, **SIZES},
        textured_shapes,
    ),
)
