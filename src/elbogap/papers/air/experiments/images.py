"""Binary images of a data set in three parts, chosen and binarised once for all experiments (air, Table 5).

The document holds out its validation part at random; the fixed-binarised MNIST and the silhouettes come with
one, which is used. Silhouettes are 1 - x, so that 1 is the object. Table 5's numbers are lost.
"""

import numpy as np

from elbogap.data import formats
from elbogap.data.loaders import load
from elbogap.errors import UserError
from elbogap.papers.air.datasets import DATASETS, Dataset
from elbogap.papers.air.settings import Images as Settings
from elbogap.papers.air.settings import Split
from elbogap.runtime import Run, numpy_generator
from elbogap.tables import Arrays

PARTS = ("train", "valid", "test")
WHITE = 255


def run(settings: Settings, run: Run) -> dict[str, dict[str, np.ndarray]]:
    """Choose the images of the data set `dataset` (key), whose record is the input `data`.

    Returns:
        `images`: `train`, `valid` and `test`, bits packed by rows; `data`, real or stand-in; `dataset`.

    Raises:
        UserError: the settings have no such data set.
    """
    name = run.keys["dataset"]
    if name not in settings.sizes:
        raise UserError(f"air.images: no data set '{name}'; the settings have {', '.join(settings.sizes)}")
    split = settings.sizes[name]
    data = load(run.inputs["data"])
    random = numpy_generator(settings.seed, "air.images", name)
    parts, packed = _binary(data.arrays, DATASETS[name], split, random), {}
    for part in PARTS:
        chosen = random.permutation(len(parts[part]))[: getattr(split, part)]
        packed[part] = np.packbits(parts[part][chosen].astype(bool), axis=1)
    return {"images": packed | {"data": np.array(data.kind), "dataset": np.array(name)}}


def unpack(arrays: Arrays, part: str, count: int | None = None) -> np.ndarray:
    """Images of a part, the first `count` or all: float32 `[N, 784]` in {0, 1}."""
    return formats.bits(arrays[part][:count]).astype(np.float32)


def _binary(
    arrays: Arrays, dataset: Dataset, split: Split, random: np.random.Generator
) -> dict[str, np.ndarray]:
    """All images of the three parts in {0, 1}."""
    parts = {part: arrays[part] for part in PARTS if part in arrays}
    if dataset.grey:
        parts = {
            part: random.random(values.shape, dtype=np.float32) * WHITE < values
            for part, values in parts.items()
        }
    if dataset.inverted:
        parts = {part: 1 - values for part, values in parts.items()}
    if "valid" not in parts:
        train = parts["train"][random.permutation(len(parts["train"]))]
        held_out = min(split.valid, len(train) // 2)
        parts |= {"train": train[held_out:], "valid": train[:held_out]}
    return parts
