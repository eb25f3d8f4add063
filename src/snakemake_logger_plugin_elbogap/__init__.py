"""Snakemake logger plugin `elbogap`: jobs left, and the time they take by the recorded costs.

snakemake --cores 8 --logger elbogap -- all
"""

import sys
from logging import LogRecord
from typing import TYPE_CHECKING

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

if TYPE_CHECKING:
    from elbogap.report.costs import TimeLeft

OVERALL = ("all", "products", "smoke", "paper_scale", "report", "claims", "total")
"""Entries of Snakemake's statistics that are no jobs."""


class LogHandler(LogHandlerBase):
    """Says what is left whenever a job has finished."""

    writes_to_stream, writes_to_file = False, False  # its lines stand beside Snakemake's own
    has_filter, has_formatter, needs_rulegraph = True, True, False

    def __post_init__(self) -> None:
        """Know no job yet."""
        self._time_left: TimeLeft | None = None
        self._running: dict[int, tuple[str, str]] = {}

    def emit(self, record: LogRecord) -> None:
        """Follow the run."""
        event, told = getattr(record, "event", None), record.__dict__
        if event is LogEvent.RUN_INFO:
            from elbogap.report.costs import TimeLeft, seconds_by_rule

            jobs = {rule: count for rule, count in told["stats"].items() if rule not in OVERALL}
            self._time_left = TimeLeft(jobs, seconds_by_rule())
        elif event is LogEvent.JOB_INFO:
            self._running[told["jobid"]] = told["rule_name"], told["wildcards"].get("scale", "")
        elif event is LogEvent.JOB_FINISHED and self._time_left:
            rule, scale = self._running.pop(told["job_id"], ("", ""))
            if rule and rule not in OVERALL:
                print(f"elbogap: {self._time_left.finish(rule, scale)}", file=sys.stderr, flush=True)
