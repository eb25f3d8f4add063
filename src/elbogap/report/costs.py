"""What jobs cost in the recorded runs, and how long the rest of a run takes by that."""

import time
from collections.abc import Mapping

import pandas as pd

from elbogap import tables
from elbogap.errors import UserError
from elbogap.places import Places
from elbogap.report.numbers import duration


def seconds_by_rule(places: Places | None = None) -> dict[tuple[str, str], float]:
    """Mean wall time of the recorded jobs of a rule, by scale and rule."""
    costs = _recorded(places or Places.here())
    rule = costs["rule"].str.split("[").str[0]
    means = costs["seconds"].groupby([costs["scale"], rule]).mean()
    return {(str(scale), str(name)): float(value) for (scale, name), value in means.items()}


def _recorded(places: Places) -> pd.DataFrame:
    try:
        costs = tables.read_table(places.recorded_costs)
    except UserError:  # missing or damaged: an estimate stops no run
        return pd.DataFrame({"scale": [], "rule": [], "seconds": []}).astype({"scale": str, "rule": str})
    return costs.drop_duplicates(["scale", "rule"]).dropna(subset="seconds")


class Estimate:
    """The time that the jobs of a run still take, if they take what they took before.

    The recorded seconds are those of another machine and of one job at a time; what is left is divided by the
    recorded seconds that were finished here per second.
    """

    def __init__(self, jobs: Mapping[str, int], seconds: Mapping[tuple[str, str], float]) -> None:
        """Begin a run.

        Args:
            jobs: number of jobs by rule.
            seconds: recorded cost of a job by scale and rule.
        """
        self._left, self._total = dict(jobs), sum(jobs.values())
        self._seconds = seconds
        self._started, self._recorded = time.monotonic(), 0.0

    def finish(self, rule: str, scale: str) -> str:
        """Take note of a finished job, and say what is left."""
        self._left[rule] = max(0, self._left.get(rule, 0) - 1)
        self._recorded += self._seconds.get((scale, rule), 0.0)
        left = sum(self._left.values())
        known = {one: n for one, n in self._left.items() if (scale, one) in self._seconds}
        text = f"{self._total - left} of {self._total} jobs done"
        if self._recorded and known:
            speed = self._recorded / (time.monotonic() - self._started)
            rest = sum(n * self._seconds[scale, one] for one, n in known.items())
            text += f", about {duration(rest / speed)} left" if rest else ""
        if unknown := left - sum(known.values()):
            text += f", {unknown} without a recorded cost"
        return text
