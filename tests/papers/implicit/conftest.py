"""Small made-up images, and small settings of everything that is trained on them."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from elbogap.papers.implicit.settings import VaeCell, VaeTrain
from elbogap.runtime import limit_torch_threads

SIZES = {"train": 60, "test": 12}


@pytest.fixture(scope="session")
def images(made_up_images: Callable[[Mapping[str, int]], Path]) -> Path:
    """Images as `implicit.images` stores them."""
    return made_up_images(SIZES)


@pytest.fixture(scope="session")
def vae_settings() -> VaeTrain:
    """Training of seconds: a cell of each method, and one of each model."""
    limit_torch_threads(1)
    plain = VaeCell(
        datasets=("binarized_mnist",), tables=("vcd",), model="vae", method="elbo", refinements=0,
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
