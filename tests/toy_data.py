"""For tests of data sets: a private cache, a mirror for those who ask, made-up data sets and records."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from elbogap.data import formats, sources
from elbogap.data.sources import File, Source, Variant

Define = Callable[..., None]
AddTool = Callable[[str, str], None]

STAND_INS = {name: source.stand_ins for name, source in sources.SOURCES.items()}


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no mirror."""
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("ELBOGAP_CACHE", str(folder))
    monkeypatch.delenv("ELBOGAP_MIRROR", raising=False)
    return folder


@pytest.fixture
def mirror(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty mirror folder."""
    folder = cache.with_name("mirror")
    folder.mkdir()
    monkeypatch.setenv("ELBOGAP_MIRROR", str(folder))
    return folder


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Define:
    """Put a data set `toy` of one variant with these files into the table of sources."""

    def define(*files: File, name: str = "toy", variant: str = "canonical") -> None:
        variants, stand_ins = (Variant(variant, files, "-"),), STAND_INS.get(name, STAND_INS["hapt"])
        source = Source(name, "Toy", "free", "nobody", "http://page.invalid", variants, stand_ins)
        monkeypatch.setitem(sources.SOURCES, name, source)
        if name not in formats.READERS:
            reader = {variant: lambda path: {"bytes": path.read_bytes()}}
            monkeypatch.setitem(formats.READERS, name, reader)

    return define


@pytest.fixture
def only_toy(monkeypatch: pytest.MonkeyPatch, toy: Define) -> Define:
    """As `toy`; the table holds nothing else."""
    for name in reversed(list(sources.SOURCES)):  # undone from the last on, in the order of the table
        monkeypatch.delitem(sources.SOURCES, name)
    return toy


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AddTool:
    """Put shell scripts first on the search path."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def add(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (folder / name).chmod(0o755)

    return add


def stand_in_record(folder: Path, name: str, **sizes: int) -> Path:
    """The record of the synthetic stand-in of a data set, with these sizes where its recipe has such."""
    parameters = sources.SOURCES[name].stand_ins[-1].parameters
    record = {
        "dataset": name, "kind": "stand-in", "variant": "synthetic", "files": [],
        "stand_in": parameters | {size: sizes[size] for size in sizes if size in parameters},
    }  # fmt: skip
    path = folder / f"{name}.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    return path
