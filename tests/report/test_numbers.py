"""Numbers for readers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elbogap.report.numbers import cell, duration, memory, number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.4449123, "0.4449"),
        (-98.29, "−98.29"),
        (7.8e-4, "7.8 × 10⁻⁴"),
        (1.25e7 + 0.5, "1.25 × 10⁷"),
        (10, "10"),
        (5000.0, "5000"),
        (50_000, "50\u202f000"),
        (12345.67, "12\u202f346"),
        (0, "0"),
        (math.nan, "–"),
        (-math.inf, "−∞"),
    ],
)
def test_number(value: float, text: str) -> None:
    assert number(value) == text


@given(st.floats(min_value=1e-12, max_value=1e12))
def test_number_keeps_the_value_to_its_digits(value: float) -> None:
    superscripts = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹−", "-0123456789-")
    text = number(value).replace("\u202f", "").replace(" × 10", "e").translate(superscripts)
    assert math.isclose(float(text), value, rel_tol=6e-3 if "e" in text else 6e-4)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("circle", "circle"),
        ("a 0.4449123 < b 2.5e-07", "a 0.4449 < b 2.5 × 10⁻⁷"),
        ("2.15.0", "2.15.0"),
        ("fig01", "fig01"),
        ("", "–"),
        (None, "–"),
        (np.bool_(True), "yes"),
        (np.float64("nan"), "–"),
        (np.int64(3), "3"),
    ],
)
def test_cell(value: object, text: str) -> None:
    assert cell(value) == text


def test_durations_and_memory_have_units() -> None:
    assert [duration(s) for s in (0.42, 12.4, 204.0, 7200.0, math.nan)] == [
        "0.42 s",
        "12 s",
        "3.4 min",
        "2 h",
        "–",
    ]
    assert [memory(m) for m in (84.6, 1228.8, math.nan)] == ["85 MiB", "1.2 GiB", "–"]
