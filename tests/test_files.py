"""Files are written whole or not at all, and nothing else stays behind."""

import os
import signal
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


def test_writers_of_one_file_take_turns(tmp_path: Path) -> None:
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
