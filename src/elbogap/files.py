"""Files are replaced whole or not at all."""

import errno
import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from elbogap.errors import UserError

_NO_FSYNC = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A new, empty file beside `path` that replaces it, once on disk, only if the block succeeds.

    Its name is its own and nothing is followed or overwritten there, so writers of one file need no locks:
    the last one's file stays. What killed processes of this host left of the same file is removed first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.name}.{socket.gethostname()}."
    leftover = re.compile(rf"{re.escape(prefix)}(\d{{1,9}})\.[0-9a-f]{{8}}(\.[^.]*)?")
    for name in os.listdir(path.parent):
        if (found := leftover.fullmatch(name)) and not psutil.pid_exists(int(found[1])):
            path.with_name(name).unlink(missing_ok=True)
    temporary = path.with_name(f"{prefix}{os.getpid()}.{secrets.token_hex(4)}{path.suffix}")
    temporary.touch(exist_ok=False)
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    with suppress(OSError):  # some file systems cannot; the file is in its place
        _flush(path.parent)


@contextmanager
def writing(path: Path, remedy: str = "free space or mend permissions, run again") -> Iterator[Path]:
    """As :func:`atomic`. UserError if the disk cannot take the file; `remedy` says what to do."""
    try:
        with atomic(path) as temporary:
            yield temporary
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); {remedy}") from error


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
