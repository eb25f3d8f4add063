"""Binary images of a data set in three parts, chosen and binarised once for all experiments (air, Table 5).

The document holds out its validation part at random; the fixed-binarised MNIST and the silhouettes come with
one, which is used. Silhouettes are 1 - x, so that 1 is the object. Table 5's numbers are lost.
"""

import numpy as np

from elbogap.data.loaders import Dataset, load
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
    """
    data = load(run.inputs["data"])
    name = run.keys["dataset"]
    split: Split = getattr(settings, name)
    random = numpy_generator(settings.seed, "air.images", name)
    parts = _binary(data, split, random)
    sizes = split.model_dump()
    chosen = {part: values[random.permutation(len(values))[: sizes[part]]] for part, values in parts.items()}
    packed = {part: np.packbits(values.astype(bool), axis=1) for part, values in chosen.items()}
    return {"images": packed | {"data": np.array(data.kind), "dataset": np.array(name)}}


def unpack(arrays: Arrays, part: str, count: int | None = None) -> np.ndarray:
    """Images of a part, the first `count` or all: float32 `[N, 784]` in {0, 1}."""
    return np.unpackbits(arrays[part][:count], axis=1, count=28 * 28).astype(np.float32)


def _binary(data: Dataset, split: Split, random: np.random.Generator) -> dict[str, np.ndarray]:
    """All images of the three parts in {0, 1}."""
    if data.name == "caltech_silhouettes":
        return {part: 1 - data.arrays[part] for part in PARTS}
    if data.name != "omniglot":
        return {part: data.arrays[part] for part in PARTS}
    train, test = (
        random.random(data.arrays[part].shape, dtype=np.float32) * WHITE < data.arrays[part]
        for part in ("train", "test")
    )
    order = random.permutation(len(train))
    held_out = min(split.valid, len(train) // 2)
    return {"train": train[order[held_out:]], "valid": train[order[:held_out]], "test": test}
