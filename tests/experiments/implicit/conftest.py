"""Small made-up images, and small settings of everything that is trained on them."""

from pathlib import Path

import numpy as np
import pytest

from elbogap import tables
from elbogap.config.implicit import VaeCell, VaeTrain
from elbogap.runtime import limit_torch_threads

SIZES = {"train": 60, "test": 12}


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of three kinds with some pixels flipped, as `implicit.images` stores them."""
    random = np.random.default_rng(0)
    kinds = random.random((3, 784)) < 0.3
    arrays = {"data": np.array("stand-in"), "dataset": np.array("binarized_mnist")}
    for part, size in SIZES.items():
        flipped = random.random((size, 784)) < 0.05
        arrays[part] = np.packbits(kinds[random.integers(3, size=size)] ^ flipped, axis=1)
    path = tmp_path_factory.mktemp("implicit") / "images.npz"
    tables.write(arrays, path)
    return path


@pytest.fixture(scope="session")
def vae_settings() -> VaeTrain:
    """Training of seconds: a cell of each method, and one of each model."""
    limit_torch_threads(1)
    plain = VaeCell(
        datasets=("binarized_mnist",), tables=("vcd",), model="vae", method="elbo", refinements=0, alpha=1.0,
        learning_rate=0.01, deviation_share=0.5, initialisation="xavier", rounds=4, seeds=2,
    )  # fmt: skip
    methods = {
        "elbo": {},
        "sivi": {"tables": ("uivi",)},
        "uivi": {"tables": ("uivi",)},
        "hoffman": {"refinements": 2},
        "vcd": {"refinements": 2, "tables": ("vcd", "steps")},
    }
    cells = {name: plain.model_copy(update={"method": name, **more}) for name, more in methods.items()}
    cells["factorisation"] = plain.model_copy(update={"model": "factorisation"})
    return VaeTrain(
        cells=cells, hidden=(9, 8), vae_latent=2, factors=3, noise=4, sivi_samples=3, burn_in=1, kept=2,
        leapfrog_steps=3, step_size=0.5, target_acceptance=0.9, batch=20, decay_every=0.25, round_steps=5,
        record_rounds=2, checkpoint_seconds=60, seed=0,
    )  # fmt: skip
