"""What a check finds in the rows of a tidy table: one function per kind, which decides one group of rows.

A mean m is taken only over the levels of the `spread` columns. Rows that select, per and spread do not
distinguish are an error, never a silent average; so are missing cells. Values that are not finite never hold.
The spread is the standard deviation, over those levels, of the quantity that decides: the step of an
ordering or trend, paired by level; the ratio; the value; or its distance to the bound.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from elbogap.claims import specification
from elbogap.claims.specification import Check, Level, PublishedValue, number
from elbogap.errors import UserError

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Finding:
    """The outcome of a check, described by the cell that decided it."""

    holds: bool  # in every group
    measured: str  # a plain number where one number decides
    spread: float | None  # standard deviation over the levels of the spread columns; None with fewer than two
    detail: str  # which cell decided, and what it had to satisfy
    margin: float  # distance to failure, negative when failed, NaN when a measured value is not finite
    published: PublishedValue | None = None  # with which the deciding cell was compared


@dataclass(frozen=True)
class Reference:
    """Published values by the values of key columns; without such columns one value, or None, of key ()."""

    by: tuple[str, ...]
    values: Mapping[Key, PublishedValue | None]


@dataclass(frozen=True)
class Group:
    """Rows in which a check must hold, the columns that number their replicates, and the published value."""

    rows: pd.DataFrame
    spread: tuple[str, ...]
    published: PublishedValue | None

    def grid(self, metric: str, column: str, levels: Sequence[Level]) -> np.ndarray:
        """The metric as an array [levels of spread, levels of a column]; every cell has exactly one row."""
        rows = self.rows[self.rows[column].isin(list(levels))]
        position = rows[column].map({level: j for j, level in enumerate(levels)}).to_numpy(int)
        for j, level in enumerate(levels):
            if j not in position:
                raise UserError(f"no row with {column}={level}")
        _require_told_apart(rows, (*self.spread, column))
        replicate = np.zeros_like(position)
        if self.spread:
            replicate = rows.groupby(list(self.spread), sort=False, dropna=False).ngroup().to_numpy()
        grid = np.empty((replicate.max() + 1, len(levels)))
        if len(rows) < grid.size:
            raise UserError(f"some level of {', '.join(self.spread)} lacks a row for some {column}")
        grid[replicate, position] = rows[metric]
        return grid


@np.errstate(divide="ignore", invalid="ignore", over="ignore")  # what is not finite never holds
def find(
    rows: pd.DataFrame, check: Check, tolerance: float, spread: Sequence[str], reference: Reference
) -> Finding:
    """What a check finds in the group of `per`, and of the reference's keys, that is nearest to failure.

    Measured cells without a published value are of no concern here; the reverse is an error. UserError if a
    column, a level, a cell or the row of a published value is missing, a column that is compared is not of
    numbers, a cell has several rows, or a trend has fewer than two points.
    """
    columns = (*reference.by, *check.per)
    require_columns(rows, (*check.numbers(), *check.keys(), *columns, *spread), after=" in the table")
    for column in check.numbers():
        if not pd.api.types.is_numeric_dtype(rows[column]):
            raise UserError(f"column '{column}' is not of numbers")
    findings, missing = [], dict(reference.values)
    for key, group in rows.groupby(list(columns), sort=False, dropna=False) if columns else [((), rows)]:
        cell, where = key[: len(reference.by)], f"{_name(columns, key)}: " if columns else ""
        if cell not in reference.values:
            continue
        missing.pop(cell, None)
        published = reference.values[cell]
        try:
            finding = KINDS[type(check)](Group(group, tuple(spread), published), check, tolerance)
        except UserError as error:
            raise UserError(f"{where}{error}") from error
        findings.append(replace(finding, detail=f"{where}{finding.detail}", published=published))
    for cell in missing:
        raise UserError(f"no measured row for the published {_name(reference.by, cell)}")
    worst = findings[int(np.argmin([finding.margin for finding in findings]))]  # NaN before every number
    of_several = f" (decisive of {len(findings)} groups)" if len(findings) > 1 else ""
    return replace(worst, detail=f"{worst.detail}{of_several}")


def _ordering(group: Group, check: specification.Ordering, tolerance: float) -> Finding:
    """`m(b) - m(a) > tolerance` for neighbours a, b of the order."""
    grid = group.grid(check.metric, check.column, check.order)
    j, steps = _worst_step(grid)
    measured = ", ".join(f"{a} {number(m)}" for a, m in zip(check.order, grid.mean(axis=0), strict=True))
    step = f"{check.order[j + 1]} - {check.order[j]} = {number(steps.mean())}"
    detail = f"{step}, must exceed {number(tolerance)}"
    finding = _finding(grid, steps.mean() - tolerance, measured, steps, detail)
    return replace(finding, holds=finding.margin > 0)


def _value(group: Group, check: specification.Value, tolerance: float) -> Finding:
    """`|m - published| <= tolerance`, times `|published|` if relative."""
    assert group.published is not None  # the specification refuses a value check without a published value
    _require_told_apart(group.rows, group.spread)
    values, target = group.rows[check.metric].to_numpy(float), group.published.value
    error = abs(values.mean() - target)
    allowed = tolerance * abs(target) if check.relative else tolerance
    detail = f"differs by {number(error)}, may by {number(allowed)}"
    return _finding(values, allowed - error, number(values.mean()), values, detail)


def _ratio(group: Group, check: specification.Ratio, tolerance: float) -> Finding:
    """`low - tolerance <= m(numerator) / m(denominator) <= high + tolerance`, a ratio of means."""
    low = -np.inf if check.low is None else check.low
    high = np.inf if check.high is None else check.high
    grid = group.grid(check.metric, check.column, (check.numerator, check.denominator))
    over, under = grid.mean(axis=0)
    ratio = np.divide(over, under)
    margin = min(ratio - low, high - ratio) + tolerance
    limits = f"from {number(low)} to {number(high)} up to {number(tolerance)}"
    detail = f"{check.numerator} {number(over)} / {check.denominator} {number(under)}, must be {limits}"
    return _finding(np.append(grid, ratio), margin, number(ratio), grid[:, 0] / grid[:, 1], detail)


def _monotone(group: Group, check: specification.Monotone, tolerance: float) -> Finding:
    """`±(m(t_{i+1}) - m(t_i)) >= -tolerance` along sorted t."""
    if group.rows[check.along].isna().any():
        raise UserError(f"column '{check.along}' has rows without a number, a trend cannot be followed")
    points = np.unique(group.rows[check.along])
    if len(points) < 2:
        raise UserError(f"a trend along '{check.along}' needs two points, the table has {len(points)}")
    sign = 1.0 if check.direction == "increasing" else -1.0
    grid = group.grid(check.metric, check.along, points.tolist())
    j, steps = _worst_step(grid, sign)
    means = [number(mean) for mean in grid.mean(axis=0)]
    measured = ", ".join(means if len(means) <= 6 else [*means[:3], "...", *means[-3:]])
    step = f"step {number(steps.mean())} from {check.along} {number(points[j])} to {number(points[j + 1])}"
    detail = f"{step}, must be {check.direction} up to {number(tolerance)}"
    return _finding(grid, sign * steps.mean() + tolerance, measured, steps, detail)


def _bound(group: Group, check: specification.Bound, tolerance: float) -> Finding:
    """`lower - tolerance <= m <= upper + tolerance`; without `spread`, of every row."""
    averaged, values = bool(group.spread), group.rows[check.metric].to_numpy(float)
    if averaged:
        _require_told_apart(group.rows, group.spread)
    slacks = {
        side: sign * (values - (group.rows[limit].to_numpy(float) if isinstance(limit, str) else limit))
        for side, sign, limit in (("lower", 1, check.lower), ("upper", -1, check.upper))
        if limit is not None
    }
    cells = {side: slack.mean(keepdims=True) if averaged else slack for side, slack in slacks.items()}
    side = min(cells, key=lambda side: np.nan_to_num(cells[side].min(), nan=-np.inf))
    j = int(np.argmin(cells[side]))
    slack, measured = cells[side][j], values.mean() if averaged else values[j]
    limit = measured - slack if side == "lower" else measured + slack
    line = "" if averaged else f"line {group.rows.index[j] + 2} of the table: "
    detail = f"{line}{side} bound {number(limit)} up to {number(tolerance)}"
    used = group.rows[list(check.numbers())].to_numpy(float)
    deciding = slacks[side] if averaged else np.empty(0)
    return _finding(used, slack + tolerance, number(measured), deciding, detail)


KINDS: Mapping[type[Check], Callable[..., Finding]] = {
    specification.Ordering: _ordering,
    specification.Value: _value,
    specification.Ratio: _ratio,
    specification.Monotone: _monotone,
    specification.Bound: _bound,
}


def _worst_step(grid: np.ndarray, sign: float = 1.0) -> tuple[int, np.ndarray]:
    """The step between neighbouring columns whose mean times `sign` is smallest: its index and values."""
    steps = np.diff(grid, axis=1)
    j = int(np.argmin(sign * steps.mean(axis=0)))
    return j, steps[:, j]


def _finding(cells: np.ndarray, margin: float, measured: str, deciding: np.ndarray, detail: str) -> Finding:
    """A finding that holds by its margin and only if every value is finite."""
    if not np.isfinite(cells).all():
        margin, detail = np.nan, f"{detail}; a measured value is not finite"
    spread = float(np.std(deciding, ddof=1)) if len(deciding) > 1 else None
    return Finding(bool(margin >= 0), measured, spread, detail, float(margin))


def require_columns(rows: pd.DataFrame, columns: Iterable[str], before: str = "", after: str = "") -> None:
    """Raise a UserError, which begins with `before`, if a table lacks a column."""
    for column in columns:
        if column not in rows:
            known = ", ".join(map(str, rows.columns))
            raise UserError(f"{before}no column '{column}'{after}; its columns: {known}")


def _require_told_apart(rows: pd.DataFrame, columns: Sequence[str]) -> None:
    if rows.duplicated(list(columns)).any() if columns else len(rows) > 1:
        raise UserError("several rows make one cell; name what tells them apart in select, per or spread")


def _name(columns: Sequence[str], key: Key) -> str:
    return ", ".join(f"{column}={value}" for column, value in zip(columns, key, strict=True))
