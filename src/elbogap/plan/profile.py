"""Profile the long work of jobs, each in a process of its own: its pace, and how busy it keeps the device."""

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import pandas as pd

from elbogap import provenance, tables
from elbogap.plan.ask import PROJECT
from elbogap.plan.jobs import Job
from elbogap.plan.work import Means, command, environment

COLUMNS = [
    "scale", "rule", "device", "threads", "work", "unit", "steps", "members", "steps_per_s",
    "model_steps_per_s", "piece_hours", "gflop_per_step", "gflops", "peak_gflops", "peak_share", "busy_share",
    "kernels_per_step", "launches_per_step", "syncs_per_step", "max_rss_mib", "max_gpu_mib", "dearest",
    "commit", "torch",
]  # fmt: skip
"""Of the table: see :class:`~elbogap.profiling.Piece`; `piece_hours` are those of all its steps at this
pace, without what comes between and after them."""


def one_of_each(jobs: Sequence[Job]) -> list[Job]:
    """The first cell of each rule that could use a GPU."""
    first: dict[str, Job] = {}
    for job in jobs:
        if job.gpu:
            first.setdefault(job.rule.partition("[")[0], job)
    return list(first.values())


def profile(
    jobs: Sequence[Job], scale: str, seconds: float, means: Means, say: TextIO = sys.stderr
) -> Iterator[dict[str, Any]]:
    """A row for each job with long work whose inputs are there, as soon as it is measured, see `COLUMNS`.

    Args:
        jobs: the jobs.
        scale: their scale, for the table.
        seconds: how long to time steps.
        means: what they may use.
        say: where progress and what was left out go.
    """
    checkout = os.path.relpath(PROJECT, means.folder)
    for job in (one.at(checkout) for one in jobs):
        missing = [path for path in job.inputs.values() if not (means.folder / path).is_file()]
        if missing:
            print(f"elbogap: {job.rule}: left out, {missing[0]} is not made yet", file=say)
            continue
        print(f"elbogap: {job.rule}", file=say, flush=True)
        found = _measure(job, seconds, means)
        if found is None:
            print(f"elbogap: {job.rule}: failed, see above", file=say)
            continue
        timed = [piece for piece in found["pieces"] if piece["steps_per_s"] > 0]
        if not timed:
            print(f"elbogap: {job.rule}: no work that is long enough to be timed", file=say)
            continue
        piece = timed[-1]
        if means.gpus:  # the replay of a graph shows no operations
            piece["gflop_per_step"] = _counted_on_cpu(job, piece, means)
        yield _row(job, scale, found, piece)


def _counted_on_cpu(job: Job, piece: dict[str, Any], means: Means) -> float:
    """Operations of a step of the same piece, if it is the first that the CPU comes to."""
    found = _measure(job, 0.0, replace(means, gpus=0))
    same = [
        one["gflop_per_step"]
        for one in (found or {"pieces": []})["pieces"]
        if (one["label"], one["members"]) == (piece["label"], piece["members"])
    ]
    return same[0] if same else math.nan


def add(row: Mapping[str, Any], path: Path) -> None:
    """Put a row into the table of earlier ones, in the place of that of the same job and device."""
    same = ["scale", "rule", "device", "threads"]
    rows = pd.DataFrame([row], columns=COLUMNS)
    if path.is_file():
        rows = pd.concat([tables.read_table(path), rows]).drop_duplicates(same, keep="last")
    tables.write(rows.sort_values(same, ignore_index=True), path)


def _measure(job: Job, seconds: float, means: Means) -> dict[str, Any] | None:
    """What the job's process wrote of its work; None if it failed."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "profile.json"
        words = [*command(job, means), "--profile", str(file), "--profile-seconds", str(seconds)]
        subprocess.run(words, cwd=means.folder, env=environment(), check=False)
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def _row(job: Job, scale: str, found: dict[str, Any], piece: dict[str, Any]) -> dict[str, Any]:
    pace, gflop = piece["steps_per_s"], piece["gflop_per_step"]
    return piece | {
        "scale": scale,
        "rule": job.rule,
        "device": found["device"],
        "threads": found["threads"],
        "work": piece["label"],
        "model_steps_per_s": pace * piece["members"],
        "piece_hours": piece["steps"] / pace / 3600,
        "gflops": gflop * pace,
        "peak_gflops": found["peak_gflops"],
        "peak_share": gflop * pace / found["peak_gflops"],
        "commit": provenance.git_state()["commit"],
        "torch": provenance.versions().get("torch"),
    }
