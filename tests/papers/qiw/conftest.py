from pathlib import Path

import pytest

from elbogap.runtime import Run
from toy_data import stand_in_record


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Records of small stand-ins of both MNIST sets."""
    folder, sizes = tmp_path_factory.mktemp("records"), {"train": 600, "valid": 50, "test": 100}
    return {name: stand_in_record(folder, name, **sizes) for name in ("mnist", "binarized_mnist")}


@pytest.fixture
def bare_run(tmp_path: Path) -> Run:
    return Run("smoke", scratch=tmp_path / "scratch")
