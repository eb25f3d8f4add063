"""From claims and tables to verdicts: reproduced, not reproduced, or not assessed."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import get_args

import pandas as pd
from pydantic import ValidationError

from elbogap import tables
from elbogap.claims import checks, specification
from elbogap.claims.checks import Finding, Reference
from elbogap.claims.criterion import criterion
from elbogap.claims.specification import Claim, PublishedFile, PublishedValue, Status, Value
from elbogap.errors import UserError

REPRODUCED, NOT_REPRODUCED, NOT_ASSESSED = VERDICTS = ("reproduced", "not reproduced", "not assessed")


@dataclass(frozen=True)
class Verdict:
    """One row of `results/<scale>/claims.csv`; numbers that do not apply are None."""

    id: str
    document: str
    item: str
    statement: str
    kind: str
    scale: str
    status: str
    verdict: str
    criterion: str
    measured: str
    spread: float | None
    published: str
    source: str
    tolerance: float | None
    detail: str
    note: str


COLUMNS = [field.name for field in fields(Verdict)]
NUMBERS = ("spread", "tolerance")


def assess_all(
    documents: specification.Claims, scale: str, results: Path, paper: Path, *, partial: bool = False
) -> pd.DataFrame:
    """The verdicts of all claims at a scale, one row each.

    Args:
        documents: the claims by document, from :func:`elbogap.claims.specification.load`.
        scale: the name of the scale; tables are read from `results/<scale>`.
        results: the folder of results.
        paper: the folder of the documents' texts.
        partial: the run is not finished: a claim whose table is missing is not assessed.

    Raises:
        UserError: a claim cannot be decided because it, its table or its published file is broken; the
            message names the claim.
    """
    read: dict[Path, pd.DataFrame] = {}
    verdicts = []
    for document, claims in documents.items():
        published = specification.published_folder(paper, document)
        for claim in claims:
            try:
                if partial and not (results / scale / claim.table).is_file():
                    missing = "its table is not made at this scale yet"
                    verdicts.append(_verdict(claim, document, scale, NOT_ASSESSED, missing, None))
                else:
                    verdicts.append(_assess(claim, document, scale, results / scale, published, read))
            except UserError as error:
                raise UserError(f"claim {claim.id}: {error}") from error
    frame = pd.DataFrame([asdict(verdict) for verdict in verdicts], columns=COLUMNS)
    return frame.astype(dict.fromkeys(NUMBERS, float))


def find(claim: Claim, rows: pd.DataFrame, tolerance: float, published: Path) -> Finding:
    """What the claim's check finds in the selected rows; `published` is the folder of published files."""
    if isinstance(claim.check, Value):
        return checks.value(rows, claim.check, tolerance, claim.spread, reference_of(claim, published))
    return checks.CHECKS[claim.check.kind](rows, claim.check, tolerance, claim.spread)


def select(rows: pd.DataFrame, claim: Claim) -> pd.DataFrame:
    """The rows whose columns have the selected values.

    Raises:
        UserError: a column is missing, or a selected value is in no row.
    """
    for column, wanted in claim.select.items():
        values = wanted if isinstance(wanted, tuple) else (wanted,)
        if column not in rows:
            raise UserError(
                f"select: no column '{column}' in {claim.table}; its columns: {', '.join(rows.columns)}"
            )
        for value in values:
            if not (rows[column] == value).any():
                raise UserError(
                    f"select: no row of {claim.table} has {column}={value} (and what is selected before)"
                )
        rows = rows[rows[column].isin(values)]
    if rows.empty:
        raise UserError(f"{claim.table} has no rows")
    return rows


def reference_of(claim: Claim, published: Path) -> Reference:
    """The published values of a claim; `select` applies to a published file where it has the column.

    Raises:
        UserError: the file is missing, lacks a column or a source, has a key twice, or no value is left.
    """
    assert claim.published is not None  # the specification refuses a value check without it
    if not isinstance(claim.published, PublishedFile):
        return Reference((), {(): claim.published})
    path, column, by = published / claim.published.file, claim.published.column, claim.published.by
    rows = tables.read_table(path)
    for name in (*by, column, "source"):
        if name not in rows:
            raise UserError(f"{path}: no column '{name}'; its columns: {', '.join(rows.columns)}")
    for name, wanted in claim.select.items():
        if name in rows:
            rows = rows[rows[name].isin(wanted if isinstance(wanted, tuple) else (wanted,))]
    rows = rows.dropna(subset=[column])  # a document may leave cells of a table empty
    if rows.empty:
        raise UserError(f"{path}: no published value of '{column}' is left after select")
    if rows.duplicated(list(by)).any():
        raise UserError(f"{path}: {', '.join(by)} do not tell its rows apart")
    if rows["source"].isna().any():
        raise UserError(f"{path}: a row has no source")
    keys = rows[list(by)].itertuples(index=False, name=None)
    try:
        values = [PublishedValue(value=row[column], source=row["source"]) for _, row in rows.iterrows()]
    except ValidationError as error:
        raise UserError(f"{path}: '{column}' must be finite numbers and 'source' text") from error
    return Reference(by, dict(zip(keys, values, strict=True)))


def failures(verdicts: pd.DataFrame) -> list[str]:
    """One line per required claim that is not reproduced."""
    failed = verdicts[(verdicts["status"] == "require") & (verdicts["verdict"] == NOT_REPRODUCED)]
    return [
        f"claim {row.id}: required at {row.scale}, not reproduced: measured {row.measured}, "
        + (f"published {row.published}, " if row.published else "")
        + f"tolerance {checks.number(row.tolerance)} ({row.detail})"
        for row in failed.itertuples()
    ]


def read_verdicts(path: Path) -> pd.DataFrame:
    """The table that :func:`assess_all` made, as it was before it was written: empty text stays text.

    Raises:
        UserError: the file is missing or is not a table of verdicts.
    """
    remedy = "run the claims command again, or restore it if it is a recorded one"
    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False)
        numbers = {name: [float(word or "nan") for word in rows[name]] for name in NUMBERS if name in rows}
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as a table of verdicts ({error}); {remedy}") from error
    if list(rows.columns) != COLUMNS or rows.empty:
        raise UserError(f"{path}: is not a table of verdicts; {remedy}")
    for column, known in (("verdict", VERDICTS), ("status", get_args(Status))):
        for word in sorted(set(rows[column]) - set(known)):
            raise UserError(f"{path}: unknown {column} '{word}' (known: {', '.join(known)}); {remedy}")
    return rows.assign(**numbers)


def _assess(
    claim: Claim, document: str, scale: str, results: Path, published: Path, read: dict[Path, pd.DataFrame]
) -> Verdict:
    asked = claim.at(scale)
    if asked and asked.status == "skip":
        return _verdict(claim, document, scale, NOT_ASSESSED, "skipped at this scale", None)
    path = results / claim.table
    if path not in read:
        read[path] = tables.read_table(path)
    if asked is None:
        return _measured_only(claim, document, scale, read[path], published)
    rows = select(read[path], claim)
    finding = find(claim, rows, asked.tolerance or 0.0, published)
    if "data" in rows and (rows["data"] == "stand-in").any():
        return _verdict(claim, document, scale, NOT_ASSESSED, "rests on stand-in data", finding)
    return _verdict(
        claim, document, scale, REPRODUCED if finding.holds else NOT_REPRODUCED, finding.detail, finding
    )


def _measured_only(claim: Claim, document: str, scale: str, table: pd.DataFrame, published: Path) -> Verdict:
    """What is measured at a scale of the user's own, which may lack what the claim looks at."""
    try:
        finding = find(claim, select(table, claim), 0.0, published)
    except UserError as error:
        return _verdict(claim, document, scale, NOT_ASSESSED, str(error), None)
    return _verdict(claim, document, scale, NOT_ASSESSED, "claims ask nothing of this scale", finding)


def _verdict(
    claim: Claim, document: str, scale: str, verdict: str, detail: str, finding: Finding | None
) -> Verdict:
    asked = claim.at(scale)
    tolerance = asked.tolerance if asked else None
    published = finding.published if finding and finding.published else claim.published
    stated = published if isinstance(published, PublishedValue) else None
    return Verdict(
        id=claim.id,
        document=document,
        item=claim.item,
        statement=claim.statement,
        kind=claim.check.kind,
        scale=scale,
        status=asked.status if asked else "report",
        verdict=verdict,
        criterion=criterion(claim, tolerance),
        measured=finding.measured if finding else "",
        spread=finding.spread if finding else None,
        published=checks.number(stated.value) if stated else "",
        source=stated.source if stated else "",
        tolerance=tolerance,
        detail=detail,
        note=claim.note,
    )
