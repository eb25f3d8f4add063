"""The criterion of a claim in words."""

from collections.abc import Callable
from typing import Any

import pytest

from elbogap.claims.specification import Claim

MakeClaim = Callable[..., Claim]
PUBLISHED = {"value": 312.4, "source": "Table 1"}
OF_A_FILE = {"file": "toy.csv", "column": "kl", "by": "k"}
ORDERING = {"kind": "ordering", "metric": "kl", "column": "method"}
RATIO = {"kind": "ratio", "metric": "kl", "column": "k", "numerator": 20, "denominator": 100}
BOUND = {"kind": "bound", "metric": "gap"}


@pytest.mark.parametrize(
    ("check", "published", "tolerance", "words"),
    [
        (ORDERING | {"order": ["a", "b"]}, None, 0.5, "kl by method: a < b by more than 0.5"),
        (ORDERING | {"order": ["a", "b", "c"]}, None, 1, "kl by method: a < b < c, each by more than 1"),
        (ORDERING | {"order": ["a", "b"]}, None, 0, "kl by method: a < b"),
        ({"kind": "value", "metric": "kl", "relative": True}, PUBLISHED, 0.05, "kl within 5 % of 312.4"),
        ({"kind": "value", "metric": "kl"}, PUBLISHED, 0.05, "kl within 0.05 of 312.4"),
        ({"kind": "value", "metric": "kl"}, OF_A_FILE, 2, "kl within 2 of the published values"),
        ({"kind": "value", "metric": "kl"}, PUBLISHED, None, "kl near 312.4"),
        (RATIO | {"low": 3, "high": 7}, None, 0.5, "kl by k: 20 / 100 from 2.5 to 7.5"),
        (RATIO | {"high": 7}, None, 0, "kl by k: 20 / 100 at most 7"),
        ({"kind": "monotone", "metric": "kl", "along": "k", "direction": "decreasing"}, None, 0.01,
         "kl decreasing along k, up to 0.01 a step"),
        (BOUND | {"upper": 0}, None, 0, "gap at most 0"),
        (BOUND | {"upper": 0}, None, 0.1, "gap at most 0.1"),
        (BOUND | {"lower": 0}, None, 0.1, "gap at least -0.1"),
        (BOUND | {"lower": "best", "upper": 3}, None, 0.1, "gap from best - 0.1 to 3.1"),
        (BOUND | {"upper": "best"}, None, None, "gap at most best"),
        (BOUND | {"upper": 0, "per": ["dataset", "k"]}, None, 0, "gap at most 0, for each dataset, k"),
    ],
)  # fmt: skip
def test_a_check_is_told_with_its_tolerance(
    make_claim: MakeClaim, check: dict[str, Any], published: Any, tolerance: float | None, words: str
) -> None:
    claim = make_claim(check=check, published=published, replicates=None)
    assert claim.criterion(tolerance) == words


def test_a_statement_about_part_of_the_groups_says_so(make_claim: MakeClaim) -> None:
    claim = make_claim(check=BOUND | {"upper": 0, "per": "k"}, least_fraction=0.75, replicates=None)
    assert claim.criterion(0) == "gap at most 0, in at least 75 % of the groups by k"
