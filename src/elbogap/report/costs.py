"""What jobs cost in the recorded runs, and how long the rest of a run takes at these costs."""

import time
from collections.abc import Mapping

import pandas as pd

from elbogap import tables
from elbogap.errors import UserError
from elbogap.places import Places
from elbogap.report.numbers import duration, memory

COLUMNS = [
    "document", "target", "scale", "rule", "seconds", "max_rss_mib", "threads", "device", "max_gpu_mib"
]  # fmt: skip


def recorded(places: Places) -> pd.DataFrame:
    """The recorded costs of all scales, a row per target and job; none if nothing is recorded yet."""
    if not places.recorded_costs.is_file():
        return pd.DataFrame(columns=COLUMNS)
    return tables.read_table(places.recorded_costs).reindex(columns=COLUMNS)


def total(jobs: pd.DataFrame) -> dict[str, str]:
    """The `time` that jobs take together and the largest peak `memory`, as text."""
    seconds, most = jobs["seconds"].sum(min_count=1), jobs["max_rss_mib"].max()
    return {"time": duration(seconds), "memory": memory(most)}


def seconds_by_rule(places: Places | None = None) -> dict[tuple[str, str], float]:
    """Mean wall time of the recorded jobs of a rule, by scale and rule; without a readable record none."""
    try:
        jobs = recorded(places or Places.here()).drop_duplicates(["scale", "rule"])
    except UserError:  # an estimate stops no run
        return {}
    rule = jobs["rule"].astype(str).str.split("[").str[0]
    return jobs["seconds"].dropna().groupby([jobs["scale"], rule]).mean().to_dict()


class TimeLeft:
    """The time that the rest of a run takes by its recorded costs, at the pace of the jobs finished here."""

    def __init__(self, jobs: Mapping[str, int], seconds: Mapping[tuple[str, str], float]) -> None:
        """Begin a run of so many jobs by rule, whose recorded costs are given by scale and rule."""
        self._left, self._total, self._seconds = dict(jobs), sum(jobs.values()), seconds
        self._started, self._recorded = time.monotonic(), 0.0

    def finish(self, rule: str, scale: str) -> str:
        """Count a job as finished, and say what is left."""
        self._left[rule] = max(0, self._left.get(rule, 0) - 1)
        self._recorded += self._seconds.get((scale, rule), 0.0)
        left = sum(self._left.values())
        known = {name: count for name, count in self._left.items() if (scale, name) in self._seconds}
        text = f"{self._total - left} of {self._total} jobs done"
        rest = sum(count * self._seconds[scale, name] for name, count in known.items())
        if self._recorded and rest:
            pace = self._recorded / (time.monotonic() - self._started)  # recorded seconds per second
            text += f", about {duration(rest / pace)} left"
        if unknown := left - sum(known.values()):
            text += f", {unknown} without a recorded cost"
        return text
