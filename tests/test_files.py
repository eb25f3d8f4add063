"""Files are written whole or not at all, and nothing else stays behind."""

import errno
import os
import secrets
import signal
import socket
import stat
import threading
from pathlib import Path

import pytest

from elbogap.files import atomic, recover_folder, replace_folder


def write(path: Path, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def killed_while_writing(path: Path) -> None:
    child = os.fork()
    if child == 0:
        with atomic(path) as temporary:
            temporary.write_text("half of a long text", encoding="utf-8")
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(1)  # never back into pytest
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old", encoding="utf-8")

    def fail_halfway() -> None:
        with atomic(path) as temporary:
            temporary.write_text("half", encoding="utf-8")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_write_left_is_swept_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old", encoding="utf-8")
    for _ in range(2):
        killed_while_writing(path)
    assert path.read_text(encoding="utf-8") == "old"
    assert len(list(tmp_path.iterdir())) == 2
    with atomic(path) as temporary:
        assert temporary.read_text(encoding="utf-8") == ""
        assert temporary.suffix == path.suffix  # writers choose the format by it
        with temporary.open("a") as file:
            file.write("new")
    assert path.read_text(encoding="utf-8") == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_writers_of_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    failures: list[Exception] = []

    def write_often(letter: str) -> None:
        try:
            for _ in range(50):
                with atomic(path) as temporary:
                    temporary.write_text(letter, encoding="utf-8")
                    with temporary.open("a") as file:
                        file.write(letter * 99_999)
                    if temporary.read_text(encoding="utf-8") != letter * 100_000:
                        raise AssertionError("another writer was here")
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=write_often, args=[letter]) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    text = path.read_text(encoding="utf-8")
    assert text == text[0] * 100_000
    assert list(tmp_path.iterdir()) == [path]


def test_what_may_belong_to_a_living_writer_is_not_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(socket, "gethostname", lambda: "elsewhere")
        killed_while_writing(path)
    (left,) = tmp_path.iterdir()
    (tmp_path / left.name.replace("elsewhere", "elsewhere.too")).touch()
    with atomic(path):
        write(path, "inner")  # of this very process
    assert len(list(tmp_path.iterdir())) == 3
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(socket, "gethostname", lambda: "elsewhere")
        write(path, "again")
    assert {one.name for one in tmp_path.iterdir() if one != path} == {
        left.name.replace("elsewhere", "elsewhere.too")
    }


def test_a_link_at_the_temporary_name_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "token_hex", lambda size: "0" * 2 * size)
    path, other = tmp_path / "a.txt", tmp_path / "other"
    other.write_text("mine", encoding="utf-8")
    link = tmp_path / f".a.txt.{socket.gethostname()}.{os.getpid()}.00000000.txt"
    link.symlink_to(other)
    with pytest.raises(FileExistsError):
        write(path, "theirs")
    assert other.read_text(encoding="utf-8") == "mine"
    assert link.is_symlink()


def test_the_user_decides_who_may_read(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "a.txt", "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


def test_the_file_is_on_disk_before_it_takes_its_place_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "a.txt", []

    def fsync(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        seen.append((kind, os.fstat(descriptor).st_size if kind == "file" else 0, path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    write(path, "text")
    assert seen == [("file", 4, False), ("folder", 0, True)]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_fsync_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    write(tmp_path / "a.txt", "text")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "text"


def test_a_disk_that_fails_when_flushed_fails_the_write_but_a_folder_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    write(path, "old")
    broken = stat.S_ISREG

    def fsync(descriptor: int) -> None:
        if broken(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="Input/output"):
        write(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    broken = stat.S_ISDIR
    write(path, "new")
    assert path.read_text(encoding="utf-8") == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_files_of_one_stem_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with atomic(tmp_path / "a.csv") as temporary:
        temporary.write_text("table", encoding="utf-8")
        write(tmp_path / "a.csv.json", "record")
        write(tmp_path / "a.json", "record")
    assert {path.name for path in tmp_path.iterdir()} == {"a.csv", "a.json", "a.csv.json"}


@pytest.mark.parametrize("old", [True, False])
def test_a_folder_takes_the_place_of_another(tmp_path: Path, old: bool) -> None:
    folder, fresh, aside = (tmp_path / name for name in ("a", "fresh", "aside"))
    if old:
        write(folder / "old.txt", "old")
    write(fresh / "deep" / "new.txt", "new")
    replace_folder(folder, fresh, aside)
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "deep", "new.txt"]


def test_a_folder_set_aside_comes_back_unless_another_took_its_place(tmp_path: Path) -> None:
    folder, aside = tmp_path / "a", tmp_path / "aside"
    write(aside / "old.txt", "old")
    recover_folder(folder, aside)
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "old.txt"]
    write(aside / "older.txt", "older")
    recover_folder(folder, aside)
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "old.txt"]


def test_what_is_renamed_is_flushed_with_both_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.fstat(descriptor).st_ino))
    write(tmp_path / "fresh" / "a.txt", "new")
    flushed.clear()
    (tmp_path / "b").mkdir()
    replace_folder(tmp_path / "b" / "a", tmp_path / "fresh", tmp_path / "b" / "aside")
    found = {(tmp_path / name).stat().st_ino for name in ("b/a/a.txt", "b/a", "b", ".")}
    assert found <= set(flushed)
