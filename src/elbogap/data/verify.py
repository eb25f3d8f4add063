"""Whether a file is the one in the table of sources: by its bytes or, where those may differ, its content."""

import hashlib
from pathlib import Path

from elbogap.checksums import sha256
from elbogap.data.sources import Content, File
from elbogap.untrusted import MOST_BYTES


class WrongContent(Exception):
    """A file that must not be used; the message has the expected and the found digest."""


def git_blob(path: Path) -> str:
    """Git's id of a file's bytes: sha1(b"blob <length>\\0" + bytes)."""
    start = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: start).hexdigest()


def verify(file: File, path: Path) -> str:
    """How the file is known: `sha256`, `git blob` or the name of its content digest.

    Raises:
        WrongContent: no digest agrees, or none is known.
    """
    found = []
    for name, expected in file.digests.items():
        if file.content and name == file.content.reader:
            got = _of_content(file.content, path)
        else:
            got = {"sha256": sha256, "git blob": git_blob}[name](path)
        if got == expected:
            return name
        found.append(f"{name} expected {expected}, got {got}")
    raise WrongContent("; ".join(found) or "unverified: no digest of it is known")


def _of_content(content: Content, path: Path) -> str:
    from elbogap.data.formats import CONTENT  # the Snakefile comes here, and SciPy takes its time

    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES} bytes")
        return CONTENT[content.reader](path, content.most)
    except (ValueError, MemoryError) as error:
        return f"a damaged file ({error})"
