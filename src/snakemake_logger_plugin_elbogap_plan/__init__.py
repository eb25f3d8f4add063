"""Snakemake logger plugin `elbogap-plan`: writes the jobs that a run announces as JSON lines.

`python -m elbogap plan` uses it with a dry run; a rule is thus the only place that defines its command.
"""

import json
from dataclasses import dataclass, field
from logging import LogRecord
from pathlib import Path
from typing import Optional

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    """Command-line options of the plugin."""

    file: Optional[Path] = field(  # noqa: UP045  Snakemake makes an option of this type, and knows no unions
        default=None, metadata={"help": "where the jobs go", "required": True}
    )


class LogHandler(LogHandlerBase):
    """One line per job: rule, wildcards, inputs, resources, benchmark and shell command."""

    writes_to_stream, writes_to_file = False, True
    has_filter, has_formatter, needs_rulegraph = True, True, False

    def __post_init__(self) -> None:
        """Begin with an empty file."""
        assert isinstance(self.settings, LogHandlerSettings)
        assert self.settings.file is not None
        self.baseFilename = str(self.settings.file)
        self._file = self.settings.file.open("w")

    def emit(self, record: LogRecord) -> None:
        """Write a job; other events are not ours."""
        if getattr(record, "event", None) is not LogEvent.JOB_INFO:
            return
        job = record.__dict__
        row = {
            "rule": job["rule_name"],
            "wildcards": job["wildcards"],
            "input": list(job["input"]),
            "gpu": job["resources"].get("gpu", 0),
            "benchmark": job["benchmark"],
            "shell": job["shellcmd"],
        }
        self._file.write(f"{json.dumps(row)}\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
