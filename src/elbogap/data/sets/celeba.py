"""CelebA, aligned, 64 x 64: images are read by name, as there are too many for one array.

Arrays: `{train,valid,test}_name`, of the official split 162,770 / 19,867 / 19,962, or `{train,test}_name`, of
the first 9,000 images and the 1,000 held out; `images`, a function from names to images uint8 (n, 64, 64, 3),
0..255, RGB.
"""

import io
import zipfile
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from elbogap.data.definition import Arrays, Definition, Parameters, StandIn
from elbogap.data.formats import SIDE
from elbogap.runtime import numpy_generator
from elbogap.untrusted import parsing

Names = Iterable[str]


def read(path: Path, *, whole: bool) -> Arrays:
    """From an archive of all images or of the first 10,000."""
    with parsing("a zip archive"), zipfile.ZipFile(path) as archive:
        names = np.array(sorted(Path(name).name for name in archive.namelist() if name.endswith(".jpg")))
    if whole:
        splits = {"train": slice(0, 162770), "valid": slice(162770, 182637), "test": slice(182637, None)}
    else:
        splits = {"train": slice(0, 9000), "test": slice(9000, None)}
    arrays: Arrays = {f"{split}_name": names[rows] for split, rows in splits.items()}
    return arrays | {"images": partial(_decoded, path, whole)}


def _decoded(path: Path, whole: bool, names: Names) -> np.ndarray:
    """Images of the archive: the aligned 178 x 218 ones of the whole set, or ones of 64 x 64.

    The former are cropped to the central 148 x 148 and scaled (bicubic).
    """

    def decode(content: bytes) -> np.ndarray:
        image = Image.open(io.BytesIO(content)).convert("RGB")
        if whole:
            image = image.crop((15, 35, 163, 183)).resize((64, 64), Image.Resampling.BICUBIC)
        return np.asarray(image)

    folder = "img_align_celeba/" if whole else ""
    with zipfile.ZipFile(path) as archive:
        return np.stack([decode(archive.read(f"{folder}{name}")) for name in names])


def faces(parameters: Parameters) -> Arrays:
    """The synthetic stand-in."""
    return _numbered(parameters["train"], parameters["test"]) | {"images": partial(drawn, parameters["seed"])}


def drawn(seed: int, names: Names) -> np.ndarray:
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


def enlarged(parameters: Parameters, grey: Arrays) -> Arrays:
    """The stand-in that is derived from grey 28 x 28 images."""
    images = np.concatenate([grey[part] for part in ("train", "valid", "test")])
    test = len(grey["test"])
    return _numbered(len(images) - test, test) | {"images": partial(_enlarge, images)}


def _enlarge(grey: np.ndarray, names: Names) -> np.ndarray:
    """Colour images of grey ones `[n, 784]`: a border of 2 pixels, then each pixel four times."""
    rows = [int(name.removesuffix(".jpg")) - 1 for name in names]
    bordered = np.pad(grey[rows].reshape(-1, SIDE, SIDE), ((0, 0), (2, 2), (2, 2)))
    return np.repeat(bordered.repeat(2, 1).repeat(2, 2)[..., None], 3, axis=-1)


def _numbered(train: int, test: int) -> Arrays:
    names = np.array([f"{number:06d}.jpg" for number in range(1, train + test + 1)])
    return {"train_name": names[:train], "test_name": names[train:]}


DEFINITION = Definition(
    "celeba",
    {"canonical": partial(read, whole=True), "mirror": partial(read, whole=False)},
    StandIn(
        "Names of drawn faces: skin, hair, eyes, mouth and background of random colours.",
        {"recipe": "faces", "seed": 8, "train": 1000, "test": 200},
        faces,
    ),
    derived=StandIn(
        "Grey Fashion-MNIST images, enlarged to 64 x 64: no faces, so that no number compares with the "
        "documents'.",
        {"recipe": "enlarged fashion mnist"},
        enlarged,
        donor="fashion_mnist",
    ),
)
