"""Reading what others wrote: bounded in size, and whatever a parser raises on it is one kind of error."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from elbogap.errors import shortened


class Readable(Protocol):
    """An open binary file, also one inside an archive."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; all that are left if it is -1."""


@contextmanager
def parsing(kind: str) -> Iterator[None]:
    """Turn whatever a parser raises on bytes that are no such file into a ValueError: `not <kind> (...)`.

    A disk that cannot be read and memory that runs out are not the file's fault: those errors pass.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = shortened(error, 200) or type(error).__name__
        raise ValueError(f"not {kind} ({reason})") from error


def read(file: Readable, most: int | None = None) -> bytes:
    """The bytes of an open file.

    Raises:
        ValueError: there are more than `most`.
    """
    content = file.read(-1 if most is None else most + 1)
    if most is not None and len(content) > most:
        raise ValueError(f"more than {most} bytes")
    return content


def member(archive: zipfile.ZipFile, name: str, most: int | None = None) -> bytes:
    """The bytes of a member of a zip archive.

    Raises:
        ValueError: there are more than `most`, or they are packed by a method that cannot be stopped early.
        KeyError: there is no such member.
    """
    if archive.getinfo(name).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is packed by another method than deflate")
    with archive.open(name) as file:
        return read(file, most)
