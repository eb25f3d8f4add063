"""Kind F: the user's surroundings decide where data and home folders are, and whether they can be used.

Promise: a mirror is read without a cache; what cannot be read is an error line and never turns into a
stand-in; a missing home folder costs one line at most.
"""

import errno
import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest

import toy_data
from elbogap import files
from elbogap.cli import main
from elbogap.data import fetch, records
from elbogap.data.sources import File
from elbogap.errors import UserError

CONTENT = b"the right bytes"
empty_cache, empty_mirror, toy = toy_data.cache, toy_data.mirror, toy_data.toy


@pytest.fixture(autouse=True)
def _toy(toy: toy_data.Define) -> None:
    """A data set of one file that no address serves."""
    toy(File("file", sha256=toy_data.sha(CONTENT)))


@pytest.fixture
def cache(empty_cache: Path) -> Path:
    """A cache that holds the file."""
    (empty_cache / "file").write_bytes(CONTENT)
    return empty_cache


@pytest.fixture
def mirror(empty_mirror: Path) -> Path:
    """A mirror that holds the file."""
    (empty_mirror / "file").write_bytes(CONTENT)
    return empty_mirror


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No home folder: HOME is unset and the user is in no list."""

    def unknown(user: object) -> None:
        raise KeyError(f"uid not found: {user}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "XDG_CACHE_HOME", "ELBOGAP_CACHE"):
        monkeypatch.delenv(name, raising=False)


def forbid(folder: Path, monkeypatch: pytest.MonkeyPatch, number: int = errno.EACCES) -> None:
    """Opening files below the folder fails, for root too."""
    real: Callable[..., int] = os.stat

    def stat(path: object, *rest: object, **more: object) -> object:
        if str(path).startswith(str(folder)):
            raise OSError(number, os.strerror(number), str(path))
        return real(path, *rest, **more)

    monkeypatch.setattr(os, "stat", stat)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ELOOP])
def test_an_unreadable_file_in_the_cache_is_an_error_and_no_stand_in(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    assert records.make("toy", "if-unavailable", "settled")["kind"] == "real"
    forbid(cache, monkeypatch, number)
    with pytest.raises(UserError, match=r"file: cannot be read \(.*\); nothing else serves it") as raised:
        records.make("toy", "if-unavailable", "settled")
    assert not isinstance(raised.value, fetch.NotServed)
    assert "STAND-IN" not in capsys.readouterr().err


def test_an_unreadable_file_in_the_cache_is_replaced_by_the_mirrors(
    cache: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid(cache, monkeypatch)
    assert fetch.obtain("toy", say=fetch.ignore).origin == "mirror"


def test_a_mirror_that_cannot_be_read_is_an_error_and_no_stand_in(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cache / "file").unlink()
    monkeypatch.setenv("ELBOGAP_MIRROR", str(tmp_path / "not mounted"))
    with pytest.raises(UserError, match=r"ELBOGAP_MIRROR=.*: cannot be read \(No such file"):
        records.make("toy", "if-unavailable", "settled")


def test_the_status_tells_unreadable_from_absent(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    forbid(cache, monkeypatch)
    assert main(["data", "status"]) == 0
    shown = capsys.readouterr()
    assert "cannot be read" in shown.out
    assert "not here" not in shown.out
    assert shown.err == ""


def test_a_file_that_is_not_there_is_not_unreadable(cache: Path) -> None:
    (cache / "file").unlink()
    with pytest.raises(fetch.NotServed):
        fetch.obtain("toy", say=fetch.ignore)


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EACCES])
def test_a_cache_that_cannot_be_written_leaves_the_mirror_in_use(
    cache: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    (cache / "file").unlink()

    def refuse(path: Path) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(files, "atomic", refuse)
    lines: list[str] = []
    (located,) = fetch.obtain("toy", say=lines.append).files
    assert located.path == mirror / "file"
    (line,) = lines
    assert line.endswith(f"; {mirror / 'file'} is used where it lies")
    assert records.make("toy", "never", "settled", say=fetch.ignore)["kind"] == "real"


@pytest.mark.usefixtures("nobody")
def test_without_a_home_folder_the_mirror_serves(mirror: Path) -> None:
    lines: list[str] = []
    assert fetch.obtain("toy", say=lines.append).files[0].path == mirror / "file"
    (line,) = lines
    assert line.startswith(
        "no home folder, so no cache of data sets; set HOME, or ELBOGAP_CACHE to a folder;"
    )


@pytest.mark.usefixtures("nobody")
def test_without_home_folder_and_mirror_it_is_one_line_and_no_stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ELBOGAP_MIRROR", raising=False)
    words = ["mnist", "--stand-ins", "if-unavailable", "--outputs", f"record={tmp_path}/mnist.json"]
    assert main(["data", "record", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "elbogap: no home folder, so no cache of data sets; set HOME, or ELBOGAP_CACHE to a folder"


@pytest.mark.parametrize("home", ["", "/nonexistent", "/dev/null/home"])
def test_a_home_folder_that_is_none_matters_not_where_no_cache_is_needed(
    home: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", home)
    monkeypatch.delenv("ELBOGAP_CACHE", raising=False)
    words = ["mnist", "--stand-ins", "always", "--outputs", f"record={tmp_path}/mnist.json"]
    assert main(["data", "record", *words]) == 0


def test_a_relative_cache_folder_is_taken_from_the_user_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions of the library that asks the system answer `~/.cache` unexpanded where there is no home."""
    monkeypatch.delenv("ELBOGAP_CACHE", raising=False)
    monkeypatch.setattr("pooch.os_cache", lambda project: Path("~/.cache") / project)
    with pytest.raises(UserError, match="no home folder"):
        fetch.cache_folder()


@pytest.mark.parametrize("folder", ["/nonexistent", "/dev/null/x", ""])
def test_a_missing_temporary_folder_is_none(
    folder: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python looks for another one; the search needs one for archives."""
    (cache / "file").unlink()
    monkeypatch.setenv("TMPDIR", folder)
    monkeypatch.setattr("tempfile.tempdir", None)
    with pytest.raises(fetch.NotServed):
        fetch.obtain("toy", say=fetch.ignore)
