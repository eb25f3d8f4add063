"""The data set posteriordb: its files, where they are, and its stand-in."""

from collections.abc import Callable
from pathlib import Path

import pytest

from elbogap import tables
from elbogap.data import fetch, loaders, records
from elbogap.data.loaders import Dataset


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A record of posteriordb under a policy for stand-ins."""

    def make(policy: records.Policy) -> Path:
        path = tmp_path_factory.mktemp("data") / "posteriordb.json"
        tables.write(records.make("posteriordb", policy, "settled"), path)
        return path

    return make


@pytest.fixture(scope="session")
def real(recorded: Callable[[str], Path]) -> Dataset:
    if fetch.local("posteriordb", say=fetch.ignore) is None:
        pytest.skip(
            "no network: nothing has served posteriordb; try 'python -m elbogap data fetch posteriordb'"
        )
    return loaders.load(recorded("never"))


@pytest.fixture(scope="session")
def stand_in(recorded: Callable[[str], Path]) -> Dataset:
    return loaders.load(recorded("always"))
