"""Which data records are believed: a record repeats the table of sources, and that decides."""

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


class _Copy(BaseModel):
    name: str
    sha256: str


class _Record(BaseModel, extra="allow"):
    dataset: str
    kind: Literal["real", "stand-in"]
    variant: str
    files: list[_Copy]
    state: str = ""
    policy: str = ""
    stand_in: dict[str, str | int] = {}

    def expected(self) -> tuple[File, ...]:
        """Its files in the table of sources."""
        origin, variant = source(self.dataset), self.variant
        if self.kind == "stand-in":
            if variant == SYNTHETIC:
                return ()
            origin, variant = source(variant.removeprefix(DERIVED)), str(self.stand_in.get("variant"))
        return origin.variant(variant).files

    def copies(self) -> list[tuple[File, str]]:
        """The same, each with the sha256 of the copy.

        Raises:
            ValueError: these are others than its own.
        """
        expected = self.expected()
        if [file.name for file in expected] != [copy.name for copy in self.files]:
            raise ValueError(f"its files are not those of {self.dataset} in the table of sources")
        pairs = [(file, copy.sha256) for file, copy in zip(expected, self.files, strict=True)]
        for file, sha256 in pairs:
            if file.sha256 != sha256 and not (file.git_blob or file.content):
                raise ValueError(f"{file.name}: sha256 {sha256} is not that of the table of sources")
        return pairs


def read(path: Path) -> tuple[dict[str, Any], list[tuple[File, str]]]:
    """The data record in a file, which agrees with the table of sources.

    Returns:
        The record as it was written, and its files in the table, each with the sha256 of the copy that the
        record was made from.

    Raises:
        UserError: it is no data record, or names other files or digests than the table of sources.
        OSError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            record = _Record.model_validate_json(untrusted.read(file, MOST_BYTES))
        return record.model_dump(exclude_unset=True), record.copies()
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        reason = ": ".join([*filter(None, [".".join(map(str, problem["loc"]))]), problem["msg"]])
    except (UserError, ValueError) as error:
        reason = str(error)
    raise UserError(f"{path}: no readable data record ({reason}); rebuild it")
