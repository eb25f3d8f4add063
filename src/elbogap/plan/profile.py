"""Profile the long work of jobs, each in a process of its own: its pace, and how busy it keeps the device."""

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import pandas as pd

from elbogap import tables
from elbogap.plan.ask import PROJECT
from elbogap.plan.jobs import Job
from elbogap.plan.work import Means, command, environment

COLUMNS = [
    "scale", "rule", "device", "threads", "work", "unit", "steps", "members", "steps_per_s",
    "model_steps_per_s", "hours", "gflop_per_step", "gflops", "peak_gflops", "peak_share", "busy_share",
    "kernels_per_step", "launches_per_step", "syncs_per_step", "max_rss_mib", "max_gpu_mib", "dearest",
]  # fmt: skip
"""Of the table: see :class:`~elbogap.profiling.Piece`; `hours` are those of the whole piece at this pace."""


def one_of_each(jobs: Sequence[Job]) -> list[Job]:
    """The first cell of each rule that could use a GPU."""
    first: dict[str, Job] = {}
    for job in jobs:
        if job.gpu:
            first.setdefault(job.rule.partition("[")[0], job)
    return list(first.values())


def profile(
    jobs: Sequence[Job], scale: str, seconds: float, means: Means, say: TextIO = sys.stderr
) -> pd.DataFrame:
    """A row for each job with long work whose inputs are there, see `COLUMNS`.

    Args:
        jobs: the jobs.
        scale: their scale, for the table.
        seconds: how long to time steps.
        means: what they may use.
        say: where progress and what was left out go.
    """
    rows = []
    checkout = os.path.relpath(PROJECT, means.folder)
    for job in (one.at(checkout) for one in jobs):
        missing = [path for path in job.inputs.values() if not (means.folder / path).is_file()]
        if missing:
            print(f"elbogap: {job.rule}: left out, {missing[0]} is not made yet", file=say)
            continue
        print(f"elbogap: {job.rule}", file=say, flush=True)
        found = _measure(job, seconds, means)
        if found is None or not found["pieces"]:
            print(f"elbogap: {job.rule}: {'no long work' if found else 'failed, see above'}", file=say)
            continue
        flops = found["pieces"][-1]["gflop_per_step"]
        if means.gpus and math.isnan(flops):  # the replay of a graph shows no operations: count on the CPU
            on_cpu = _measure(job, 0.0, Means(means.folder, 0, means.threads, means.deadline))
            flops = on_cpu["pieces"][-1]["gflop_per_step"] if on_cpu and on_cpu["pieces"] else math.nan
        rows.append(_row(job, scale, found, flops))
    return pd.DataFrame(rows, columns=COLUMNS)


def add(rows: pd.DataFrame, path: Path) -> None:
    """Put rows into the table of earlier ones, in the place of those of the same job and device."""
    same = ["scale", "rule", "device", "threads"]
    if path.is_file():
        rows = pd.concat([tables.read_table(path), rows]).drop_duplicates(same, keep="last")
    tables.write(rows.sort_values(same, ignore_index=True), path)


def _measure(job: Job, seconds: float, means: Means) -> dict[str, Any] | None:
    """What the job's process wrote of its work; None if it failed."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "profile.json"
        words = [
            *command(job, means),
            *("--scratch", folder, "--profile", str(file), "--profile-seconds", str(seconds)),
        ]
        subprocess.run(words, cwd=means.folder, env=environment(), check=False)
        return json.loads(file.read_text()) if file.is_file() else None


def _row(job: Job, scale: str, found: dict[str, Any], flops: float) -> dict[str, Any]:
    piece = found["pieces"][-1]
    pace = piece["steps_per_s"]
    return piece | {
        "scale": scale,
        "rule": job.rule,
        "device": found["device"],
        "threads": found["threads"],
        "work": piece["label"],
        "model_steps_per_s": pace * piece["members"],
        "hours": piece["steps"] / pace / 3600,
        "gflop_per_step": flops,
        "gflops": flops * pace,
        "peak_gflops": found["peak_gflops"],
        "peak_share": flops * pace / found["peak_gflops"],
        "max_rss_mib": found["peak_memory_mib"],
        "max_gpu_mib": found["peak_gpu_memory_mib"],
    }
