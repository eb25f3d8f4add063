"""From claims and tables to verdicts: reproduced, contradicted, undecided, or not assessed.

A group of rows is contradicted if any of its effects is, and holds if all of them do. A statement about all
groups is contradicted by one of them and reproduced by all; one about a fraction of them accordingly.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
from pydantic import ValidationError

from elbogap import tables
from elbogap.claims import checks, intervals, specification
from elbogap.claims.checks import Finding, Reference, require_columns
from elbogap.claims.intervals import CONTRADICTED, REPRODUCED, UNDECIDED, Effect
from elbogap.claims.specification import AtScale, Claim, PublishedFile, PublishedValue, Status, number
from elbogap.errors import UserError

NOT_ASSESSED = "not assessed"
REMEDY = "run the claims command again, or restore it if it is a recorded one"
WORST_FIRST = (CONTRADICTED, UNDECIDED, REPRODUCED)
VERDICTS = (REPRODUCED, CONTRADICTED, UNDECIDED, NOT_ASSESSED)

COLUMNS = [
    "id", "document", "item", "statement", "kind", "nature", "origin", "scale", "status", "verdict",
    "criterion", "measured", "effect", "ci_low", "ci_high", "replicates", "needed", "holding", "contradicted",
    "undecided", "published", "source", "tolerance", "detail", "note",
]  # fmt: skip
"""Of the table of verdicts, `results/<scale>/claims.csv`; a number that does not apply is NaN."""
NUMBERS = (
    "effect", "ci_low", "ci_high", "replicates", "needed", "holding", "contradicted", "undecided", "tolerance"
)  # fmt: skip
TYPES = dict.fromkeys(COLUMNS, str) | dict.fromkeys(NUMBERS, float)

EFFECTS = [
    "id", "group", "effect", "value", "ci_low", "ci_high", "at_least", "at_most", "replicates", "spread",
    "verdict", "needed", "caveat",
]  # fmt: skip
"""Of the table of effects, `results/<scale>/claims_effects.csv`: what decides each group of each claim."""
TEXTS = ("id", "group", "effect", "verdict", "caveat")
EFFECT_TYPES = dict.fromkeys(EFFECTS, float) | dict.fromkeys(TEXTS, str)


@dataclass(frozen=True)
class Outcome:
    """What became of a claim: its verdict, the effects by group, and the finding that decided.

    `needed` is the number of replicates that would decide it, NaN if unknown.
    """

    verdict: str
    detail: str
    effects: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=EFFECTS[1:]))
    deciding: Finding | None = None
    counts: Mapping[str, int] = field(default_factory=dict)  # groups by verdict
    needed: float = math.nan


def assess_all(
    claims: specification.Claims, scale: str, results: Path, paper: Path, *, partial: bool = False
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The verdicts of all claims on the tables in `results/<scale>`, a row each, and their effects.

    Raises:
        UserError: a claim cannot be decided because it, its table (if missing: unless the run is `partial`)
            or its published file is broken; the message names the claim.
    """
    read = functools.cache(tables.read_table)
    verdicts, effects = [], [pd.DataFrame(columns=EFFECTS)]
    for document, claim in claims:
        asked, table = claim.at(scale), results / scale / claim.table
        outcome = Outcome(NOT_ASSESSED, "its table is not made at this scale yet")
        try:
            if table.is_file() or not partial:
                published = specification.published_folder(paper, document)
                outcome = _decide(claim, asked, table, published, read)
        except UserError as error:
            raise UserError(f"claim {claim.id}: {error}") from error
        verdicts.append({"document": document, "scale": scale, **_row(claim, asked, outcome)})
        if len(outcome.effects):
            effects.append(outcome.effects.assign(id=claim.id)[EFFECTS])
    found = pd.concat(effects, ignore_index=True).astype(EFFECT_TYPES)
    return pd.DataFrame(verdicts, columns=COLUMNS).astype(TYPES), found


def _decide(
    claim: Claim, asked: AtScale, table: Path, published: Path, read: Callable[[Path], pd.DataFrame]
) -> Outcome:
    if asked.status == "skip":
        return Outcome(NOT_ASSESSED, "skipped at this scale")
    whole = read(table)
    try:
        rows, reference = select(whole, claim), reference_of(claim, published)
        findings = checks.find(rows, claim, asked.tolerance or 0.0, reference)
    except UserError as error:
        if asked.tolerance is not None:
            raise
        return Outcome(NOT_ASSESSED, str(error))  # a scale of the user's own may lack what the claim is about
    outcome = judged(findings, claim.least_fraction)
    if asked.tolerance is not None and not tables.rests_on_stand_in(rows):
        return outcome
    why = "claims ask nothing of this scale" if asked.tolerance is None else "rests on stand-in data"
    return Outcome(NOT_ASSESSED, why, outcome.effects.assign(verdict="", needed=math.nan), outcome.deciding)


def judged(findings: Sequence[Finding], least_fraction: float = 1.0) -> Outcome:
    """The verdict of a claim on what was found in its groups, of which that fraction must hold."""
    pairs = [(finding, effect) for finding in findings for effect in finding.effects]
    all_effects = [effect for _, effect in pairs]
    tested = sum(not effect.caveat for effect in all_effects)
    rows = [
        (
            *(finding.group, one.name, one.mean, *one.interval(), one.low, one.high, len(one.values)),
            *(one.spread, verdict, one.replicates_needed(tested), one.caveat),
        )
        for (finding, one), verdict in zip(pairs, intervals.verdicts(all_effects), strict=True)
    ]
    effects = pd.DataFrame(rows, columns=EFFECTS[1:])
    severity = effects["verdict"].map(list(WORST_FIRST).index)
    by_group = severity.groupby(effects["group"], sort=False).min().map(dict(enumerate(WORST_FIRST)))
    counts = {word: int((by_group == word).sum()) for word in WORST_FIRST}
    enough = math.ceil(least_fraction * len(by_group) - 1e-9)  # .6 of 5 groups are 3
    if counts[CONTRADICTED] > len(by_group) - enough:
        verdict = CONTRADICTED
    else:
        verdict = REPRODUCED if counts[REPRODUCED] >= enough else UNDECIDED
    margins = np.nan_to_num([effect.margin for effect in all_effects], nan=-math.inf)
    needed = _needed(effects, margins >= 0, enough) if verdict == UNDECIDED else math.nan
    finding, effect = pairs[np.lexsort((margins, severity))[0]]
    deciding = replace(finding, effects=(effect,))
    return Outcome(verdict, _detail(finding, effect, counts), effects, deciding, counts, needed)


def _needed(effects: pd.DataFrame, within: np.ndarray, enough: int) -> float:
    """How many replicates would decide a claim if all means and spreads stay as they are; NaN if unknown.

    If the means of `enough` groups are within their limits, so many groups must come to hold, with each of
    their undecided effects (which have `POWER` each, not together). Else it looks contradicted, and as many
    groups as that takes must come to be, with one of their effects.
    """
    more = effects["needed"].where(effects["verdict"] == UNDECIDED, 0.0)
    groups = [(more[own.index], within[own.index]) for _, own in effects.groupby("group")]
    to_hold = [own.max(skipna=False) for own, inside in groups if inside.all()]
    to_fail = [own[~inside].min() for own, inside in groups if not inside.all()]
    holds = len(to_hold) >= enough
    return float(np.sort(to_hold)[enough - 1] if holds else np.sort(to_fail)[len(groups) - enough])


def _detail(finding: Finding, effect: Effect, counts: Mapping[str, int]) -> str:
    """Which effect decides, what it had to satisfy and, of several groups, what became of them."""
    where = f"{finding.group}: " if finding.group else ""
    if math.isnan(effect.mean):
        text = "a measured value is not finite"
    else:
        limits = [("more than" if effect.strict else "at least", effect.low), ("at most", effect.high)]
        must = " and ".join(f"{word} {number(limit)}" for word, limit in limits if math.isfinite(limit))
        text = f"{effect.name} is {number(effect.mean)}, must be {must}"
        if error := effect.standard_error:
            low, high = map(number, effect.interval())
            unknown = "one replicate" if len(effect.values) == 1 else "equal replicates"
            text += f"; 95 % interval {low} to {high}" if math.isfinite(error) else f"; {unknown}"
    text += f"; {effect.caveat}" if effect.caveat else ""
    groups = sum(counts.values())
    several = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    return f"{where}{text}" + (f" (of {groups} groups: {several})" if groups > 1 else "")


def _row(claim: Claim, asked: AtScale, outcome: Outcome) -> dict[str, Any]:
    finding = outcome.deciding
    compared = finding.published if finding else claim.published
    stated = compared if isinstance(compared, PublishedValue) else None
    row = {
        **{name: getattr(claim, name) for name in ("id", "item", "statement", "nature", "origin", "note")},
        "kind": claim.check.kind,
        "status": asked.status,
        "verdict": outcome.verdict,
        "criterion": claim.criterion(asked.tolerance),
        "published": number(stated.value) if stated else "",
        "source": stated.source if stated else "",
        "tolerance": asked.tolerance,
        "detail": outcome.detail,
        "measured": finding.measured if finding else "",
    }
    if finding:
        (effect,), row["needed"] = finding.effects, outcome.needed
        row["ci_low"], row["ci_high"] = effect.interval()
        row |= {"effect": effect.mean, "replicates": len(effect.values)}
        words = {"holding": REPRODUCED, "contradicted": CONTRADICTED, "undecided": UNDECIDED}
        row |= {column: outcome.counts.get(word) for column, word in words.items()}
    return row


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
    """One line per required claim that is contradicted."""
    failed = verdicts[(verdicts["status"] == "require") & (verdicts["verdict"] == CONTRADICTED)]
    return [
        f"claim {row.id}: required at {row.scale}, contradicted: measured {row.measured}, "
        + (f"published {row.published}, " if row.published else "")
        + f"tolerance {number(row.tolerance)} ({row.detail})"
        for row in failed.itertuples()
    ]


def read_verdicts(path: Path) -> pd.DataFrame:
    """The table of verdicts that :func:`assess_all` made; a UserError if it is another one."""
    rows = _read(path, "verdicts", TYPES)
    if rows.empty:
        raise UserError(f"{path}: is not a table of verdicts; {REMEDY}")
    for column, known in (("verdict", VERDICTS), ("status", get_args(Status))):
        for word in sorted(set(rows[column]) - set(known)):
            raise UserError(f"{path}: unknown {column} '{word}' (known: {', '.join(known)}); {REMEDY}")
    return rows


def read_effects(path: Path) -> pd.DataFrame:
    """The table of effects that :func:`assess_all` made; a UserError if it is another one."""
    return _read(path, "effects", EFFECT_TYPES)


def _read(path: Path, of: str, types: Mapping[str, type]) -> pd.DataFrame:
    """A table with these columns and no others, empty text as text."""
    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False)
        if list(rows.columns) != list(types):
            raise UserError(f"{path}: is not a table of {of}; {REMEDY}")
        numbers = [name for name, kind in types.items() if kind is float]
        return rows.replace(dict.fromkeys(numbers, ""), "nan").astype(types)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as a table of {of} ({error}); {REMEDY}") from error
