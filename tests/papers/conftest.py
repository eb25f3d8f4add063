"""Small made-up images of documents that train on binary ones."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from elbogap import tables


@pytest.fixture(scope="session")
def made_up_images(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Mapping[str, int]], Path]:
    """A file of images of three kinds with some pixels flipped, as experiments `images` store them.

    It takes the number of images of each part.
    """

    def make(sizes: Mapping[str, int]) -> Path:
        random = np.random.default_rng(0)
        kinds = random.random((3, 784)) < 0.3
        arrays = {"data": np.array("stand-in"), "dataset": np.array("binarized_mnist")}
        for part, size in sizes.items():
            flipped = random.random((size, 784)) < 0.05
            arrays[part] = np.packbits(kinds[random.integers(3, size=size)] ^ flipped, axis=1)
        path = tmp_path_factory.mktemp("images") / "images.npz"
        tables.write(arrays, path)
        return path

    return make
