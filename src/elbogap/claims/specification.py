"""What a claim is: the typed form of `paper/<document>/claims.yaml`, and the files that its check reads.

Only pydantic and PyYAML are imported here, so that the Snakefile can ask for the tables that the checks need.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, StringConstraints, Tag
from pydantic.functional_validators import AfterValidator, BeforeValidator, model_validator

from elbogap.config.base import Section, read, validated
from elbogap.errors import UserError, shown
from elbogap.places import visible

Level = bool | int | float | str  # a value of a column by which rows are chosen or compared
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
_OneOrList = BeforeValidator(lambda given: given if isinstance(given, list | tuple) else (given,))
Columns = Annotated[tuple[Text, ...], _OneOrList]
Levels = Annotated[tuple[Level, ...], Field(min_length=1), _OneOrList]


class Check(Section):
    """A check of m, the mean of a column `metric` over replicates, in each group of the columns `per`."""

    metric: Text
    per: Columns = ()

    def keys(self) -> tuple[str, ...]:
        """The columns, other than `per`, that distinguish the compared cells."""
        return tuple(getattr(self, name) for name in ("column", "along") if hasattr(self, name))

    def levels(self) -> tuple[Level, ...]:
        """The levels of a column that are compared; none where all rows are."""
        return getattr(self, "order", ()) or tuple(
            getattr(self, name) for name in ("numerator", "denominator") if hasattr(self, name)
        )

    def numbers(self) -> tuple[str, ...]:
        """The columns that are compared or followed, limits among them."""
        named = [getattr(self, name, None) for name in ("metric", "along", "lower", "upper")]
        return tuple(column for column in named if isinstance(column, str))


class Ordering(Check):
    """`m(order[0]) < m(order[1]) < ...`, each step larger than the tolerance (a margin)."""

    kind: Literal["ordering"]
    column: Text
    order: Annotated[tuple[Level, ...], Field(min_length=2)]


class Value(Check):
    """`|m - published| <= tolerance`, or `<= tolerance |published|` if relative."""

    kind: Literal["value"]
    relative: bool = False


class Ratio(Check):
    """`low - tolerance <= m(numerator) / m(denominator) <= high + tolerance`; one side may be open."""

    kind: Literal["ratio"]
    column: Text
    numerator: Level
    denominator: Level
    low: float | None = None
    high: float | None = None


class Monotone(Check):
    """No step along a column goes in the wrong direction by more than the tolerance."""

    kind: Literal["monotone"]
    along: Text
    direction: Literal["increasing", "decreasing"]


class Bound(Check):
    """`lower - tolerance <= m <= upper + tolerance` for every value; limits are numbers or columns."""

    kind: Literal["bound"]
    lower: float | Text | None = None
    upper: float | Text | None = None


def _consistent(check: Check) -> Check:
    match check:
        case Ordering(order=order) if len(set(order)) < len(order):
            raise ValueError("'order' names a level twice")
        case Ratio(low=None, high=None):
            raise ValueError("give 'low', 'high' or both")
        case Ratio(low=float(low), high=float(high)) if low > high:
            raise ValueError("'low' is larger than 'high'")
        case Ratio(numerator=numerator, denominator=denominator) if numerator == denominator:
            raise ValueError("'numerator' and 'denominator' are the same level")
        case Bound(lower=None, upper=None):
            raise ValueError("give 'lower', 'upper' or both")
    return check


AnyCheck = Annotated[
    Ordering | Value | Ratio | Monotone | Bound, Discriminator("kind"), AfterValidator(_consistent)
]


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
Nature = Literal["identity", "setting", "finding"]
"""True by theorem or construction, a test of the code; a fact of the set-up; or open until measured."""
Origin = Literal["document", "ours", "after"]
"""Stated by the document, by us, or chosen after results were seen."""


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
    """What each scale asks of a claim; `workstation` asks what `paper` does where it is left out."""

    smoke: AtScale
    laptop: AtScale
    workstation: AtScale | None = None
    paper: AtScale


class Claim(Section):
    """One statement of a document, the check that decides it, and what chance can do.

    `replicates` are the columns that number independent repetitions; `standard_error` is a column that holds
    the metric's; `exact` numbers have no chance in them but what the tolerance allows for. Without any of
    these a table holds one outcome of a random experiment, which decides nothing. `provided` is a column of
    truth values, such as whether training converged: a group with a false one decides nothing.
    `least_fraction` is that of the groups in which it must hold, less than 1 for words such as "almost all".
    """

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    item: Text
    statement: Text
    table: Annotated[str, StringConstraints(pattern=r"^[\w-]+(/[\w-]+)*\.csv$")]
    select: dict[Text, Levels] = Field(default={})
    check: AnyCheck
    nature: Nature
    origin: Origin
    replicates: Columns = ()
    standard_error: Text | None = None
    exact: bool = False
    provided: Text | None = None
    least_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
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
        for column, uses in Counter((*self.check.keys(), *self.check.per, *by, *self.replicates)).items():
            if uses > 1:
                raise ValueError(
                    f"column '{column}' has two roles; it can be one of column, along, per, by, replicates"
                )
        if self.standard_error and (self.exact or self.replicates):
            raise ValueError("'standard_error' stands for 'replicates'; exact numbers have none")
        if self.nature == "finding" and "require" in [self.at(scale).status for scale, _ in self.scales]:
            raise ValueError("a finding cannot be required, only reported: it may come out either way")
        return self

    def numbers(self) -> tuple[str, ...]:
        """The columns of numbers that decide it."""
        return self.check.numbers() + ((self.standard_error,) if self.standard_error else ())

    def at(self, scale: str) -> AtScale:
        """What a scale asks of this claim; one of the user's own asks for a report without a tolerance."""
        if scale not in Scales.model_fields:
            return AtScale.model_construct(status="report")
        return getattr(self.scales, scale) or self.scales.paper

    def criterion(self, tolerance: float | None) -> str:
        """The check in words; where the scale gives no tolerance, they leave it out."""
        check, by = self.check, number(tolerance) if tolerance else ""
        match check:
            case Ordering():
                words = f"by {check.column}: {' < '.join(map(str, check.order))}"
                words += f"{', each' if len(check.order) > 2 else ''} by more than {by}" if by else ""
            case Value(relative=relative):
                factor, unit = (100, " %") if relative else (1, "")
                near = "near" if tolerance is None else f"within {number(factor * tolerance)}{unit} of"
                stated = isinstance(self.published, PublishedValue) and number(self.published.value)
                words = f"{near} {stated or 'the published values'}"
            case Ratio():
                limits = _limits(check.low, check.high, tolerance)
                words = f"by {check.column}: {check.numerator} / {check.denominator} {limits}"
            case Monotone():
                words = f"{check.direction} along {check.along}" + (f", up to {by} a step" if by else "")
            case Bound():
                words = _limits(check.lower, check.upper, tolerance)
        part = f", in at least {100 * self.least_fraction:g} % of the groups by "
        each = (
            f"{', for each ' if self.least_fraction == 1 else part}{', '.join(check.per)}"
            if check.per
            else ""
        )
        return f"{check.metric} {words}{each}"


class ClaimsFile(Section):
    """The claims of one document, as they were read."""

    claims: Annotated[tuple[dict[str, Any], ...], Field(min_length=1)]


Claims = Sequence[tuple[str, Claim]]  # each with the key of its document


def load(paper: Path) -> Claims:
    """The claims of all documents, from the files `<document>/claims.yaml`, in the order of the keys.

    UserError if a file is unreadable or breaks the form (the message names the claim and the key), or an id
    is used twice.
    """
    found: list[tuple[str, Claim]] = []
    homes: dict[str, Path] = {}
    for path in visible(paper, "*/claims.yaml"):
        for number, values in enumerate(read(ClaimsFile, path).claims, 1):
            name = shown(values["id"]).strip("'") if values.get("id") else f"number {number}"
            claim = validated(Claim, values, f"{path}: claim {name}")
            if claim.id in homes:
                raise UserError(f"{path}: claim {claim.id}: id is used twice (first in {homes[claim.id]})")
            homes[claim.id] = path
            found.append((path.parent.name, claim))
    return found


def tables_needed(paper: Path, scale: str, results: Path = Path("results")) -> list[str]:
    """The paths of the tables that the claims of a scale read; a scale that claims do not know skips none."""
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


def _assessed(paper: Path, scale: str) -> Claims:
    return [(document, claim) for document, claim in load(paper) if claim.at(scale).status != "skip"]


def number(value: float) -> str:
    """A number as people read it: at most six significant digits."""
    return f"{float(value):.6g}"


def _limits(low: float | str | None, high: float | str | None, tolerance: float | None) -> str:
    """The limits, numbers or columns, moved apart by the tolerance; one of them may be open."""

    def moved(limit: float | str | None, sign: str) -> str:
        if isinstance(limit, str):
            return f"{limit} {sign} {number(tolerance)}" if tolerance else limit
        return "" if limit is None else number(limit + float(f"{sign}{tolerance or 0}"))

    lower, upper = moved(low, "-"), moved(high, "+")
    if lower and upper:
        return f"from {lower} to {upper}"
    return f"at least {lower}" if lower else f"at most {upper}"
