"""Which data records are believed: a record repeats the table of sources, and that decides."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from elbogap import untrusted
from elbogap.data.sources import File, source
from elbogap.errors import UserError

SYNTHETIC, DERIVED = "synthetic", "derived from "
"""The variants of stand-ins: the second goes before the name of the data set they are made from."""


MOST_BYTES = 2**20
"""Of a record; it has a few kB."""


@dataclass(frozen=True)
class Believed:
    """A record that agrees with the table of sources.

    Attributes:
        record: as it was written.
        files: its files in the table, each with the sha256 of the copy that the record was made from.
    """

    record: dict[str, Any]
    files: tuple[tuple[File, str], ...]


class _Named(BaseModel):
    name: str
    sha256: str


class _Record(BaseModel, extra="allow"):
    dataset: str
    kind: Literal["real", "stand-in"]
    variant: str
    files: list[_Named]
    state: str = ""
    policy: str = ""
    stand_in: dict[str, str | int] = {}


def read(path: Path) -> Believed:
    """The data record in a file.

    Raises:
        UserError: it is no data record, or names other files or digests than the table of sources.
        OSError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            record = _Record.model_validate_json(untrusted.read(file, MOST_BYTES))
        return Believed(record.model_dump(exclude_unset=True), tuple(_files(record)))
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        reason = ": ".join([*filter(None, [".".join(map(str, problem["loc"]))]), problem["msg"]])
    except (UserError, ValueError) as error:
        reason = str(error)
    raise UserError(f"{path}: no readable data record ({reason}); rebuild it")


def _files(record: _Record) -> list[tuple[File, str]]:
    expected = _expected(record)
    if [file.name for file in expected] != [named.name for named in record.files]:
        raise ValueError(f"its files are not those of {record.dataset} in the table of sources")
    for file, named in zip(expected, record.files, strict=True):
        if file.sha256 != named.sha256 and not (file.git_blob or file.content):
            raise ValueError(f"{file.name}: sha256 {named.sha256} is not that of the table of sources")
    return [(file, named.sha256) for file, named in zip(expected, record.files, strict=True)]


def _expected(record: _Record) -> tuple[File, ...]:
    """The files that the table of sources has for a record."""
    origin, variant = source(record.dataset), record.variant
    if record.kind == "stand-in":
        if variant == SYNTHETIC:
            return ()
        origin = source(variant.removeprefix(DERIVED))
        variant = str(record.stand_in.get("variant"))
    for one in origin.variants:
        if one.name == variant:
            return one.files
    raise ValueError(f"{origin.name} has no variant '{variant}'")
