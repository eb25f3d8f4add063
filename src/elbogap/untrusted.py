"""Reading what others wrote: bounded in size, and whatever a parser raises on it is one kind of error."""

import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from typing import IO

from elbogap.errors import shortened

MOST_BYTES = 2**28
"""Of a file that is downloaded, unpacked from a package, or known by its content alone; the largest of these,
the pickled MNIST, has 220 MB unpacked."""


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


def read(file: IO[bytes] | BufferedIOBase, most: int = MOST_BYTES) -> bytes:
    """The bytes of an open file; ValueError if there are more than `most`."""
    content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"more than {most} bytes")
    return content


def member(archive: zipfile.ZipFile, name: str, most: int = MOST_BYTES) -> bytes:
    """The bytes of a member of a zip archive; KeyError if there is no such member.

    ValueError if there are more than `most`, or they are packed by a method that cannot be stopped early.
    """
    if archive.getinfo(name).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is packed by another method than deflate")
    with archive.open(name) as file:
        return read(file, most)


def tar_member(archive: tarfile.TarFile, member: tarfile.TarInfo, most: int = MOST_BYTES) -> bytes:
    """The bytes of a regular member of a tar archive; ValueError if there are more than `most`."""
    file = archive.extractfile(member)
    assert file is not None  # a regular member
    return read(file, most)
