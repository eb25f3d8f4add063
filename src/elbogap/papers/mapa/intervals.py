"""Intervals over data sets."""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

COVERAGE = 0.95


def half_interval(values: ArrayLike) -> float:
    """t_{D - 1} s / sqrt D, half of Student's 95 % interval of a mean over D data sets; NaN for D = 1."""
    count = np.size(values)
    return float(stats.t.ppf((1 + COVERAGE) / 2, count - 1) * stats.sem(values)) if count > 1 else math.nan
