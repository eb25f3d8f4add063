"""Small made-up images, and small settings of everything that is trained on them."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from elbogap import tables
from elbogap.papers.air.experiments import train
from elbogap.papers.air.settings import Architecture, Cell, Train
from elbogap.runtime import Run, limit_torch_threads

SIZES = {"train": 60, "valid": 30, "test": 30}
NARROW = Architecture(encoder=(8,), decoder=(8,))


@pytest.fixture(scope="session")
def images(made_up_images: Callable[[Mapping[str, int]], Path]) -> Path:
    """Images as `air.images` stores them."""
    return made_up_images(SIZES)


@pytest.fixture(scope="session")
def train_settings() -> Train:
    """Training of seconds: `all` has every method, `several` m > 1, `large` nothing but a large encoder."""
    limit_torch_threads(1)
    plain = Cell(
        datasets=("binarized_mnist",), k=1, m=1, large_encoder=False, alphas=(), noise=(), norms=(),
        rounds=3, seeds=1,
    )  # fmt: skip
    regularised = {"alphas": (0.5, 1.0), "noise": (0.2, 0.8), "norms": (0.5, 3.0), "rounds": 5, "seeds": 2}
    several = {"k": 3, "m": 2, "alphas": (1.0,), "noise": (0.5,)}
    return Train(
        cells={
            "all": plain.model_copy(update=regularised),
            "several": plain.model_copy(update=several),
            "large": plain.model_copy(update={"large_encoder": True}),
        },
        architectures={
            "binarized_mnist": NARROW,
            "omniglot": Architecture(encoder=(9, 7), decoder=(6,)),
        },
        large_encoder=(12, 11),
        latent=2,
        activation="tanh",
        batch=20,
        learning_rate=0.02,
        final_share=0.1,
        round_steps=10,
        measure_rounds=2,
        measure_images=25,
        valid_samples=4,
        rows=10**6,
        checkpoint_seconds=1e9,
        seed=0,
    )


@pytest.fixture(scope="session")
def trained(images: Path, train_settings: Train, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of the models, the curves and the images of cell `all`."""
    folder = tmp_path_factory.mktemp("trained")
    keys = {"dataset": "binarized_mnist", "cell": "all"}
    found = train.run(train_settings, Run("test", keys, {"images": images}, folder / "scratch"))
    paths = {"models": folder / "models.npz", "curves": folder / "curves.csv", "images": images}
    for name in found:
        tables.write(found[name], paths[name])
    return paths
