"""What a check finds in the rows of a tidy table: one function per kind, which gives the effects of a group.

A mean is taken only over the levels of the `replicates` columns, and a difference of two cells is paired by
them. Rows that select, per and replicates do not distinguish are an error, never a silent average; so are
missing cells. Values that are not finite never hold.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from elbogap.claims import specification
from elbogap.claims.intervals import Effect
from elbogap.claims.specification import Check, Claim, Level, PublishedValue, number
from elbogap.errors import UserError

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Finding:
    """What decides a claim in one group."""

    group: str  # values of the columns `per` and of the reference's keys
    effects: tuple[Effect, ...]
    measured: str  # a plain number where one number decides
    published: PublishedValue | None = None  # with which the group was compared


@dataclass(frozen=True)
class Reference:
    """Published values by the values of key columns; without such columns one value, or None, of key ()."""

    by: tuple[str, ...]
    values: Mapping[Key, PublishedValue | None]


@dataclass(frozen=True)
class Group:
    """The rows that a check compares, how they tell what chance may do, and the published value."""

    rows: pd.DataFrame
    claim: Claim
    tolerance: float
    published: PublishedValue | None

    def effect(self, name: str, values: np.ndarray, error: float | None, **limits: Any) -> Effect:
        """An effect by its replicates `[R]`: NaN if any number of the group is not finite."""
        finite = np.isfinite(self.rows[list(self.claim.check.numbers())].to_numpy(float)).all()
        condition = self.claim.provided
        caveat = f"not {condition}" if condition and not self.rows[condition].all() else ""
        return Effect(name, values if finite else np.full(1, np.nan), error=error, caveat=caveat, **limits)

    def errors(self) -> list[float | None]:
        """The standard error of each row: 0 for exact numbers, None where replicates have to tell."""
        if name := self.claim.standard_error:
            if not (self.rows[name] >= 0).all():
                raise UserError(f"column '{name}' has a negative or missing standard error")
            return self.rows[name].tolist()
        return [0.0 if self.claim.exact else None] * len(self.rows)

    def cells(self, column: str, levels: Sequence[Level]) -> tuple[np.ndarray, list[float | None]]:
        """The metric `[replicates, levels]` of a column, one row for every cell, and errors of the levels."""
        rows, by = self.rows, list(self.claim.replicates)
        position = rows[column].map({level: j for j, level in enumerate(levels)}).to_numpy(int)
        for j, level in enumerate(levels):
            if j not in position:
                raise UserError(f"no row with {column}={level}")
        _require_told_apart(rows, (*by, column))
        replicate = np.zeros_like(position)
        if by:
            replicate = rows.groupby(by, sort=False, dropna=False).ngroup().to_numpy()
        grid = np.empty((replicate.max() + 1, len(levels)))
        if len(rows) < grid.size:
            raise UserError(f"some level of {', '.join(by)} lacks a row for some {column}")
        grid[replicate, position] = rows[self.claim.check.metric]
        errors = dict(zip(position, self.errors(), strict=True))
        return grid, [errors[j] for j in range(len(levels))]

    def steps(
        self, column: str, levels: Sequence[Level], name: str, **limits: Any
    ) -> tuple[list[Effect], np.ndarray]:
        """The difference of each level from the one before it, and the mean of each level."""
        grid, errors = self.cells(column, levels)
        steps = zip(pairwise(levels), pairwise(errors), np.diff(grid, axis=1).T, strict=True)
        found = []
        for pair, both, step in steps:
            error = None if None in both else math.hypot(*filter(None, both))  # of independent means
            found.append(self.effect(name.format(*pair), step, error, **limits))
        return found, grid.mean(axis=0)


@np.errstate(divide="ignore", invalid="ignore", over="ignore")  # what is not finite never holds
def find(rows: pd.DataFrame, claim: Claim, tolerance: float, reference: Reference) -> list[Finding]:
    """What a claim's check finds in each group of `per` and of the reference's keys.

    Measured cells without a published value are of no concern here; the reverse is an error.

    Raises:
        UserError: a column, a level, a cell or the row of a published value is missing, a column that is
            compared is not of numbers or a condition not of truth values, a cell has several rows, or a
            trend has fewer than two points.
    """
    check, columns = claim.check, (*reference.by, *claim.check.per)
    condition = () if claim.provided is None else (claim.provided,)
    needed = (*claim.numbers(), *check.keys(), *columns, *claim.replicates, *condition)
    require_columns(rows, needed, after=" in the table")
    for column in claim.numbers():
        if not pd.api.types.is_numeric_dtype(rows[column]):
            raise UserError(f"column '{column}' is not of numbers")
    for column in condition:
        if not pd.api.types.is_bool_dtype(rows[column]):
            raise UserError(f"column '{column}' is not of truth values")
    findings, missing = [], dict(reference.values)
    for key, group in rows.groupby(list(columns), sort=False, dropna=False) if columns else [((), rows)]:
        cell, name = key[: len(reference.by)], _name(columns, key)
        if cell not in reference.values:
            continue
        missing.pop(cell, None)
        published = reference.values[cell]
        if levels := check.levels():
            group = group[group[check.keys()[0]].isin(levels)]
        try:
            found = KINDS[type(check)](Group(group, claim, tolerance, published), check)
        except UserError as error:
            raise UserError(f"{name}: {error}" if name else str(error)) from error
        findings.append(replace(found, group=name, published=published))
    for cell in missing:
        raise UserError(f"no measured row for the published {_name(reference.by, cell)}")
    return findings


def _ordering(group: Group, check: specification.Ordering) -> Finding:
    """`m(b) - m(a) > tolerance` for neighbours a, b of the order."""
    limits = {"low": group.tolerance, "strict": True}
    steps, means = group.steps(check.column, check.order, "{1} - {0}", **limits)
    measured = zip(check.order, means, strict=True)
    return Finding("", tuple(steps), ", ".join(f"{level} {number(mean)}" for level, mean in measured))


def _value(group: Group, check: specification.Value) -> Finding:
    """`|m - published| <= tolerance`, times `|published|` if relative."""
    assert group.published is not None  # the specification refuses a value check without a published value
    _require_told_apart(group.rows, group.claim.replicates)
    values, target = group.rows[check.metric].to_numpy(float), group.published.value
    allowed = group.tolerance * abs(target) if check.relative else group.tolerance
    error = group.errors()[0]
    effect = group.effect(check.metric, values, error, low=target - allowed, high=target + allowed)
    return Finding("", (effect,), number(values.mean()))


def _ratio(group: Group, check: specification.Ratio) -> Finding:
    """`low - tolerance <= m(numerator) / m(denominator) <= high + tolerance`, a ratio of means.

    Its replicates are those of the ratio's linear approximation, whose mean it is (delta method).
    """
    low = -math.inf if check.low is None else check.low - group.tolerance
    high = math.inf if check.high is None else check.high + group.tolerance
    levels = (check.numerator, check.denominator)
    grid, errors = group.cells(check.column, levels)
    over, under = grid.T
    ratio = np.divide(over.mean(), under.mean())
    deviations = (over - ratio * under) / under.mean()
    values = ratio + (deviations - deviations.mean())
    error = None if errors[0] is None else math.hypot(errors[0], ratio * errors[1]) / abs(under.mean())
    effect = group.effect(f"{check.numerator} / {check.denominator}", values, error, low=low, high=high)
    return Finding("", (effect,), number(ratio))


def _monotone(group: Group, check: specification.Monotone) -> Finding:
    """`±(m(t_{i+1}) - m(t_i)) >= -tolerance` along sorted t."""
    if group.rows[check.along].isna().any():
        raise UserError(f"column '{check.along}' has rows without a number, a trend cannot be followed")
    points = np.unique(group.rows[check.along]).tolist()
    if len(points) < 2:
        raise UserError(f"a trend along '{check.along}' needs two points, the table has {len(points)}")
    side = {"low": 0.0 - group.tolerance} if check.direction == "increasing" else {"high": group.tolerance}
    name = f"step from {check.along} {{0:.6g}} to {{1:.6g}}"
    steps, means = group.steps(check.along, points, name, **side)
    shown = [number(mean) for mean in means]
    return Finding(
        "", tuple(steps), ", ".join(shown if len(shown) <= 6 else [*shown[:3], "...", *shown[-3:]])
    )


def _bound(group: Group, check: specification.Bound) -> Finding:
    """`lower - tolerance <= m <= upper + tolerance`; without replicates, of the row nearest to each limit.

    Where rows have standard errors of their own, any of them may decide.
    """
    averaged, metric = bool(group.claim.replicates), group.rows[check.metric].to_numpy(float)
    if averaged:
        _require_told_apart(group.rows, group.claim.replicates)
    found = []
    for side, limit, sign in (("low", check.lower, 1), ("high", check.upper, -1)):
        if limit is None:
            continue
        values, name, threshold = metric, check.metric, 0.0
        if isinstance(limit, str):
            values, name = metric - group.rows[limit].to_numpy(float), f"{check.metric} - {limit}"
        else:
            threshold = limit
        limits, errors = {side: threshold - sign * group.tolerance}, group.errors()
        if averaged:
            found.append((group.effect(name, values, errors[0], **limits), metric.mean()))
            continue
        nearest = int(np.argmin(sign * values))  # NaN before every number
        for i in range(len(values)) if group.claim.standard_error else [nearest]:
            line = f"{name}, line {group.rows.index[i] + 2} of the table"
            found.append((group.effect(line, values[i : i + 1], errors[i], **limits), metric[i]))
    _, measured = min(found, key=lambda pair: np.nan_to_num(pair[0].margin, nan=-math.inf))
    return Finding("", tuple(effect for effect, _ in found), number(measured))


KINDS: Mapping[type[Check], Callable[..., Finding]] = {
    specification.Ordering: _ordering,
    specification.Value: _value,
    specification.Ratio: _ratio,
    specification.Monotone: _monotone,
    specification.Bound: _bound,
}


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
