"""Code digests: what a module means, with all it imports."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from elbogap import digest


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny package named elbogap: a imports b inside a function, b imports c of a subpackage."""
    root = tmp_path / "elbogap"
    files = {
        "__init__.py": "",
        "a.py": '''
            """Module a."""
            X = 1  # one
            def f():
                """Say it."""
                from . import b
                return b.Y
        ''',
        "b.py": "from elbogap.sub.c import Z\nY = Z + 1\n",
        "sub/__init__.py": '"""Sub."""\n',
        "sub/c.py": "Z = 3\n",
        "sub/c.toml": "# one\n[t]\nu = 1\n",
        "other.py": "W = 4\n",
        "other.toml": "w = 1\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(textwrap.dedent(text), encoding="utf-8")
    monkeypatch.setattr(digest, "SOURCE", root)
    forget()
    yield root
    forget()


def forget() -> None:
    for cached in (digest._files, digest._source):
        cached.cache_clear()


def after(path: Path, old: str, new: str) -> str:
    assert old in path.read_text(encoding="utf-8")
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    forget()
    return digest.code_digest("elbogap.a")


def test_closure_follows_nested_and_relative_imports(package: Path) -> None:
    assert set(digest.closure("elbogap.a")) == {
        "elbogap",
        "elbogap.a",
        "elbogap.b",
        "elbogap.sub",
        "elbogap.sub.c",
    }


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("a.py", "# one", "# a better comment"),
        ("a.py", '"""Say it."""', '"""Say it louder."""'),
        ("a.py", '"""Module a."""', '"""Module a, explained."""'),
        ("a.py", "X = 1", "X   =   (1)"),
        ("a.py", "X = 1", 'X = 1\n"""An attribute."""'),
        ("sub/__init__.py", "Sub.", "A subpackage."),
        ("other.py", "W = 4", "W = 5"),
        ("sub/c.toml", "# one", "# a better comment"),
        ("sub/c.toml", "u = 1", "u   =   1"),
        ("other.toml", "w = 1", "w = 2"),
    ],
)
def test_comments_docstrings_format_and_strangers_change_nothing(
    package: Path, file: str, old: str, new: str
) -> None:
    before = digest.code_digest("elbogap.a")
    assert after(package / file, old, new) == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [("a.py", "X = 1", "X = 2"), ("b.py", "Z + 1", "Z + 2"), ("sub/c.py", "Z = 3", "Z = 3.0"),
     ("sub/c.toml", "u = 1", "u = 2"), ("sub/c.toml", "u = 1", "v = 1")],
)  # fmt: skip
def test_a_changed_constant_anywhere_below_changes_it(package: Path, file: str, old: str, new: str) -> None:
    before = digest.code_digest("elbogap.a")
    assert after(package / file, old, new) != before


def test_undoing_an_edit_restores_it(package: Path) -> None:
    before = digest.code_digest("elbogap.a")
    assert after(package / "sub/c.py", "Z = 3", "Z = 4") != before
    assert after(package / "sub/c.py", "Z = 4", "Z = 3") == before


def test_a_missing_module_is_an_error(package: Path) -> None:
    with pytest.raises(ModuleNotFoundError):
        digest.code_digest("elbogap.nowhere")


def test_an_import_by_computed_name_is_noticed() -> None:
    program = (
        "import importlib, sys\nfrom elbogap import digest\n"
        "importlib.import_module('elbogap.' + 'files')\n"
        "print(sorted(digest.undeclared('elbogap.errors', ignore=frozenset({'elbogap.digest'}))))"
    )
    source = str(Path(__file__).parents[1] / "src")
    answer = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": source}, capture_output=True, text=True
    )
    assert answer.stdout.strip() == "['elbogap.files']", answer.stderr


def test_summaries_are_read_in_the_source(package: Path) -> None:
    """Python may run without docstrings, and importing an experiment takes a while."""
    assert digest.summary("elbogap.a") == "Module a."
    assert digest.summary("elbogap.b") == ""
