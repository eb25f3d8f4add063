"""A private cache for each test, and a web server on loopback."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from elbogap.data import fetch
from loopback import server
from toy_data import cache, mirror, only_toy, tools, toy

__all__ = ["cache", "mirror", "only_toy", "server", "tools", "toy"]

REAL_CACHE, REAL_MIRROR = os.environ.get("ELBOGAP_CACHE"), os.environ.get("ELBOGAP_MIRROR")


@pytest.fixture
def dead_address() -> str:
    """An address on loopback where nobody listens."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{closed.getsockname()[1]}/file"


@pytest.fixture
def real_mirror(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The mirror folder of whoever runs the tests."""
    if REAL_MIRROR is None:
        pytest.skip("no network: no package serves these files, and ELBOGAP_MIRROR is not set")
    monkeypatch.setenv("ELBOGAP_MIRROR", REAL_MIRROR)
    return Path(REAL_MIRROR)


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let a data set be found in the cache and the mirror of whoever runs the tests."""

    def found(name: str) -> None:
        for variable, value in (("ELBOGAP_CACHE", REAL_CACHE), ("ELBOGAP_MIRROR", REAL_MIRROR)):
            monkeypatch.delenv(variable, raising=False)
            if value is not None:
                monkeypatch.setenv(variable, value)
        if fetch.local(name, say=fetch.ignore) is None:
            pytest.skip(f"no network: nothing has served {name}; try 'python -m elbogap data fetch {name}'")

    return found
