"""Whether a file is the one in the table of sources: by its bytes or, where those may differ, its content."""

import hashlib
from pathlib import Path

from elbogap.checksums import sha256
from elbogap.data.sources import MOST_BYTES, Content, File


class WrongContent(Exception):
    """A file that must not be used; the message has the expected and the found digest."""


def git_blob(path: Path) -> str:
    """Git's id of a file's bytes: sha1(b"blob <length>\\0" + bytes)."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()


def verify(file: File, path: Path) -> str:
    """How the file is known: `sha256`, `git blob` or the name of its content digest.

    Raises:
        WrongContent: no digest agrees, or none is known.
    """
    found = []
    for name, expected in file.digests.items():
        if name == "sha256":
            got = sha256(path)
        elif name == "git blob":
            got = git_blob(path)
        else:
            got = _of_content(file.content, path)
        if got == expected:
            return name
        found.append(f"{name} expected {expected}, got {got}")
    raise WrongContent("; ".join(found) or "unverified: no digest of it is known")


def _of_content(content: Content | None, path: Path) -> str:
    from elbogap.data.formats import (
        CONTENT,  # not above: the Snakefile comes here, and the readers take their time
    )

    assert content is not None
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES} bytes")
        return CONTENT[content.reader](path, content.most)
    except (ValueError, MemoryError) as error:
        return f"a damaged file ({error})"
