"""Each kind of check can hold and can fail, agrees with its definition, and never takes a gap for success."""

import itertools
import math
import typing
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elbogap.claims import checks, engine
from elbogap.claims.checks import Reference
from elbogap.claims.intervals import CONTRADICTED, REPRODUCED, UNDECIDED, Effect
from elbogap.claims.specification import AnyCheck, Claim, PublishedValue
from elbogap.errors import UserError
from made_up_claim import claim_values

KINDS = {
    typing.get_args(kind.model_fields["kind"].annotation)[0]
    for kind in typing.get_args(typing.get_args(AnyCheck)[0])
}

ORDERING = {"kind": "ordering", "metric": "m", "column": "method", "order": ["a", "b", "c"]}
VALUE = {"kind": "value", "metric": "m"}
RATIO = {"kind": "ratio", "metric": "m", "column": "method", "numerator": "a", "denominator": "b"}
FALLING = {"kind": "monotone", "metric": "m", "along": "k", "direction": "decreasing"}
RISING = FALLING | {"direction": "increasing"}
BOUND = {"kind": "bound", "metric": "m"}


@dataclass(frozen=True)
class Found:
    """The verdict on exact numbers, and the effect that decided."""

    holds: bool
    effect: Effect
    measured: str
    detail: str
    published: PublishedValue | None


def run(
    check: dict[str, Any],
    rows: dict[str, Any] | pd.DataFrame,
    tolerance: float = 0.0,
    replicates: tuple[str, ...] = (),
    published: float | Reference = 1.0,
) -> Found:
    claim = Claim.model_validate(
        claim_values(check=check, replicates=replicates, published={"value": 1.0, "source": "Table 1"})
    )
    if not isinstance(published, Reference):
        published = Reference((), {(): PublishedValue(value=published, source="Table 1")})
    outcome = engine.judged(checks.find(pd.DataFrame(rows), claim, tolerance, published))
    finding = outcome.deciding
    (effect,) = finding.effects
    holds = outcome.verdict == REPRODUCED
    return Found(holds, effect, finding.measured, outcome.detail, finding.published)


def methods(*means: float) -> dict[str, Any]:
    return {"method": list("abcdef")[: len(means)], "m": means}


def along(*values: float) -> dict[str, Any]:
    return {"k": range(len(values)), "m": values}


# (check, rows, tolerance, whether it holds)
CASES: list[tuple[dict[str, Any], dict[str, Any], float, bool]] = [
    (ORDERING, methods(1, 2, 3), 0.0, True),
    (ORDERING, methods(1, 2, 3), 0.9, True),
    (ORDERING, methods(1, 2, 3), 1.0, False),
    (ORDERING, methods(1, 3, 2), 0.0, False),
    (ORDERING, methods(1, 1, 2), 0.0, False),
    (VALUE, {"m": [1.0]}, 0.0, True),
    (VALUE, {"m": [1.25]}, 0.25, True),
    (VALUE, {"m": [1.25]}, 0.2, False),
    (VALUE, {"m": [0.75]}, 0.2, False),
    (VALUE | {"relative": True}, {"m": [1.25]}, 0.25, True),
    (VALUE | {"relative": True}, {"m": [1.25]}, 0.2, False),
    (RATIO | {"low": 0.5, "high": 2}, methods(1, 2), 0.0, True),
    (RATIO | {"low": 0.6, "high": 2}, methods(1, 2), 0.0, False),
    (RATIO | {"low": 0.6, "high": 2}, methods(1, 2), 0.2, True),
    (RATIO | {"high": 0.4}, methods(1, 2), 0.0, False),
    (RATIO | {"high": 0.5}, methods(1, 2), 0.0, True),
    (RATIO | {"low": 0.5}, methods(1, 0), 0.0, False),
    (FALLING, along(3, 2, 1), 0.0, True),
    (FALLING, along(3, 3, 1), 0.0, True),
    (FALLING, along(3, 1, 1.5), 0.0, False),
    (FALLING, along(3, 1, 1.5), 0.5, True),
    (RISING, along(3, 2, 1), 0.5, False),
    (RISING, along(1, 2, 3), 0.0, True),
    (BOUND | {"lower": 0, "upper": 1}, {"m": [0.0, 0.5, 1.0]}, 0.0, True),
    (BOUND | {"lower": 0, "upper": 1}, {"m": [0.0, 0.5, 1.5]}, 0.0, False),
    (BOUND | {"lower": 0, "upper": 1}, {"m": [0.0, 0.5, 1.5]}, 0.5, True),
    (BOUND | {"lower": 0}, {"m": [-0.5, 0.5]}, 0.25, False),
    (BOUND | {"upper": "log_p"}, {"m": [-3, -2], "log_p": [-2, -1.5]}, 0.0, True),
    (BOUND | {"upper": "log_p"}, {"m": [-3, -2], "log_p": [-2, -2.5]}, 0.0, False),
    (BOUND | {"lower": "low", "upper": 9}, {"m": [1, 2], "low": [1, 3]}, 0.0, False),
]


@pytest.mark.parametrize(("check", "rows", "tolerance", "holds"), CASES)
def test_a_check_holds_or_fails(
    check: dict[str, Any], rows: dict[str, Any], tolerance: float, holds: bool
) -> None:
    finding = run(check, rows, tolerance)
    assert finding.holds is holds
    assert finding.measured
    assert finding.detail
    assert finding.effect.margin >= 0 if holds else not finding.effect.margin > 0


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_is_seen_to_hold_and_to_fail(kind: str) -> None:
    assert {holds for check, _, _, holds in CASES if check["kind"] == kind} == {True, False}


def test_every_kind_has_a_check() -> None:
    assert {kind.model_fields["kind"].annotation for kind in checks.KINDS} == {
        Literal[kind] for kind in KINDS
    }
    assert len(KINDS) == 5


# One failing group, or one value that is not finite, decides against all others.
EXAMPLES = {
    "ordering": (ORDERING, methods(1, 2, 3), methods(3, 2, 1)),
    "value": (VALUE, {"m": [1.0]}, {"m": [2.0]}),
    "ratio": (RATIO | {"low": 0.4}, methods(1, 2, 5), methods(1, 5, 2)),
    "monotone": (FALLING, along(3, 2, 1), along(3, 1, 2)),
    "bound": (BOUND | {"lower": 0, "upper": 4}, {"m": [1.0]}, {"m": [5.0]}),
}


def test_the_examples_cover_every_kind() -> None:
    assert set(EXAMPLES) == KINDS


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("bad_group", [0, 1, 2])
def test_it_must_hold_in_each_group(kind: str, bad_group: int) -> None:
    check, good, bad = EXAMPLES[kind]
    groups = [pd.DataFrame(bad if j == bad_group else good).assign(problem=f"p{j}") for j in range(3)]
    finding = run(check | {"per": "problem"}, pd.concat(groups, ignore_index=True))
    assert not finding.holds
    assert finding.detail.startswith(f"problem=p{bad_group}: ")
    assert "of 3 groups" in finding.detail
    everywhere = [group for j, group in enumerate(groups) if j != bad_group]
    assert run(check | {"per": ["problem"]}, pd.concat(everywhere, ignore_index=True)).holds


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, -1])
def test_what_is_not_finite_never_holds(kind: str, poison: float, place: int) -> None:
    check, good, _ = EXAMPLES[kind]
    frame = pd.DataFrame(good).astype({"m": float})
    used = frame.index[:2] if kind == "ratio" else frame.index
    frame.loc[used[place], "m"] = poison
    for tolerance in (0.0, 1e9):
        finding = run(check, frame, tolerance)
        assert not finding.holds
        assert np.isnan(finding.effect.margin)
        assert "not finite" in finding.detail
    both = pd.concat([pd.DataFrame(good).assign(p=0), frame.assign(p=1)], ignore_index=True)
    assert not run(check | {"per": "p"}, both).holds


@pytest.mark.parametrize("value", [1.0, -1.0, math.nan])
def test_a_group_without_what_the_claim_presupposes_decides_nothing(value: float) -> None:
    """Neither for the claim nor against it, and the effects of other groups are judged without it."""
    values = claim_values(check=BOUND | {"lower": 0, "per": "p"}, provided="converged")
    rows = pd.DataFrame({"p": [0, 0, 1, 1], "seed": [0, 1, 0, 1], "m": [1.0, 2.0, value, value]})
    rows["converged"] = [True, True, True, False]

    def judge(rows: pd.DataFrame) -> engine.Outcome:
        return engine.judged(checks.find(rows, Claim.model_validate(values), 0.0, Reference((), {(): None})))

    outcome = judge(rows)
    assert outcome.verdict == UNDECIDED
    assert outcome.effects["verdict"].tolist() == [REPRODUCED, UNDECIDED]
    assert outcome.effects["caveat"].tolist() == ["", "not converged"]
    assert outcome.effects["value"].tolist() == pytest.approx([1.5, value], nan_ok=True)
    assert "; not converged (of 2 groups: 1 undecided, 1 reproduced)" in outcome.detail
    expected = REPRODUCED if value > 0 else CONTRADICTED
    assert judge(rows.assign(converged=True)).verdict == expected
    with pytest.raises(UserError, match="no column 'converged' in the table"):
        judge(rows.drop(columns="converged"))
    with pytest.raises(UserError, match="column 'converged' is not of truth values"):
        judge(rows.assign(converged="yes"))


@pytest.mark.parametrize("kind", ["ordering", "ratio"])
def test_levels_that_are_not_compared_do_not_matter(kind: str) -> None:
    check, good, bad = EXAMPLES[kind]
    for rows, holds in ((good, True), (bad, False)):
        frame = pd.DataFrame(rows).assign(m=lambda frame: frame["m"].astype(float))
        others = pd.DataFrame({"method": ["e", "f"], "m": [np.nan, np.inf]})
        found = run(check, pd.concat([frame, others], ignore_index=True))
        assert found.holds == holds
        assert np.isfinite(found.effect.margin)


@pytest.mark.parametrize("limit", [np.nan, np.inf])
def test_a_limit_that_is_not_finite_bounds_nothing(limit: float) -> None:
    assert not run(BOUND | {"upper": "log_p"}, {"m": [-3.0], "log_p": [limit]}).holds


def test_a_ratio_to_zero_does_not_hold() -> None:
    assert not run(RATIO | {"low": 0}, methods(1, 0)).holds
    assert not run(RATIO | {"low": 0}, methods(0, 0)).holds


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_replicates_are_averaged_only_over_their_columns(kind: str) -> None:
    check, good, _ = EXAMPLES[kind]
    frame = pd.concat([pd.DataFrame(good).assign(seed=seed) for seed in range(3)], ignore_index=True)
    assert run(check, frame, replicates=("seed",)).holds
    if kind != "bound":  # without replicates a bound is asked of every row
        with pytest.raises(UserError, match="several rows make one cell"):
            run(check, frame)
    with pytest.raises(UserError, match="several rows make one cell"):
        run(check, pd.concat([frame, frame]), replicates=("seed",))


@pytest.mark.parametrize("kind", ["ordering", "ratio", "monotone"])
def test_a_missing_cell_is_an_error(kind: str) -> None:
    check, good, _ = EXAMPLES[kind]
    frame = pd.concat([pd.DataFrame(good).assign(seed=seed) for seed in range(2)], ignore_index=True)
    with pytest.raises(UserError, match="some level of seed lacks a row"):
        run(check, frame.drop(index=1), replicates=("seed",))


@pytest.mark.parametrize("kind", ["ordering", "ratio"])
def test_a_missing_level_is_an_error_in_its_group(kind: str) -> None:
    check, good, _ = EXAMPLES[kind]
    frame = pd.concat([pd.DataFrame(good).assign(p=p) for p in range(2)], ignore_index=True)
    frame = frame[(frame["p"] == 0) | (frame["method"] != "b")]
    with pytest.raises(UserError, match="p=1: no row with method=b"):
        run(check | {"per": "p"}, frame)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_missing_or_textual_metric_is_an_error(kind: str) -> None:
    check, good, _ = EXAMPLES[kind]
    with pytest.raises(UserError, match=r"no column 'n' in the table; its columns: .*m"):
        run(check | {"metric": "n"}, good)
    with pytest.raises(UserError, match="column 'm' is not of numbers"):
        run(check, pd.DataFrame(good).assign(m="1.0"))
    with pytest.raises(UserError, match="no column 'seed'"):
        run(check, good, replicates=("seed",))
    with pytest.raises(UserError, match="no column 'p'"):
        run(check | {"per": "p"}, good)


def test_a_trend_needs_two_points() -> None:
    with pytest.raises(UserError, match="needs two points, the table has 1"):
        run(FALLING, along(1.0))


def test_a_trend_needs_numbers_to_follow() -> None:
    with pytest.raises(UserError, match="column 'k' is not of numbers"):
        run(FALLING, {"k": ["a", "b"], "m": [1, 2]})
    with pytest.raises(UserError, match="without a number"):
        run(FALLING, {"k": [1, np.nan], "m": [1, 2]})


def test_the_spread_is_the_deviation_of_what_decides() -> None:
    seeds = {"seed": [0, 1, 2]}
    a, b = np.array([1.0, 2.0, 6.0]), np.array([3.0, 5.0, 7.0])
    frame = pd.concat([pd.DataFrame(seeds | {"method": "a", "k": 1, "m": a}),
                       pd.DataFrame(seeds | {"method": "b", "k": 2, "m": b})])  # fmt: skip
    replicates = ("seed",)
    found = run(ORDERING | {"order": ["a", "b"]}, frame, replicates=replicates)
    assert found.effect.spread == pytest.approx(np.std(b - a, ddof=1))
    assert found.measured == "a 3, b 5"
    found = run(RATIO | {"low": 0}, frame, replicates=replicates)
    assert found.effect.spread == pytest.approx(np.std((a - a.mean() / b.mean() * b) / b.mean(), ddof=1))
    assert float(found.measured) == pytest.approx(a.mean() / b.mean())
    found = run(RISING, frame, replicates=replicates)
    assert found.effect.spread == pytest.approx(np.std(b - a, ddof=1))
    assert found.measured == "3, 5"
    only_b = frame[frame["method"] == "b"]
    found = run(VALUE, only_b, replicates=replicates)
    assert found.effect.spread == pytest.approx(np.std(b, ddof=1))
    assert float(found.measured) == b.mean()
    found = run(BOUND | {"upper": 4}, only_b, replicates=replicates)
    assert found.effect.spread == pytest.approx(np.std(b, ddof=1))
    assert not found.holds
    assert run(BOUND | {"upper": 5}, only_b, replicates=replicates).holds  # the mean, not each of 3, 5, 7


def test_a_relative_tolerance_is_a_share_of_the_published_value() -> None:
    assert run(VALUE | {"relative": True}, {"m": [-110.0]}, 0.1, published=-100.0).holds
    assert not run(VALUE | {"relative": True}, {"m": [-110.0]}, 0.09, published=-100.0).holds
    assert not run(VALUE, {"m": [-110.0]}, 0.1, published=-100.0).holds


def test_rows_without_a_group_or_replicate_count_as_one() -> None:
    frame = pd.DataFrame({"p": ["x", np.nan], "seed": [np.nan, 1], "m": [1.0, 5.0]})
    found = run(BOUND | {"upper": 4, "per": "p"}, frame)
    assert not found.holds
    assert found.detail.startswith("p=nan: ")
    steps = pd.DataFrame({"seed": [np.nan, np.nan, 1, 1], "k": [1, 2, 1, 2], "m": [0.0, 4.0, 0.0, 1.0]})
    assert run(RISING, steps, replicates=("seed",)).measured == "0, 2.5"


def test_one_replicate_has_no_spread() -> None:
    assert run(VALUE, {"m": [1.0], "seed": [0]}, replicates=("seed",)).effect.spread is None
    assert run(VALUE, {"m": [1.0]}).effect.spread is None


def test_replicates_may_be_told_by_several_columns() -> None:
    frame = pd.DataFrame({"seed": [0, 0, 1, 1], "draw": [0, 1, 0, 1], "m": [1.0, 2.0, 3.0, 4.0]})
    found = run(VALUE, frame, published=2.5, replicates=("seed", "draw"))
    assert found.holds
    assert found.effect.spread == pytest.approx(np.std([1, 2, 3, 4], ddof=1))


def reference(column: str, values: dict[Any, float]) -> Reference:
    return Reference(
        (column,), {(key,): PublishedValue(value=v, source=f"row {key}") for key, v in values.items()}
    )


def test_published_rows_are_compared_one_by_one() -> None:
    rows = {"k": [1, 10, 100], "m": [0.5, 0.2, 0.1]}
    assert run(VALUE, rows, 0.0, published=reference("k", {1: 0.5, 10: 0.2})).holds
    found = run(VALUE, rows, 0.05, published=reference("k", {1: 0.5, 10: 0.3, 100: 0.11}))
    assert not found.holds
    assert found.measured == "0.2"
    assert found.published == PublishedValue(value=0.3, source="row 10")
    assert found.detail.startswith("k=10: m is 0.2, must be at least 0.25 and at most 0.35 (of 3 groups: ")


def test_published_rows_hold_in_each_further_group() -> None:
    rows = {"k": [1, 1], "problem": ["a", "b"], "m": [0.5, 0.9]}
    found = run(VALUE | {"per": "problem"}, rows, 0.1, published=reference("k", {1: 0.5}))
    assert not found.holds
    assert found.detail.startswith("k=1, problem=b: ")


def test_a_published_row_without_a_measured_row_is_an_error() -> None:
    with pytest.raises(UserError, match="no measured row for the published k=2"):
        run(VALUE, {"k": [1], "m": [0.5]}, published=reference("k", {1: 0.5, 2: 0.1}))


def test_a_bound_names_the_line_of_the_table_that_decides() -> None:
    assert run(BOUND | {"upper": 1}, {"m": [0.0, 3.0, 2.0]}).detail.startswith(
        "m, line 3 of the table is 3, must be at most 1"
    )


def test_what_is_measured_is_the_metric_not_its_distance_to_a_column() -> None:
    rows = {"m": [-3.0, -2.0], "log_p": [-2.5, -1.9], "seed": [0, 1]}
    found = run(BOUND | {"upper": "log_p"}, rows)
    assert found.measured == "-2"
    assert found.effect.mean == pytest.approx(-0.1)
    found = run(BOUND | {"upper": "log_p"}, rows, replicates=("seed",))
    assert found.measured == "-2.5"
    assert found.effect.mean == pytest.approx(-0.3)


def test_levels_may_be_truth_values() -> None:
    rows = {"learned": [True, False], "m": [1.0, 2.0]}
    check = {"kind": "ordering", "metric": "m", "column": "learned", "order": [True, False]}
    assert run(check, rows).holds
    assert not run(check | {"order": [False, True]}, rows).holds


def test_of_rows_with_errors_of_their_own_any_may_decide() -> None:
    values = claim_values(check=BOUND | {"lower": 0}, replicates=None, exact=None, standard_error="se")
    rows = pd.DataFrame({"m": [-0.2, -0.1, 0.5], "se": [1.0, 0.001, 0.01]})
    found = checks.find(rows, Claim.model_validate(values), 0.0, Reference((), {(): None}))
    outcome = engine.judged(found)
    assert outcome.verdict == CONTRADICTED
    assert outcome.detail.startswith(
        "m, line 3 of the table is -0.1, must be at least 0; 95 % interval -0.10"
    )
    assert outcome.effects["verdict"].tolist() == [UNDECIDED, CONTRADICTED, REPRODUCED]


@pytest.mark.parametrize("error", [-1.0, np.nan])
def test_what_is_no_standard_error_is_refused(error: float) -> None:
    values = claim_values(check=BOUND | {"lower": 0}, replicates=None, exact=None, standard_error="se")
    rows = pd.DataFrame({"m": [0.1, 0.2], "se": [0.1, error]})
    with pytest.raises(UserError, match="column 'se' has a negative or missing standard error"):
        checks.find(rows, Claim.model_validate(values), 0.0, Reference((), {(): None}))


def test_a_step_between_cells_with_errors_has_both_of_them() -> None:
    check = {"kind": "ordering", "metric": "m", "column": "k", "order": [1, 2]}
    values = claim_values(check=check, replicates=None, exact=None, standard_error="se")
    rows = pd.DataFrame({"k": [2, 1], "m": [1.0, 0.0], "se": [0.4, 0.3]})
    (found,) = checks.find(rows, Claim.model_validate(values), 0.0, Reference((), {(): None}))
    assert found.effects[0].standard_error == pytest.approx(0.5)


def test_long_series_are_shortened() -> None:
    assert run(RISING, along(*range(9))).measured == "0, 1, 2, ..., 6, 7, 8"


numbers = st.floats(-1e6, 1e6)
tolerances = st.floats(0, 1e3)


@given(st.lists(numbers, min_size=2, max_size=8), tolerances, st.permutations(range(8)))
def test_monotone_is_a_statement_on_differences(
    values: list[float], tolerance: float, order: list[int]
) -> None:
    frame = pd.DataFrame(along(*values)).iloc[[j for j in order if j < len(values)]]  # in any order of rows
    assert run(RISING, frame, tolerance).holds == bool((np.diff(values) >= -tolerance).all())
    assert run(FALLING, frame, tolerance).holds == bool((np.diff(values) <= tolerance).all())


@given(st.lists(numbers, min_size=3, max_size=3), tolerances)
def test_ordering_is_strict_and_antisymmetric(values: list[float], tolerance: float) -> None:
    forward = run(ORDERING, methods(*values), tolerance).holds
    backward = run(ORDERING | {"order": ["c", "b", "a"]}, methods(*values), tolerance).holds
    assert forward == bool((np.diff(values) > tolerance).all())
    assert not (forward and backward)


@given(st.lists(st.integers(-3, 3).map(float), min_size=3, max_size=3))
def test_at_most_one_order_holds(values: list[float]) -> None:
    holding = [
        order
        for order in itertools.permutations("abc")
        if run(ORDERING | {"order": list(order)}, methods(*values)).holds
    ]
    assert len(holding) == (1 if len(set(values)) == 3 else 0)


@given(numbers, numbers)
def test_at_tolerance_zero_only_the_very_value_is_reproduced(measured: float, published: float) -> None:
    assert run(VALUE, {"m": [measured]}, 0.0, published=published).holds == (measured == published)
    assert run(VALUE | {"relative": True}, {"m": [measured]}, 0.0, published=published).holds == (
        measured == published
    )


@given(
    st.lists(st.floats(-3, 3), min_size=1, max_size=6), st.floats(-4, 1), st.floats(-1, 4), st.floats(0, 1)
)
def test_bound_is_asked_of_every_value(
    values: list[float], lower: float, upper: float, tolerance: float
) -> None:
    m = np.array(values)
    expected = bool(((m >= lower - tolerance) & (m <= upper + tolerance)).all())
    assert run(BOUND | {"lower": lower, "upper": upper}, {"m": values}, tolerance).holds == expected
    expected = bool(((m - lower >= -tolerance) & (m - upper <= tolerance)).all())
    by_column = {"m": values, "low": lower, "high": upper}
    assert run(BOUND | {"lower": "low", "upper": "high"}, by_column, tolerance).holds == expected


@given(numbers, st.floats(0.1, 1e6), st.floats(-10, 10), st.floats(0, 10))
def test_ratio_is_division(a: float, b: float, low: float, width: float) -> None:
    found = run(RATIO | {"low": low, "high": low + width}, methods(a, b))
    assert found.holds == (low <= a / b <= low + width)


@given(st.sampled_from(sorted(KINDS)), tolerances, tolerances)
def test_a_wider_tolerance_never_turns_success_into_failure(kind: str, first: float, second: float) -> None:
    narrow, wide = sorted([first, second])
    check, good, bad = EXAMPLES[kind]
    for rows in (good, bad):
        at_narrow, at_wide = run(check, rows, narrow).holds, run(check, rows, wide).holds
        # the tolerance of an ordering is a margin to be exceeded, so it acts the other way
        assert (at_narrow or not at_wide) if kind == "ordering" else (at_wide or not at_narrow)
