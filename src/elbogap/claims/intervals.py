"""From replicates to what they say: Student intervals, evidence against limits, and how many would decide.

An effect is the mean of a quantity over independent replicates, and must lie between two limits. It holds
if its whole interval does, which is the two one-sided tests of equivalence where both limits are finite
(Schuirmann 1987). It is contradicted if its whole interval lies outside, after Holm's correction for the
number of a claim's effects: of forty intervals one lies outside by chance. That a statement holds in every
group needs no correction (Berger 1982).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
LEVEL = (1 - CONFIDENCE) / 2  # of each one-sided test
POWER = 0.8
MOST = 10_000  # replicates; more are not counted

REPRODUCED, UNDECIDED, CONTRADICTED = "reproduced", "undecided", "contradicted"


@dataclass(frozen=True)
class Effect:
    """A quantity that must lie from `low` to `high`, by its replicates `[R]`.

    `error` is the standard error of the mean where the table states it; 0 says that chance has no part in it.
    Without it one replicate says nothing about others, and neither do several that are equal, whose spread is
    too small to be seen, not absent. `strict`: the lower limit itself is outside. `caveat`: why it decides
    nothing, whatever its values.
    """

    name: str
    values: np.ndarray
    low: float = -math.inf
    high: float = math.inf
    error: float | None = None
    strict: bool = False
    caveat: str = ""

    @property
    def mean(self) -> float:
        """Over replicates; NaN if a value is not finite."""
        return float(self.values.mean()) if np.isfinite(self.values).all() else math.nan

    @property
    def margin(self) -> float:
        """Distance of the mean from the nearer limit, negative outside."""
        return min(self.mean - self.low, self.high - self.mean)

    @property
    def spread(self) -> float | None:
        """Standard deviation over replicates, exactly 0 if they are equal; None for a single one."""
        if len(self.values) == 1:
            return None
        return float(self.values.std(ddof=1)) if np.ptp(self.values) else 0.0

    @property
    def standard_error(self) -> float:
        """Of the mean; infinite where the replicates do not tell it."""
        if self.error is not None:
            return self.error
        return self.spread / math.sqrt(len(self.values)) if self.spread else math.inf

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the standard error."""
        return math.inf if self.error is not None else max(len(self.values) - 1, 1)

    def interval(self) -> tuple[float, float]:
        """The Student interval of the mean at level `CONFIDENCE`."""
        if self.standard_error == 0:
            return self.mean, self.mean
        half = stats.t.isf(LEVEL, self.freedom) * self.standard_error
        return self.mean - half, self.mean + half

    def holds(self) -> bool:
        """Whether the whole interval is within the limits."""
        low, high = self.interval()
        return (low > self.low if self.strict else low >= self.low) and high <= self.high

    def evidence_against(self) -> float:
        """The p-value of the mean, were it within the limits: small if it lies outside. 0 if not finite."""
        if math.isnan(self.mean):
            return 0.0
        if self.standard_error == 0:
            return float(self.margin >= 0 and not (self.strict and self.margin == 0))
        return float(stats.t.cdf(self.margin / self.standard_error, self.freedom))

    def replicates_needed(self, effects: int = 1) -> float:
        """How many decide with probability `POWER` if mean and spread stay as they are; NaN if unknown.

        Within two limits either test may miss with probability (1 - `POWER`) / 2. Outside, the evidence must
        pass Bonferroni's level for the number of a claim's `effects`, the hardest step of Holm's.
        """
        if self.error is not None or self.caveat or not self.spread or not math.isfinite(self.margin):
            return math.nan
        n, outside = np.arange(2, MOST + 1), self.margin < 0
        level = LEVEL / effects if outside else LEVEL
        miss = (1 - POWER) / (1 if outside or math.isinf(self.high - self.low) else 2)
        reach = (stats.t.isf(level, n - 1) + stats.t.isf(miss, n - 1)) / np.sqrt(n)
        enough = reach * self.spread <= abs(self.margin)
        return float(n[enough.argmax()]) if enough.any() else math.inf


def verdicts(effects: Sequence[Effect]) -> list[str]:
    """Whether each of a claim's effects holds, is contradicted (Holm 1979) or neither."""
    against = np.array([1.0 if effect.caveat else effect.evidence_against() for effect in effects])
    order, tested = against.argsort(kind="stable"), sum(not effect.caveat for effect in effects)
    adjusted = np.maximum.accumulate(against[order] * np.maximum(tested - np.arange(len(against)), 1))
    contradicted = np.zeros(len(against), bool)
    contradicted[order] = adjusted < LEVEL
    return [
        CONTRADICTED if outside else REPRODUCED if effect.holds() and not effect.caveat else UNDECIDED
        for effect, outside in zip(effects, contradicted, strict=True)
    ]
