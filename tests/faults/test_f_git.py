"""Kind F: the user's surroundings decide what the provenance says of the code.

Promise: the commit stands in the provenance whoever owns the checkout and whatever repository the environment
names; where there is none, the reason stands there, and one line says so; files that make no results leave
the record clean.
"""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from elbogap import digest, provenance

GIT = shutil.which("git")


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    answer = subprocess.run([str(GIT), *who, *words], cwd=folder, capture_output=True, check=True)
    return answer.stdout.decode("ascii").strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a file of the package, of the settings and of the documentation."""
    folder = tmp_path / "checkout"
    for name in ("src/elbogap/__init__.py", "config/smoke.yaml", "docs/page.md", "Snakefile"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("\n", encoding="utf-8")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "all")
    monkeypatch.setattr(digest, "SOURCE", folder / "src/elbogap")
    return folder


def forget() -> None:
    provenance.git_state.cache_clear()
    provenance._warn.cache_clear()


@pytest.fixture(autouse=True)
def _ask_anew() -> Iterator[None]:
    forget()
    yield
    forget()


def put_git_on_the_path(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    (folder / "git").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_a_checkout_of_another_owner_has_its_commit(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = f'GIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec {GIT} "$@"'
    put_git_on_the_path(tmp_path / "bin", other, monkeypatch)
    plain = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, check=False)
    assert b"dubious ownership" in plain.stderr
    assert provenance.git_state() == {"commit": git(checkout, "rev-parse", "HEAD"), "dirty": False}


def test_another_repository_in_the_environment_is_not_ours(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = git(checkout, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert provenance.git_state()["commit"] == expected


@pytest.mark.parametrize(
    ("name", "dirty"),
    [("config/smoke.yaml", True), ("src/elbogap/__init__.py", True), ("docs/page.md", False),
     ("config/mine.yaml", False), ("build/lib/elbogap/__init__.py", False), ("src/elbogap/new.py", False)],
)  # fmt: skip
def test_dirty_means_tracked_files_that_make_results(checkout: Path, name: str, dirty: bool) -> None:
    (checkout / name).parent.mkdir(parents=True, exist_ok=True)
    (checkout / name).write_text("changed = 1\n", encoding="utf-8")
    assert provenance.git_state()["dirty"] is dirty


def test_a_deleted_file_is_a_change(checkout: Path) -> None:
    (checkout / "Snakefile").unlink()
    assert provenance.git_state()["dirty"] is True


def test_an_installed_package_does_not_take_the_commit_of_the_repository_around_it(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = checkout / ".venv/elbogap"
    installed.mkdir(parents=True)
    (installed / "__init__.py").touch()
    monkeypatch.setattr(digest, "SOURCE", installed)
    state = provenance.git_state()
    assert state["commit"] is None
    assert "did not match any file" in state["why"]


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (
            "echo 'fatal: not a git repository (or any up to mount point /x)' >&2; exit 128",
            "not a git repository",
        ),
        (
            "echo \"fatal: detected dubious ownership in repository at '/x'\" >&2; exit 128",
            "detected dubious ownership in repository",
        ),
        ("exit 1", "git fails without a word"),
        (None, "git is not on this machine"),
    ],
)
def test_a_reason_stands_in_place_of_the_commit_and_is_told_once(
    script: str | None, why: str, checkout: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    if script is None:
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        put_git_on_the_path(tmp_path / "bin", script, monkeypatch)
    for _ in range(2):
        record = provenance.collect(
            source={"git": provenance.git_state()}, command=[], scale="smoke", settings={}, inputs=[], run={}
        )
        assert record["git"] == {"commit": None, "dirty": None, "why": why}
    assert capsys.readouterr().err == f"elbogap: no commit in the provenance: {why}\n"
