"""Binary images for Tables 1 and 2 and Figure 6, chosen once for all methods.

The documents train on the 50,000 rows of the fixed-binarised MNIST and on all 60,000 of Fashion-MNIST.
"""

import numpy as np

from elbogap.data.loaders import load
from elbogap.papers.implicit.names import GREY
from elbogap.papers.implicit.settings import ImplicitImages as Settings
from elbogap.runtime import Run, numpy_generator

HALF_WHITE = 127.5  # grey values above it are 1


def run(settings: Settings, run: Run) -> dict[str, dict[str, np.ndarray]]:
    """Choose the images of the data set `dataset` (key), whose record is the input `data`.

    Returns `images`: `train` and `test`, bits packed by rows; `data`, real or stand-in; `dataset`.
    """
    data, name = load(run.inputs["data"]), run.keys["dataset"]
    train, test = data.arrays["train"], data.arrays["test"]
    if name in GREY:  # of MNIST the validation rows stay out, as in the documents
        train = np.concatenate([train, data.arrays["valid"]])
        train, test = (values > HALF_WHITE for values in (train, test))
    random = numpy_generator(settings.seed, "implicit.images", name)

    def packed(values: np.ndarray, count: int) -> np.ndarray:
        return np.packbits(values[random.permutation(len(values))[:count]].astype(bool), axis=1)

    images = {"train": packed(train, settings.train), "test": packed(test, settings.test)}
    return {"images": images | {"data": np.array(data.kind), "dataset": np.array(name)}}
