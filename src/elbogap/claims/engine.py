"""From claims and tables to verdicts: reproduced, not reproduced, or not assessed."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pandas as pd
from pydantic import ValidationError

from elbogap import tables
from elbogap.claims import checks, specification
from elbogap.claims.checks import Finding, Reference, require_columns
from elbogap.claims.specification import AtScale, Claim, PublishedFile, PublishedValue, Status, number
from elbogap.errors import UserError

REPRODUCED, NOT_REPRODUCED, NOT_ASSESSED = VERDICTS = ("reproduced", "not reproduced", "not assessed")

COLUMNS = [
    "id", "document", "item", "statement", "kind", "scale", "status", "verdict", "criterion", "measured",
    "spread", "published", "source", "tolerance", "detail", "note",
]  # fmt: skip
"""Of the table of verdicts, `results/<scale>/claims.csv`; a number that does not apply is NaN."""
TYPES = dict.fromkeys(COLUMNS, str) | dict.fromkeys(("spread", "tolerance"), float)
Outcome = tuple[str, str, Finding | None]
"""The verdict, the detail of its row, and what the check found, if it was looked for."""


def assess_all(
    claims: specification.Claims, scale: str, results: Path, paper: Path, *, partial: bool = False
) -> pd.DataFrame:
    """The verdicts of all claims on the tables in `results/<scale>`, one row each.

    UserError, which names the claim, if it, its table (if missing: unless the run is `partial`) or its
    published file is broken.
    """
    read = functools.cache(tables.read_table)
    verdicts = []
    for document, claim in claims:
        asked, table = claim.at(scale), results / scale / claim.table
        outcome: Outcome = NOT_ASSESSED, "its table is not made at this scale yet", None
        try:
            if table.is_file() or not partial:
                published = specification.published_folder(paper, document)
                outcome = _decide(claim, asked, table, published, read)
        except UserError as error:
            raise UserError(f"claim {claim.id}: {error}") from error
        verdicts.append({"document": document, "scale": scale, **_row(claim, asked, *outcome)})
    return pd.DataFrame(verdicts, columns=COLUMNS).astype(TYPES)


def _decide(
    claim: Claim, asked: AtScale, table: Path, published: Path, read: Callable[[Path], pd.DataFrame]
) -> Outcome:
    if asked.status == "skip":
        return NOT_ASSESSED, "skipped at this scale", None
    whole = read(table)
    try:
        rows, reference = select(whole, claim), reference_of(claim, published)
        finding = checks.find(rows, claim.check, asked.tolerance or 0.0, claim.spread, reference)
    except UserError as error:
        if asked.tolerance is not None:
            raise
        return NOT_ASSESSED, str(error), None  # a scale of the user's own may lack what the claim is about
    if asked.tolerance is None:
        return NOT_ASSESSED, "claims ask nothing of this scale", finding
    if tables.rests_on_stand_in(rows):
        return NOT_ASSESSED, "rests on stand-in data", finding
    return REPRODUCED if finding.holds else NOT_REPRODUCED, finding.detail, finding


def _row(claim: Claim, asked: AtScale, verdict: str, detail: str, finding: Finding | None) -> dict[str, Any]:
    compared = finding.published if finding else claim.published
    stated = compared if isinstance(compared, PublishedValue) else None
    return {
        **{name: getattr(claim, name) for name in ("id", "item", "statement", "note")},
        "kind": claim.check.kind,
        "status": asked.status,
        "verdict": verdict,
        "criterion": claim.criterion(asked.tolerance),
        "measured": finding.measured if finding else "",
        "spread": finding.spread if finding else None,
        "published": number(stated.value) if stated else "",
        "source": stated.source if stated else "",
        "tolerance": asked.tolerance,
        "detail": detail,
    }


def select(rows: pd.DataFrame, claim: Claim) -> pd.DataFrame:
    """The rows whose columns have the selected values; a UserError if a column or a value is missing."""
    for column, levels in claim.select.items():
        require_columns(rows, [column], before="select: ", after=f" in {claim.table}")
        for level in levels:
            if not (rows[column] == level).any():
                before = "(and what is selected before)"
                raise UserError(f"select: no row of {claim.table} has {column}={level} {before}")
        rows = rows[rows[column].isin(levels)]
    if rows.empty:
        raise UserError(f"{claim.table} has no rows")
    return rows


def reference_of(claim: Claim, published: Path) -> Reference:
    """The published values of a claim; `select` applies to their file where it has the column.

    UserError if the file is missing, lacks a column or a source, has a key twice, or no value is left.
    """
    if not isinstance(claim.published, PublishedFile):
        return Reference((), {(): claim.published})
    path, column, by = published / claim.published.file, claim.published.column, claim.published.by
    rows = tables.read_table(path)
    require_columns(rows, (*by, column, "source"), before=f"{path}: ")
    for name in claim.select.keys() & set(rows):
        rows = rows[rows[name].isin(claim.select[name])]
    rows = rows.dropna(subset=[column])  # a document may leave cells of a table empty
    if rows.empty:
        raise UserError(f"{path}: no published value of '{column}' is left after select")
    if rows.duplicated(list(by)).any():
        raise UserError(f"{path}: {', '.join(by)} do not tell its rows apart")
    if rows["source"].isna().any():
        raise UserError(f"{path}: a row has no source")
    keys, stated = (
        rows[list(names)].itertuples(index=False, name=None) for names in (by, (column, "source"))
    )
    try:
        values = [PublishedValue(value=value, source=source) for value, source in stated]
    except ValidationError as error:
        raise UserError(f"{path}: '{column}' must be finite numbers and 'source' text") from error
    return Reference(by, dict(zip(keys, values, strict=True)))


def failures(verdicts: pd.DataFrame) -> list[str]:
    """One line per required claim that is not reproduced."""
    failed = verdicts[(verdicts["status"] == "require") & (verdicts["verdict"] == NOT_REPRODUCED)]
    return [
        f"claim {row.id}: required at {row.scale}, not reproduced: measured {row.measured}, "
        + (f"published {row.published}, " if row.published else "")
        + f"tolerance {number(row.tolerance)} ({row.detail})"
        for row in failed.itertuples()
    ]


def read_verdicts(path: Path) -> pd.DataFrame:
    """The table that :func:`assess_all` made, empty text as text; a UserError if it is another one."""
    remedy = "run the claims command again, or restore it if it is a recorded one"
    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False)
        if list(rows.columns) != COLUMNS or rows.empty:
            raise UserError(f"{path}: is not a table of verdicts; {remedy}")
        rows = rows.replace({"spread": "", "tolerance": ""}, "nan").astype(TYPES)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as a table of verdicts ({error}); {remedy}") from error
    for column, known in (("verdict", VERDICTS), ("status", get_args(Status))):
        for word in sorted(set(rows[column]) - set(known)):
            raise UserError(f"{path}: unknown {column} '{word}' (known: {', '.join(known)}); {remedy}")
    return rows
