from pathlib import Path

import pytest

from elbogap import tables
from elbogap.papers.mapa.experiments import surrogate
from elbogap.papers.mapa.settings import Surrogate
from elbogap.runtime import Run, limit_torch_threads


@pytest.fixture(scope="session")
def quick() -> Surrogate:
    """Settings of a fit that takes a second."""
    limit_torch_threads(1)
    return Surrogate(
        hidden=(50, 50, 50), activation="tanh", nodes=300, steps=300, learning_rate=0.01,
        check_nodes=2000, target_mse=0.01, seed=0,
    )  # fmt: skip


@pytest.fixture(scope="session")
def surrogates(quick: Surrogate, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Quickly fitted surrogates of two problems, as files."""
    folder, paths = tmp_path_factory.mktemp("surrogates"), {}
    for name in ("circle", "clusters"):
        paths[name] = folder / f"{name}.npz"
        tables.write(surrogate.run(quick, Run("test", {"problem": name}))["surrogate"], paths[name])
    return paths
