"""What a claim is: the typed form of `paper/<document>/claims.yaml`, and the files that its check reads.

Only pydantic and PyYAML are imported here, so that the Snakefile can ask for the tables that the checks need.
"""

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, StringConstraints, Tag, model_validator

from elbogap.config.base import Section, read, validated
from elbogap.errors import UserError, shown
from elbogap.places import visible

Level = bool | int | float | str
"""A value of a column by which rows are chosen or compared."""
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
_OneOrList = BeforeValidator(lambda given: given if isinstance(given, list | tuple) else (given,))
Columns = Annotated[tuple[Text, ...], _OneOrList]
Levels = Annotated[tuple[Level, ...], Field(min_length=1), _OneOrList]


class Check(Section):
    """A check of m, the mean of a column `metric` over replicates, in each group of the columns `per`.

    A kind of check is a subclass, a member of :data:`AnyCheck` and a function in `checks.KINDS`.
    """

    metric: Text
    per: Columns = ()

    def keys(self) -> tuple[str, ...]:
        """The columns, other than `per`, that distinguish the compared cells."""
        return tuple(getattr(self, name) for name in ("column", "along") if hasattr(self, name))

    def numbers(self) -> tuple[str, ...]:
        """The columns that are compared or followed, limits among them."""
        named = [getattr(self, name, None) for name in ("metric", "along", "lower", "upper")]
        return tuple(column for column in named if isinstance(column, str))

    @abstractmethod
    def words(self, tolerance: float | None, target: str) -> str:
        """What is asked in each group; without a tolerance (None) the words leave it out."""


class Ordering(Check):
    """`m(order[0]) < m(order[1]) < ...`, each step larger than the tolerance (a margin)."""

    kind: Literal["ordering"]
    column: Text
    order: Annotated[tuple[Level, ...], Field(min_length=2)]

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.order)) < len(self.order):
            raise ValueError("'order' names a level twice")
        return self

    def words(self, tolerance: float | None, target: str) -> str:
        """`kl by method: a < b by more than 0.5`."""
        each = ", each" if len(self.order) > 2 else ""
        margin = f"{each} by more than {number(tolerance)}" if tolerance else ""
        return f"{self.metric} by {self.column}: {' < '.join(map(str, self.order))}{margin}"


class Value(Check):
    """`|m - published| <= tolerance`, or `<= tolerance |published|` if relative."""

    kind: Literal["value"]
    relative: bool = False

    def words(self, tolerance: float | None, target: str) -> str:
        """`kl within 5 % of 312.4`."""
        if tolerance is None:
            return f"{self.metric} near {target}"
        reach = f"{number(100 * tolerance)} %" if self.relative else number(tolerance)
        return f"{self.metric} within {reach} of {target}"


class Ratio(Check):
    """`low - tolerance <= m(numerator) / m(denominator) <= high + tolerance`; one side may be open."""

    kind: Literal["ratio"]
    column: Text
    numerator: Level
    denominator: Level
    low: float | None = None
    high: float | None = None

    @model_validator(mode="after")
    def _limits(self) -> Self:
        if self.low is None and self.high is None:
            raise ValueError("give 'low', 'high' or both")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError("'low' is larger than 'high'")
        if self.numerator == self.denominator:
            raise ValueError("'numerator' and 'denominator' are the same level")
        return self

    def words(self, tolerance: float | None, target: str) -> str:
        """`kl by k: 20 / 100 from 2.5 to 7.5`."""
        limits = _limits(self.low, self.high, tolerance)
        return f"{self.metric} by {self.column}: {self.numerator} / {self.denominator} {limits}"


class Monotone(Check):
    """No step along a column goes in the wrong direction by more than the tolerance."""

    kind: Literal["monotone"]
    along: Text
    direction: Literal["increasing", "decreasing"]

    def words(self, tolerance: float | None, target: str) -> str:
        """`kl decreasing along k, up to 0.01 a step`."""
        most = f", up to {number(tolerance)} a step" if tolerance else ""
        return f"{self.metric} {self.direction} along {self.along}{most}"


class Bound(Check):
    """`lower - tolerance <= m <= upper + tolerance` for every value; limits are numbers or columns."""

    kind: Literal["bound"]
    lower: float | Text | None = None
    upper: float | Text | None = None

    @model_validator(mode="after")
    def _limits(self) -> Self:
        if self.lower is None and self.upper is None:
            raise ValueError("give 'lower', 'upper' or both")
        return self

    def words(self, tolerance: float | None, target: str) -> str:
        """`gap from best - 0.1 to 3.1`."""
        return f"{self.metric} {_limits(self.lower, self.upper, tolerance)}"


AnyCheck = Annotated[Ordering | Value | Ratio | Monotone | Bound, Discriminator("kind")]


class PublishedValue(Section):
    """One number that the document states, and where."""

    value: float
    source: Text


class PublishedFile(Section):
    """Numbers in a column of a file in the document's `published/`, joined to measured rows by keys."""

    file: Annotated[str, StringConstraints(pattern=r"^[\w.-]+\.csv$")]
    column: Text
    by: Annotated[Columns, Field(min_length=1)]


Published = Annotated[
    Annotated[PublishedFile, Tag("a file")] | Annotated[PublishedValue, Tag("a value")],
    Discriminator(lambda given: "a file" if isinstance(given, dict) and "file" in given else "a value"),
]

Status = Literal["require", "report", "skip"]


class AtScale(Section):
    """What one scale asks of a claim: required, reported or skipped, and how exactly it must hold."""

    status: Status
    tolerance: Annotated[float, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _tolerance_unless_skipped(self) -> Self:
        if self.status != "skip" and self.tolerance is None:
            raise ValueError(f"missing key 'tolerance' (status is {self.status})")
        return self


class Scales(Section):
    """What each scale asks of a claim; none may be left out."""

    smoke: AtScale
    laptop: AtScale
    paper: AtScale


class Claim(Section):
    """One statement of a document and the check that decides it."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    item: Text
    statement: Text
    table: Annotated[str, StringConstraints(pattern=r"^[\w-]+(/[\w-]+)*\.csv$")]
    select: dict[Text, Levels] = Field(default={})
    check: AnyCheck
    spread: Columns = ()
    published: Published | None = None
    scales: Scales
    note: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
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
        """What a scale asks of this claim; None if it is a scale of the user's own."""
        return getattr(self.scales, scale) if scale in Scales.model_fields else None

    def criterion(self, tolerance: float | None) -> str:
        """The check in words, such as `kl by method: a < b by more than 0.5, for each dataset`."""
        published = self.published
        target = number(published.value) if isinstance(published, PublishedValue) else "the published values"
        words = self.check.words(tolerance, target)
        return f"{words}, for each {', '.join(self.check.per)}" if self.check.per else words


class ClaimsFile(Section):
    """The claims of one document, as they were read."""

    claims: Annotated[tuple[dict[str, Any], ...], Field(min_length=1)]


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
        for number, values in enumerate(read(ClaimsFile, path).claims, 1):
            name = shown(values["id"]).strip("'") if values.get("id") else f"number {number}"
            claim = validated(Claim, values, f"{path}: claim {name}")
            if claim.id in homes:
                raise UserError(f"{path}: claim {claim.id}: id is used twice (first in {homes[claim.id]})")
            homes[claim.id] = path
            documents[path.parent.name] = (*documents.get(path.parent.name, ()), claim)
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
    """The folder of the numbers that a document states."""
    return paper / document / "published"


def _assessed(paper: Path, scale: str) -> Iterator[tuple[str, Claim]]:
    for document, claims in load(paper).items():
        for claim in claims:
            asked = claim.at(scale)
            if not (asked and asked.status == "skip"):
                yield document, claim


def number(value: float) -> str:
    """A number as people read it: at most six significant digits."""
    return f"{float(value):.6g}"


def _limits(low: float | str | None, high: float | str | None, tolerance: float | None) -> str:
    """The limits, numbers or columns, moved apart by the tolerance; one of them may be open."""
    moved = {"-": low, "+": high}
    for sign, limit in moved.items():
        if isinstance(limit, str):
            moved[sign] = f"{limit} {sign} {number(tolerance)}" if tolerance else limit
        elif limit is not None:
            moved[sign] = number(limit + float(f"{sign}{tolerance or 0}"))
    if None not in moved.values():
        return f"from {moved['-']} to {moved['+']}"
    return f"at most {moved['+']}" if low is None else f"at least {moved['-']}"
