"""One pure function per kind of check: rows of a tidy table in, a finding out.

A mean is taken only over the levels of the `spread` columns. Rows that select, per and spread do not tell
apart are an error, never a silent average; so are missing cells. Values that are not finite never hold.
The spread is the standard deviation, over those levels, of the quantity that decides: the step of an
ordering or trend, paired by level; the ratio; the value; or its distance to the bound.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from elbogap.claims.specification import Bound, Monotone, Ordering, PublishedValue, Ratio, Scalar, Value
from elbogap.errors import UserError

Key = tuple[Any, ...]
quietly = np.errstate(divide="ignore", invalid="ignore", over="ignore")  # what is not finite never holds


@dataclass(frozen=True)
class Finding:
    """The outcome of a check, told by the cell that decided it.

    Attributes:
        holds: whether the check holds in every group.
        measured: short text; a plain number where one number decides.
        spread: standard deviation over the levels of the spread columns; None with fewer than two levels.
        detail: which cell decided, and what was asked of it.
        margin: distance to failure, negative when failed, NaN when a measured value is not finite.
        published: the published value that the deciding cell was compared with.
    """

    holds: bool
    measured: str
    spread: float | None
    detail: str
    margin: float
    published: PublishedValue | None = None


@dataclass(frozen=True)
class Reference:
    """Published values by the values of key columns; a single number has no key columns and the key ()."""

    by: tuple[str, ...]
    values: Mapping[Key, PublishedValue]


@quietly
def ordering(rows: pd.DataFrame, check: Ordering, tolerance: float, spread: Sequence[str] = ()) -> Finding:
    """`m(b) - m(a) > tolerance` for neighbours a, b of the order, where m is the mean over `spread`.

    Raises:
        UserError: a column, a level or a cell is missing, or a cell has several rows.
    """
    _require(rows, [check.metric], [check.column, *check.per, *spread])
    findings = []
    for _, where, group in _groups(rows, check.per):
        grid = _grid(group, check.metric, check.column, check.order, spread, where)
        means, steps = grid.mean(axis=0), np.diff(grid, axis=1)
        j = int(np.argmin(steps.mean(axis=0)))
        step = steps[:, j].mean()
        findings.append(
            _finding(
                grid,
                step - tolerance,
                strict=True,
                measured=", ".join(f"{a} {number(m)}" for a, m in zip(check.order, means, strict=True)),
                spread=_deviation(steps[:, j]),
                detail=f"{where}{check.order[j + 1]} - {check.order[j]} = {number(step)}, "
                f"must exceed {number(tolerance)}",
            )
        )
    return _deciding(findings)


@quietly
def value(
    rows: pd.DataFrame, check: Value, tolerance: float, spread: Sequence[str], reference: Reference
) -> Finding:
    """`|m - published| <= tolerance` (times `|published|` if relative) in each cell with a published value.

    Measured cells without a published value are of no concern here; the reverse is an error.

    Raises:
        UserError: a published value has no measured cell, a column is missing, or a cell has several rows.
    """
    _require(rows, [check.metric], [*reference.by, *check.per, *spread])
    findings, met = [], set()
    for key, where, group in _groups(rows, (*reference.by, *check.per)):
        cell = key[: len(reference.by)]
        if cell not in reference.values:
            continue
        met.add(cell)
        published = reference.values[cell]
        _require_told_apart(group, spread, where)
        levels = group[check.metric].to_numpy(float)
        error = abs(levels.mean() - published.value)
        allowed = tolerance * abs(published.value) if check.relative else tolerance
        findings.append(
            _finding(
                levels,
                allowed - error,
                measured=number(levels.mean()),
                spread=_deviation(levels),
                detail=f"{where}differs by {number(error)}, may by {number(allowed)}",
                published=published,
            )
        )
    for cell in reference.values:
        if cell not in met:
            raise UserError(f"no measured row for the published {_name(reference.by, cell)}")
    return _deciding(findings)


@quietly
def ratio(rows: pd.DataFrame, check: Ratio, tolerance: float, spread: Sequence[str] = ()) -> Finding:
    """`low - tolerance <= m(numerator) / m(denominator) <= high + tolerance`, a ratio of means over `spread`.

    Raises:
        UserError: a column, a level or a cell is missing, or a cell has several rows.
    """
    _require(rows, [check.metric], [check.column, *check.per, *spread])
    low = -np.inf if check.low is None else check.low
    high = np.inf if check.high is None else check.high
    findings = []
    for _, where, group in _groups(rows, check.per):
        levels = (check.numerator, check.denominator)
        grid = _grid(group, check.metric, check.column, levels, spread, where)
        over, under = grid.mean(axis=0)
        measured = np.divide(over, under)
        findings.append(
            _finding(
                np.append(grid, measured),
                min(measured - low, high - measured) + tolerance,
                measured=number(measured),
                spread=_deviation(grid[:, 0] / grid[:, 1]),
                detail=f"{where}{check.numerator} {number(over)} / {check.denominator} {number(under)}, "
                f"must be from {number(low)} to {number(high)} up to {number(tolerance)}",
            )
        )
    return _deciding(findings)


@quietly
def monotone(rows: pd.DataFrame, check: Monotone, tolerance: float, spread: Sequence[str] = ()) -> Finding:
    """`±(m(t_{i+1}) - m(t_i)) >= -tolerance` along sorted t, where m is the mean over `spread`.

    Raises:
        UserError: a column or a cell is missing, `along` is no number, a group has fewer than two points,
            or a cell has several rows.
    """
    _require(rows, [check.metric, check.along], [*check.per, *spread])
    if rows[check.along].isna().any():
        raise UserError(f"column '{check.along}' has rows without a number, a trend cannot be followed")
    sign = 1.0 if check.direction == "increasing" else -1.0
    findings = []
    for _, where, group in _groups(rows, check.per):
        points = np.unique(group[check.along])
        if len(points) < 2:
            raise UserError(
                f"{where}a trend along '{check.along}' needs two points, the table has {len(points)}"
            )
        grid = _grid(group, check.metric, check.along, points.tolist(), spread, where)
        means, steps = grid.mean(axis=0), np.diff(grid, axis=1)
        j = int(np.argmin(sign * steps.mean(axis=0)))
        step = steps[:, j].mean()
        findings.append(
            _finding(
                grid,
                sign * step + tolerance,
                measured=_series(means),
                spread=_deviation(steps[:, j]),
                detail=f"{where}step {number(step)} from {check.along} {number(points[j])} to "
                f"{number(points[j + 1])}, must be {check.direction} up to {number(tolerance)}",
            )
        )
    return _deciding(findings)


@quietly
def bound(rows: pd.DataFrame, check: Bound, tolerance: float, spread: Sequence[str] = ()) -> Finding:
    """`lower - tolerance <= m <= upper + tolerance` for every row, or for every group's mean over `spread`.

    Raises:
        UserError: a column is missing, or a group has several rows for one level of `spread`.
    """
    limits = {name: limit for name in ("lower", "upper") if (limit := getattr(check, name)) is not None}
    columns = [check.metric, *(limit for limit in limits.values() if isinstance(limit, str))]
    _require(rows, columns, [*check.per, *spread])
    findings = []
    for _, where, group in _groups(rows, check.per):
        values = group[check.metric].to_numpy(float)
        above = {
            name: values - (group[limit].to_numpy(float) if isinstance(limit, str) else limit)
            for name, limit in limits.items()
        }
        slacks = {name: excess if name == "lower" else -excess for name, excess in above.items()}
        if spread:
            _require_told_apart(group, spread, where)
            cells = {name: slack.mean(keepdims=True) for name, slack in slacks.items()}
        else:
            cells = slacks
        side = min(cells, key=lambda name: np.nan_to_num(cells[name].min(), nan=-np.inf))
        j = int(np.argmin(cells[side]))
        slack, measured = cells[side][j], values.mean() if spread else values[j]
        limit = measured - slack if side == "lower" else measured + slack
        line = "" if spread else f"line {group.index[j] + 2} of the table: "
        findings.append(
            _finding(
                group[columns].to_numpy(float),
                slack + tolerance,
                measured=number(measured),
                spread=_deviation(slacks[side]) if spread else None,
                detail=f"{where}{line}{side} bound {number(limit)} up to {number(tolerance)}",
            )
        )
    return _deciding(findings)


# The kinds that compare measured values with each other or with limits; only `value` needs a reference.
CHECKS: Mapping[str, Callable[..., Finding]] = {
    "ordering": ordering,
    "ratio": ratio,
    "monotone": monotone,
    "bound": bound,
}


def number(value: float) -> str:
    """A number as people read it: at most six significant digits."""
    return f"{float(value):.6g}"


def _series(values: np.ndarray) -> str:
    words = [number(value) for value in values]
    if len(words) > 6:
        words[3:-3] = ["..."]
    return ", ".join(words)


def _finding(cells: np.ndarray, margin: float, *, strict: bool = False, detail: str, **told: Any) -> Finding:
    """A finding that holds by its margin (beyond zero if strict) and only if every value is finite."""
    if not np.isfinite(cells).all():
        margin, detail = np.nan, f"{detail}; a measured value is not finite"
    return Finding(
        holds=bool(margin > 0 if strict else margin >= 0), margin=float(margin), detail=detail, **told
    )


def _deciding(findings: list[Finding]) -> Finding:
    """The finding nearest to failure, which speaks for all groups; argmin puts NaN before every number."""
    worst = findings[int(np.argmin([finding.margin for finding in findings]))]
    if len(findings) == 1:
        return worst
    return replace(worst, detail=f"{worst.detail} (decisive of {len(findings)} groups)")


def _deviation(levels: np.ndarray) -> float | None:
    return float(levels.std(ddof=1)) if len(levels) > 1 else None


def _require(rows: pd.DataFrame, metrics: Sequence[str], keys: Sequence[str]) -> None:
    for column in (*metrics, *keys):
        if column not in rows:
            raise UserError(
                f"no column '{column}' in the table; its columns: {', '.join(map(str, rows.columns))}"
            )
    for column in metrics:
        if not pd.api.types.is_numeric_dtype(rows[column]):
            raise UserError(f"column '{column}' is not of numbers")


def _require_told_apart(rows: pd.DataFrame, columns: Sequence[str], where: str) -> None:
    if rows.duplicated(list(columns)).any() if columns else len(rows) > 1:
        raise UserError(
            f"{where}several rows make one cell; name what tells them apart in select, per or spread"
        )


def _groups(rows: pd.DataFrame, per: Sequence[str]) -> Iterator[tuple[Key, str, pd.DataFrame]]:
    """The groups of rows with equal values of `per`: their key, a prefix for messages, and the rows."""
    if not per:
        yield (), "", rows
        return
    for key, group in rows.groupby(list(per), sort=False, dropna=False):
        yield key, f"{_name(per, key)}: ", group


def _name(columns: Sequence[str], key: Key) -> str:
    return ", ".join(f"{column}={value}" for column, value in zip(columns, key, strict=True))


def _grid(
    rows: pd.DataFrame, metric: str, column: str, levels: Sequence[Scalar], spread: Sequence[str], where: str
) -> np.ndarray:
    """The metric as an array [levels of spread, levels of column]; every cell has exactly one row."""
    rows = rows[rows[column].isin(list(levels))]
    position = rows[column].map({level: j for j, level in enumerate(levels)}).to_numpy(int)
    for j, level in enumerate(levels):
        if j not in position:
            raise UserError(f"{where}no row with {column}={level}")
    _require_told_apart(rows, [*spread, column], where)
    replicate = (
        rows.groupby(list(spread), sort=False, dropna=False).ngroup().to_numpy() if spread else 0 * position
    )
    grid = np.empty((replicate.max() + 1, len(levels)))
    if len(rows) < grid.size:
        raise UserError(f"{where}some level of {', '.join(spread)} lacks a row for some {column}")
    grid[replicate, position] = rows[metric]
    return grid
