"""Whether a file is the one in the table of sources: by its bytes or, where those may differ, its content."""

import hashlib
from pathlib import Path

from elbogap.checksums import sha256
from elbogap.data.sources import MOST_BYTES, File


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
    if file.sha256 is not None:
        got = sha256(path)
        if got == file.sha256:
            return "sha256"
        found.append(f"sha256 expected {file.sha256}, got {got}")
    if file.git_blob is not None:
        got = git_blob(path)
        if got == file.git_blob:
            return "git blob"
        found.append(f"git blob expected {file.git_blob}, got {got}")
    if file.content is not None:
        from elbogap.data.formats import CONTENT

        try:
            if path.stat().st_size > MOST_BYTES:
                raise ValueError(f"more than {MOST_BYTES} bytes")
            got = CONTENT[file.content.reader](path, file.content.most)
        except (ValueError, MemoryError) as error:
            got = f"a damaged file ({error})"
        if got == file.content.sha256:
            return file.content.reader
        found.append(f"{file.content.reader} expected {file.content.sha256}, got {got}")
    raise WrongContent("; ".join(found) or "unverified: no digest of it is known")
