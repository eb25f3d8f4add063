"""What a claim is: the typed form of `paper/<document>/claims.yaml`, and the files that its check reads.

Only pydantic and PyYAML are imported here, so that the Snakefile can ask for the tables a check needs.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    FiniteFloat,
    StringConstraints,
    Tag,
    ValidationError,
    model_validator,
)

from elbogap.config.base import Section
from elbogap.config.yaml_file import read_yaml
from elbogap.errors import UserError, did_you_mean, shown
from elbogap.places import visible

Scalar = bool | int | FiniteFloat | str
NonNegative = Annotated[FiniteFloat, Field(ge=0)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Columns = Annotated[
    tuple[Text, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)
]


class Part(Section):
    """A mapping in a claims file; unknown keys are refused with the allowed ones."""

    @model_validator(mode="before")
    @classmethod
    def _only_known_keys(cls, values: Any) -> Any:
        for key in values if isinstance(values, dict) else ():
            if key not in cls.model_fields:
                allowed = sorted(cls.model_fields)
                hint = did_you_mean(key, allowed)
                raise ValueError(f"unknown key {shown(key)}{hint}; allowed here: {', '.join(allowed)}")
        return values


class Check(Part):
    """What every kind of check has: a metric column and the columns in each group of which it must hold."""

    metric: Text
    per: Columns = ()

    def keys(self) -> tuple[str, ...]:
        """The columns that tell the compared cells apart, other than `per`."""
        return ()


class Ordering(Check):
    """`m(order[0]) < m(order[1]) < ...`, each step larger than the tolerance (a margin)."""

    kind: Literal["ordering"]
    column: Text
    order: Annotated[tuple[Scalar, ...], Field(min_length=2)]

    def keys(self) -> tuple[str, ...]:
        """The column of the ordered levels."""
        return (self.column,)

    @model_validator(mode="after")
    def _each_once(self) -> "Ordering":
        if len(set(self.order)) < len(self.order):
            raise ValueError("'order' names a level twice")
        return self


class Value(Check):
    """`|measured - published| <= tolerance`, or `<= tolerance |published|` if relative."""

    kind: Literal["value"]
    relative: bool = False


class Ratio(Check):
    """`low - tolerance <= m(numerator) / m(denominator) <= high + tolerance`; one side may be open."""

    kind: Literal["ratio"]
    column: Text
    numerator: Scalar
    denominator: Scalar
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None

    def keys(self) -> tuple[str, ...]:
        """The column of the numerator and the denominator."""
        return (self.column,)

    @model_validator(mode="after")
    def _limits(self) -> "Ratio":
        if self.low is None and self.high is None:
            raise ValueError("give 'low', 'high' or both")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError("'low' is larger than 'high'")
        if self.numerator == self.denominator:
            raise ValueError("'numerator' and 'denominator' are the same level")
        return self


class Monotone(Check):
    """No step along a column goes in the wrong direction by more than the tolerance."""

    kind: Literal["monotone"]
    along: Text
    direction: Literal["increasing", "decreasing"]

    def keys(self) -> tuple[str, ...]:
        """The column along which the metric changes."""
        return (self.along,)


class Bound(Check):
    """`lower - tolerance <= m <= upper + tolerance` for every value; limits are numbers or columns."""

    kind: Literal["bound"]
    lower: FiniteFloat | Text | None = None
    upper: FiniteFloat | Text | None = None

    @model_validator(mode="after")
    def _limits(self) -> "Bound":
        if self.lower is None and self.upper is None:
            raise ValueError("give 'lower', 'upper' or both")
        return self


AnyCheck = Annotated[Ordering | Value | Ratio | Monotone | Bound, Field(discriminator="kind")]


class PublishedValue(Part):
    """One number that the document states, and where."""

    value: FiniteFloat
    source: Text


class PublishedFile(Part):
    """Numbers in a column of a file in the document's `published/`, joined to measured rows by keys."""

    file: Annotated[str, StringConstraints(pattern=r"^[\w.-]+\.csv$")]
    column: Text
    by: Annotated[Columns, Field(min_length=1)]


def _published_form(value: Any) -> str:
    return (
        "file"
        if isinstance(value, PublishedFile) or (isinstance(value, dict) and "file" in value)
        else "value"
    )


Published = Annotated[
    Annotated[PublishedFile, Tag("file")] | Annotated[PublishedValue, Tag("value")],
    Discriminator(_published_form),
]


Status = Literal["require", "report", "skip"]


class AtScale(Part):
    """What one scale asks of a claim: required, reported or skipped, and how exactly it must hold."""

    status: Status
    tolerance: NonNegative | None = None

    @model_validator(mode="after")
    def _tolerance_unless_skipped(self) -> "AtScale":
        if self.status != "skip" and self.tolerance is None:
            raise ValueError(f"missing key 'tolerance' (status is {self.status})")
        return self


class Scales(Part):
    """What each scale asks of a claim; none may be left unsaid."""

    smoke: AtScale
    laptop: AtScale
    paper: AtScale


class Claim(Part):
    """One statement of a document and the check that decides it."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    item: Text
    statement: Text
    table: Annotated[str, StringConstraints(pattern=r"^[\w-]+(/[\w-]+)*\.csv$")]
    select: dict[Text, Scalar | Annotated[tuple[Scalar, ...], Field(min_length=1)]] = Field(default={})
    check: AnyCheck
    spread: Columns = ()
    published: Published | None = None
    scales: Scales
    note: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> "Claim":
        if isinstance(self.check, Value) and self.published is None:
            raise ValueError("a check of kind value needs the key 'published'")
        by = self.published.by if isinstance(self.published, PublishedFile) else ()
        if by and not isinstance(self.check, Value):
            raise ValueError(
                "published.file belongs to checks of kind value; give published.value and source"
            )
        for column, uses in Counter((*self.check.keys(), *self.check.per, *by, *self.spread)).items():
            if uses > 1:
                raise ValueError(
                    f"column '{column}' has two roles; it can be one of column, along, per, by, spread"
                )
        return self

    def at(self, scale: str) -> AtScale | None:
        """What a scale asks of this claim; nothing if it is a scale of the user's own."""
        return getattr(self.scales, scale) if scale in Scales.model_fields else None


class ClaimsFile(Part):
    """The claims of one document."""

    claims: Annotated[tuple[Claim, ...], Field(min_length=1)]


Claims = Mapping[str, tuple[Claim, ...]]
"""The claims by the key of their document."""


def load(paper: Path) -> Claims:
    """The claims of all documents, from the files `<document>/claims.yaml`, in the order of the keys.

    Raises:
        UserError: a file is unreadable or breaks the form, or an id is used twice; the message names the
            file, the claim and the key.
    """
    documents: dict[str, tuple[Claim, ...]] = {}
    homes: dict[str, Path] = {}
    for path in visible(paper, "*/claims.yaml"):
        claims = documents[path.parent.name] = _load(path)
        for claim in claims:
            if claim.id in homes:
                raise UserError(f"{path}: claim {claim.id}: id is used twice (first in {homes[claim.id]})")
            homes[claim.id] = path
    return documents


def tables_needed(paper: Path, scale: str, results: Path = Path("results")) -> list[str]:
    """The paths `results/<scale>/...` of the tables that the claims of a scale read, skipped ones aside.

    A scale that claims do not know skips none.
    """
    return sorted({str(results / scale / claim.table) for _, claim in _assessed(paper, scale)})


def texts_needed(paper: Path, scale: str) -> list[str]:
    """The paths of all claims files, and of the published numbers that the claims of a scale read."""
    published = {
        str(published_folder(paper, document) / claim.published.file)
        for document, claim in _assessed(paper, scale)
        if isinstance(claim.published, PublishedFile)
    }
    return [*map(str, visible(paper, "*/claims.yaml")), *sorted(published)]


def published_folder(paper: Path, document: str) -> Path:
    """Where the numbers that a document states lie."""
    return paper / document / "published"


def _assessed(paper: Path, scale: str) -> Iterator[tuple[str, Claim]]:
    for document, claims in load(paper).items():
        for claim in claims:
            asked = claim.at(scale)
            if asked is None or asked.status != "skip":
                yield document, claim


def _load(path: Path) -> tuple[Claim, ...]:
    try:
        values = read_yaml(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        return ClaimsFile.model_validate(values).claims
    except ValidationError as error:
        first, others = error.errors()[0], error.error_count() - 1
        more = f" (and {others} more)" if others else ""
        raise UserError(f"{path}: {_explain(first, values)}{more}") from error


def _explain(problem: Any, values: Any) -> str:
    location, where = list(problem["loc"]), ""
    if location[:1] == ["claims"] and len(location) > 1:
        number = location[1]
        entry = values["claims"][number]
        name = entry.get("id") if isinstance(entry, dict) else None
        told = shown(name).strip("'") if name else f"number {number + 1}"
        where, location = f"claim {told}: ", location[2:]
    if location and location[0] in ("check", "published"):
        del location[1:2]  # the form that pydantic chose, which is no key of the file
    if problem["type"] == "missing":
        return f"{where}missing key '{'.'.join(map(str, location))}'"
    if problem["type"] == "union_tag_invalid":
        tag, expected = shown(problem["ctx"]["tag"]), problem["ctx"]["expected_tags"]
        return f"{where}unknown kind {tag}; allowed: {expected}"
    if problem["type"] == "union_tag_not_found":
        return f"{where}missing key '{'.'.join(map(str, location))}.kind'"
    key = f"{'.'.join(map(str, location))}: " if location else ""
    if problem["type"] == "value_error":
        return f"{where}{key}{problem['ctx']['error']}"
    return f"{where}{key}{problem['msg']} (got {shown(problem['input'])})"
