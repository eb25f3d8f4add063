"""Verdicts on effects: intervals, equivalence, many comparisons, and how many replicates decide."""

import math

import numpy as np
import pytest
from scipy import stats

from elbogap.claims.checks import Finding
from elbogap.claims.engine import judged
from elbogap.claims.intervals import CONTRADICTED, LEVEL, REPRODUCED, UNDECIDED, Effect, verdicts


def effect(*values: float, **limits: float) -> Effect:
    return Effect("m", np.array(values), **limits)


def test_the_interval_is_student_s() -> None:
    values = np.array([1.0, 2.0, 4.0, 4.5])
    reference = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    np.testing.assert_allclose(effect(*values).interval(), reference, rtol=1e-12, atol=1e-12)


def test_evidence_against_is_the_one_sided_test() -> None:
    values = np.array([1.0, 2.0, 4.0, 4.5])
    below = stats.ttest_1samp(values, 5, alternative="less").pvalue
    above = stats.ttest_1samp(values, 2, alternative="greater").pvalue
    assert effect(*values, low=5).evidence_against() == pytest.approx(below, rel=1e-9)
    assert effect(*values, high=2).evidence_against() == pytest.approx(above, rel=1e-9)


@pytest.mark.parametrize(
    ("values", "limits", "verdict"),
    [
        ((1.0, 1.1, 0.9), {"low": 0}, REPRODUCED),
        ((1.0, 1.1, 0.9), {"low": 2}, CONTRADICTED),
        ((1.0, 1.1, 0.9), {"low": 1}, UNDECIDED),
        ((1.0, 1.1, 0.9), {"low": 0.5, "high": 1.5}, REPRODUCED),  # equivalence
        ((0.0, 3.0, 0.0), {"low": 0.5, "high": 1.5}, UNDECIDED),  # the mean agrees, by chance as it were
        ((5.0, 5.1, 4.9), {"low": 0.5, "high": 1.5}, CONTRADICTED),
        ((1.0,), {"low": -1e9}, UNDECIDED),  # one replicate decides nothing
        ((-5.0,), {"low": 0}, UNDECIDED),
        ((1.0, 1.0), {"low": 0}, UNDECIDED),  # equal replicates do not show their spread
        ((0.1, 0.1, 0.1), {"low": 0}, UNDECIDED),  # whose mean is not 0.1 in floating point
        ((-1.0, -1.0), {"low": 0}, UNDECIDED),
        ((1.0, math.nan, 1.0), {"low": 0}, CONTRADICTED),
        ((math.inf,), {"low": 0}, CONTRADICTED),
    ],
)
def test_an_effect_is_within_outside_or_undecided(
    values: tuple[float, ...], limits: dict[str, float], verdict: str
) -> None:
    assert verdicts([effect(*values, **limits)]) == [verdict]


def test_a_stated_error_needs_no_replicates_and_exact_numbers_no_interval() -> None:
    assert verdicts([effect(1.0, low=0, error=0.4)]) == [REPRODUCED]
    assert verdicts([effect(1.0, low=0, error=0.6)]) == [UNDECIDED]
    assert verdicts([effect(-1.0, low=0, error=0.4)]) == [CONTRADICTED]
    assert effect(1.0, error=0.5).interval() == pytest.approx((1 - 0.97998, 1 + 0.97998), abs=1e-5)
    assert verdicts([effect(0.0, low=0, error=0), effect(-1e-9, low=0, error=0)]) == [
        REPRODUCED,
        CONTRADICTED,
    ]
    assert verdicts([effect(0.0, low=0, error=0, strict=True)]) == [CONTRADICTED]


def test_contradictions_are_corrected_as_holm_says() -> None:
    p = [0.001, 0.012, 0.02, 0.9]
    effects = [effect(-stats.norm.isf(value), low=0, error=1.0) for value in p]
    assert [each.evidence_against() for each in effects] == pytest.approx(p)
    adjusted = [4 * p[0], 3 * p[1], max(3 * p[1], 2 * p[2]), p[3]]
    assert [word == CONTRADICTED for word in verdicts(effects)] == [value < LEVEL for value in adjusted]


def test_effects_that_decide_nothing_are_not_counted_by_holm() -> None:
    outside = effect(-stats.norm.isf(0.02), low=0, error=1.0)  # between LEVEL / 2 and LEVEL
    void = Effect("m", np.array([-9.0]), low=0, error=0.0, caveat="not converged")
    assert verdicts([outside, void]) == [CONTRADICTED, UNDECIDED]
    assert verdicts([outside, effect(9.0, low=0, error=1.0)]) == [UNDECIDED, REPRODUCED]


def test_true_statements_about_many_groups_are_seldom_contradicted() -> None:
    random, times = np.random.default_rng(0), 400
    contradicted = 0
    for _ in range(times):
        draws = random.normal(0.0, 1.0, (40, 5))  # every effect is on its limit, the worst case
        contradicted += CONTRADICTED in verdicts([effect(*values, low=0) for values in draws])
    assert contradicted / times < LEVEL + 4 * (LEVEL / times) ** 0.5


def test_what_replicates_would_decide_they_do() -> None:
    random = np.random.default_rng(1)
    pilot = effect(*random.normal(0.5, 1.0, 4), low=0)
    needed = int(pilot.replicates_needed())
    assert verdicts([pilot]) == [UNDECIDED]
    assert needed > 4
    draws = random.normal(pilot.mean, pilot.spread, (2000, needed))
    decided = np.mean([verdicts([effect(*values, low=0)]) == [REPRODUCED] for values in draws])
    assert decided == pytest.approx(0.8, abs=0.05)


def test_how_many_are_needed_is_unknown_without_a_spread_and_endless_without_an_effect() -> None:
    assert math.isnan(effect(1.0, low=0).replicates_needed())
    assert effect(-1.0, 1.0, low=0).replicates_needed() == math.inf


def test_two_limits_have_the_same_power_as_one() -> None:
    random = np.random.default_rng(2)
    pilot = effect(-1.0, 1.0, low=-0.5, high=0.5)
    needed = int(pilot.replicates_needed())
    draws = random.normal(0.0, pilot.spread, (2000, needed))
    decided = np.mean([effect(*values, low=-0.5, high=0.5).holds() for values in draws])
    assert decided == pytest.approx(0.8, abs=0.04)
    assert needed > effect(-1.0, 1.0, low=-0.5).replicates_needed()


def test_what_contradicts_passes_the_level_of_all_effects() -> None:
    random, count = np.random.default_rng(3), 20
    pilot = effect(-1.5, 0.5, low=0)
    needed = int(pilot.replicates_needed(count))
    assert needed > pilot.replicates_needed()
    others = [effect(9.0, low=0, error=1.0)] * (count - 1)
    draws = random.normal(pilot.mean, pilot.spread, (2000, needed))
    decided = np.mean([verdicts([effect(*values, low=0), *others])[0] == CONTRADICTED for values in draws])
    assert decided == pytest.approx(0.8, abs=0.04)


def of_group(name: str, *effects: Effect) -> Finding:
    return Finding(name, effects, "1")


def test_a_claim_needs_what_its_most_demanding_effect_needs() -> None:
    easy, hard = effect(-0.5, 2.5, low=0), effect(-1.0, 2.0, low=0)
    sure, bad = effect(1.0, 1.1, 0.9, low=0), effect(-1.5, 0.5, low=0)
    few, many = easy.replicates_needed(), hard.replicates_needed()
    assert few < many
    assert judged([of_group("a", easy, sure), of_group("b", hard)]).needed == many
    assert judged([of_group("a", easy, hard)]).needed == many
    assert judged([of_group("a", easy), of_group("b", hard)], 0.5).needed == few
    assert judged([of_group("a", easy), of_group("b", hard), of_group("c", bad)], 0.6).needed == many
    assert math.isnan(judged([of_group("a", easy), of_group("b", effect(1.0, low=0))]).needed)
    assert math.isnan(judged([of_group("a", sure)]).needed)


def test_a_claim_that_looks_wrong_needs_what_contradicts_it_soonest() -> None:
    good, bad, worse = (effect(-1.0, 2.0, low=limit) for limit in (0, 1.5, 2.0))
    soonest = worse.replicates_needed(3)
    assert soonest < bad.replicates_needed(3)
    assert judged([of_group("a", good), of_group("b", bad), of_group("c", worse)]).needed == soonest
    assert judged([of_group("a", good), of_group("b", bad, worse)]).needed == soonest
    two = judged([of_group("a", good), of_group("b", bad), of_group("c", worse)], 0.6).needed
    assert two == bad.replicates_needed(3)  # two groups must be contradicted
    unknown = effect(-1.0, low=0)
    assert judged([of_group("a", unknown), of_group("b", worse)]).needed == worse.replicates_needed(2)


def groups(*words: str) -> list[Finding]:
    shown = {REPRODUCED: (1.0, 1.1, 0.9), CONTRADICTED: (-1.0, -1.1, -0.9), UNDECIDED: (-1.0, 2.0, 0.1)}
    return [Finding(f"g={i}", (effect(*shown[word], low=0),), "1") for i, word in enumerate(words)]


@pytest.mark.parametrize(
    ("words", "of_all", "of_most"),
    [
        ((REPRODUCED,) * 3, REPRODUCED, REPRODUCED),
        ((REPRODUCED, UNDECIDED, REPRODUCED), UNDECIDED, REPRODUCED),
        ((REPRODUCED, CONTRADICTED, REPRODUCED), CONTRADICTED, REPRODUCED),
        ((UNDECIDED, CONTRADICTED, REPRODUCED), CONTRADICTED, UNDECIDED),
        ((CONTRADICTED, CONTRADICTED, REPRODUCED), CONTRADICTED, CONTRADICTED),
        ((CONTRADICTED, REPRODUCED), CONTRADICTED, CONTRADICTED),
        ((UNDECIDED, UNDECIDED), UNDECIDED, UNDECIDED),
    ],
)
def test_the_fraction_says_in_how_many_groups_a_claim_must_hold(
    words: tuple[str, ...], of_all: str, of_most: str
) -> None:
    assert judged(groups(*words)).verdict == of_all
    assert judged(groups(*words), 0.6).verdict == of_most
    counts = ", ".join(
        f"{words.count(word)} {word}" for word in (CONTRADICTED, UNDECIDED, REPRODUCED) if word in words
    )
    detail = judged(groups(*words)).detail
    assert detail.endswith(f"(of {len(words)} groups: {counts})")
