"""Files are replaced whole or not at all."""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_NO_FSYNC = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that replaces it only if the block succeeds.

    The temporary name is the same each time: what a killed process left is overwritten by the next write. A
    lock, which dies with its process, makes several writers of one file take turns.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.partial{path.suffix}")
    with _locked(temporary):
        try:
            yield temporary
            temporary.chmod(0o644)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _locked(path: Path) -> BinaryIO:
    """The empty file `path`, open and held by this process alone until it is closed."""
    while True:
        file = path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is_open_as(path, file):
                file.truncate(0)
                return file
        except BaseException:
            file.close()
            raise
        file.close()  # while we waited, its writer moved it into place or removed it: begin anew


def _is_open_as(path: Path, file: BinaryIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def replace_folder(folder: Path, fresh: Path, aside: Path) -> None:
    """Put the folder `fresh` in the place of `folder`, which is set aside meanwhile and then deleted.

    Killed at any moment, it leaves a whole folder in the place or aside, see :func:`recover_folder`.
    """
    for path in (*fresh.rglob("*"), fresh):
        _flush(path)
    if folder.exists():
        rename(folder, aside)
    rename(fresh, folder)
    recover_folder(folder, aside)


def recover_folder(folder: Path, aside: Path) -> None:
    """Bring back what :func:`replace_folder` set aside if nothing took its place, else delete it."""
    if aside.exists() and folder.exists():
        shutil.rmtree(aside)
    elif aside.exists():
        rename(aside, folder)


def rename(path: Path, new: Path) -> None:
    """Give a file or folder another name, also one that a file has; this outlasts a loss of power."""
    path.replace(new)
    _flush(new.parent)
    _flush(path.parent)


def _flush(path: Path) -> None:
    """Bring a file or folder to the disk, if the file system can."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise
    finally:
        os.close(descriptor)
