"""Kind A: a green test that is not green everywhere.

Promise: no test compares floats with an allowance that can be 0, so that rounding, which differs between
processors, fails no test.
"""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from allowance import within

TESTS = Path(__file__).parents[1]


def called(node: ast.AST) -> str:
    """The last name of a called function, or nothing."""
    function = node.func if isinstance(node, ast.Call) else None
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def can_vanish(node: ast.expr) -> bool:
    """Whether a product can be 0, as far as its form tells: a factor is not written as a number."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return can_vanish(node.left) and can_vanish(node.right)
    if isinstance(node, ast.BinOp):
        return can_vanish(node.left) or can_vanish(node.right)
    return not isinstance(node, ast.Constant)


def scaled_allowances(tree: ast.AST) -> Iterator[int]:
    """Lines with `abs(...) < factor * allowance`, which asks for equality where the allowance is 0."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = zip([node.left, *node.comparators], node.ops, node.comparators, strict=False)
            for left, operator, right in sides:
                of_a_difference = any(called(part) in ("abs", "norm") for part in ast.walk(left))
                product = isinstance(right, ast.BinOp) and can_vanish(right)
                if isinstance(operator, ast.Lt | ast.LtE) and of_a_difference and product:
                    yield node.lineno


def relative_allowances(tree: ast.AST) -> Iterator[int]:
    """Lines with `assert_allclose` or `assert_close` whose absolute allowance is 0, NumPy's default."""
    for node in ast.walk(tree):
        if called(node) in ("assert_allclose", "assert_close", "allclose", "isclose"):
            assert isinstance(node, ast.Call)
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            zero = isinstance(given.get("atol"), ast.Constant) and not given["atol"].value  # type: ignore[attr-defined]
            if zero or ("atol" not in given and called(node) == "assert_allclose"):
                yield node.lineno


@pytest.mark.parametrize("find", [scaled_allowances, relative_allowances])
def test_no_allowance_can_be_zero(find: Callable[[ast.AST], Iterator[int]]) -> None:
    found = [
        f"{path.relative_to(TESTS)}:{line}"
        for path in sorted(TESTS.rglob("*.py"))
        for line in find(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not found, f"use allowance.within, or give atol: {found}"


@pytest.mark.parametrize(
    ("find", "bad", "good"),
    [
        (scaled_allowances, "abs(a - b) <= 4 * error", "abs(a - b) <= 4 * error + 1e-9"),
        (scaled_allowances, "(a - b).abs().max() < x.std() / 10", "(a - b).abs().max() < 1 / 10"),
        (relative_allowances, "assert_allclose(a, b)", "assert_allclose(a, b, atol=1e-9)"),
        (relative_allowances, "assert_close(a, b, rtol=1e-3, atol=0)", "assert_close(a, b)"),
    ],
)
def test_the_two_forms_are_recognised(find: Callable[[ast.AST], Iterator[int]], bad: str, good: str) -> None:
    assert list(find(ast.parse(bad))) == [1]
    assert not list(find(ast.parse(good)))


def test_a_vanishing_standard_error_leaves_room_for_rounding_alone() -> None:
    assert within(1.1e-16, 0.0)
    assert not within(1e-3, 0.0)
    assert not within([0.0, 0.5], [0.1, 0.1])
