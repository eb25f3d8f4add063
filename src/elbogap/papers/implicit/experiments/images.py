"""Binary images for Tables 1 and 2 and Figure 6, chosen once for all methods.

The documents train on the 50,000 rows of the fixed-binarised MNIST and on all 60,000 of Fashion-MNIST.
"""

import numpy as np

from elbogap.data import formats
from elbogap.data.loaders import load
from elbogap.papers.implicit.names import IMAGES
from elbogap.papers.implicit.settings import ImplicitImages as Settings
from elbogap.runtime import Run, numpy_generator
from elbogap.tables import Arrays

WHITE = 255


def run(settings: Settings, run: Run) -> dict[str, dict[str, np.ndarray]]:
    """Choose the images of the data set `dataset` (key), whose record is the input `data`.

    Returns:
        `images`: `train` and `test`, bits packed by rows; `data`, real or stand-in; `dataset`.
    """
    data, name = load(run.inputs["data"]), run.keys["dataset"]
    parts = {part: data.arrays[part] for part in ("train", "test")}
    if IMAGES[name].grey:  # of MNIST the validation rows stay out, as in the documents
        parts["train"] = np.concatenate([parts["train"], data.arrays["valid"]])
        parts = {part: values > settings.threshold * WHITE for part, values in parts.items()}
    random = numpy_generator(settings.seed, "implicit.images", name)
    sizes = {"train": settings.train, "test": settings.test}
    packed = {
        part: np.packbits(values[random.permutation(len(values))[: sizes[part]]].astype(bool), axis=1)
        for part, values in parts.items()
    }
    return {"images": packed | {"data": np.array(data.kind), "dataset": np.array(name)}}


def unpack(arrays: Arrays, part: str) -> np.ndarray:
    """Images of a part: float32 `[N, 784]` in {0, 1}."""
    return formats.bits(arrays[part]).astype(np.float32)
