"""Binary images of a data set in three parts, chosen and binarised once for all experiments (air, Table 5).

Table 5's numbers are lost. The document holds out its validation part at random; the one that fixed-binarised
MNIST and the silhouettes come with is used here.
"""

import numpy as np

from elbogap.data.loaders import load
from elbogap.errors import named
from elbogap.papers.air.datasets import DATASETS
from elbogap.papers.air.settings import Images as Settings
from elbogap.runtime import Run, numpy_generator

PARTS = ("train", "valid", "test")
WHITE = 255


def run(settings: Settings, run: Run) -> dict[str, dict[str, np.ndarray]]:
    """Choose the images of the data set `dataset` (key), whose record is the input `data`.

    Returns `images`: `train`, `valid` and `test`, bits packed by rows; `data`, real or stand-in; `dataset`.
    UserError if the settings have no such data set.
    """
    name = run.keys["dataset"]
    split, dataset = named(settings.sizes, name, "air.images: no data set"), DATASETS[name]
    data, random = load(run.inputs["data"]), numpy_generator(settings.seed, "air.images", name)
    parts = {part: data.arrays[part] for part in PARTS if part in data.arrays}
    for part, pixels in parts.items():
        if dataset.grey:
            pixels = random.random(pixels.shape, dtype=np.float32) * WHITE < pixels
        parts[part] = 1 - pixels if dataset.inverted else pixels
    if "valid" not in parts:
        train = parts["train"][random.permutation(len(parts["train"]))]
        held_out = min(split.valid, len(train) // 2)
        parts |= {"train": train[held_out:], "valid": train[:held_out]}
    for part in PARTS:
        chosen = random.permutation(len(parts[part]))[: getattr(split, part)]
        parts[part] = np.packbits(parts[part][chosen].astype(bool), axis=1)
    images = {part: parts[part] for part in PARTS}
    return {"images": images | {"data": np.array(data.kind), "dataset": np.array(name)}}
