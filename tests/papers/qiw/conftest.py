import json
from pathlib import Path

import pytest

from elbogap.data.stand_ins import PARAMETERS
from elbogap.runtime import Run


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Records of small stand-ins of both MNIST sets."""
    folder = tmp_path_factory.mktemp("records")
    paths = {}
    for name in ("mnist", "binarized_mnist"):
        parameters = PARAMETERS[name] | {"train": 600, "valid": 50, "test": 100}
        record = {
            "dataset": name,
            "kind": "stand-in",
            "variant": "synthetic",
            "files": [],
            "stand_in": parameters,
        }
        paths[name] = folder / f"{name}.json"
        paths[name].write_text(json.dumps(record), encoding="utf-8")
    return paths


@pytest.fixture
def bare_run(tmp_path: Path) -> Run:
    return Run("smoke", scratch=tmp_path / "scratch")
