"""Work off the jobs of a plan, one after the other: stopped at any moment, the same call goes on."""

import contextlib
import fcntl
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from elbogap import digest, provenance
from elbogap.errors import OutOfTime, UserError
from elbogap.plan.jobs import Job
from elbogap.report.numbers import duration

TRY_AGAIN = 75
LOCK = Path(".snakemake/elbogap.lock")
"""Held alone by :func:`work`, and shared by every run of Snakemake in the same folder."""


@dataclass(frozen=True)
class Means:
    """What the jobs may use.

    Attributes:
        folder: where `results/` and `figures/` are; the commands run there.
        gpus: GPUs of a job that computes on one; 0 lets it compute on the CPU.
        threads: threads of a job.
        deadline: when to stop, on the clock of `time.monotonic()`.
    """

    folder: Path
    gpus: int
    threads: int
    deadline: float


def work(jobs: Sequence[Job], seconds: Mapping[str, float], means: Means, say: TextIO = sys.stderr) -> None:
    """Run each job that is not done, in order; a failure stops only what needs the job's files.

    Args:
        jobs: each after those whose files it needs.
        seconds: recorded cost of jobs by their rule, where known.
        means: what they may use.
        say: where progress goes.

    Raises:
        UserError: jobs failed, or another run works in the folder.
        OutOfTime: the deadline has passed.
    """
    with _alone(means.folder) as lock:
        failed: list[Job] = []
        for number, job in enumerate(jobs):
            if blocked := [one for one in failed if set(one.outputs.values()) & set(job.inputs.values())]:
                failed.append(job)
                print(f"elbogap: {job.rule}: left out, it needs {blocked[0].rule}", file=say)
                continue
            if done(job, means.folder):
                continue
            if time.monotonic() >= means.deadline:
                raise OutOfTime
            print(f"elbogap: {job.rule}: {progress(jobs[number:], number, seconds)}", file=say, flush=True)
            status = _run(job, means, lock)
            if status == TRY_AGAIN:
                raise OutOfTime
            if status:
                failed.append(job)
                print(f"elbogap: {job.rule}: failed with status {status}", file=say)
        if failed:
            raise UserError(f"{len(failed)} of {len(jobs)} jobs failed or were left out: see above")


def progress(left: Sequence[Job], finished: int, seconds: Mapping[str, float]) -> str:
    """How many jobs are done, and how long the others take by the recorded costs."""
    known = [seconds[job.rule] for job in left if job.rule in seconds]
    text = f"job {finished + 1} of {finished + len(left)}"
    if known:
        text += f", {duration(sum(known))} left as recorded"
    if unknown := len(left) - len(known):
        text += f" and {unknown} without a record" if known else f", {unknown} left without a recorded cost"
    return text


def done(job: Job, folder: Path) -> bool:
    """Whether all outputs were made by the code as it is, from the settings and inputs as they are.

    A job that leaves no provenance, such as the look for a data set, is never done.
    """
    settings = job.words[job.words.index("--settings") + 1] if "--settings" in job.words else "{}"
    try:
        records = [provenance.read(folder / path) for path in job.outputs.values()]
        inputs = {str(path): provenance.sha256(folder / path) for path in job.inputs.values()}
    except (UserError, OSError):
        return False
    return all((folder / path).is_file() for path in job.outputs.values()) and all(
        record["settings"] == json.loads(settings)
        and record["inputs"] == inputs
        and record["code_digest"] == digest.code_digest(record["module"])
        for record in records
    )


def command(job: Job, means: Means, stoppable: bool) -> list[str]:
    """The words that run a job with these means."""
    words = list(job.words)
    for option, value in (("--gpus", means.gpus if job.gpu else 0), ("--threads", means.threads)):
        if option in words:
            words[words.index(option) + 1] = str(value)
    if stoppable and means.deadline < float("inf"):
        words += ["--time-budget", f"{max(0.0, means.deadline - time.monotonic()):.0f}"]
    return [sys.executable, "-m", "elbogap", *words]


def _run(job: Job, means: Means, lock: int) -> int:
    """The status of a job. Killed with us or not, it keeps the lock as long as it lives."""
    for path in job.outputs.values():
        (means.folder / path).parent.mkdir(parents=True, exist_ok=True)
    words = command(job, means, stoppable="--settings" in job.words)
    source = {
        "PYTHONPATH": os.pathsep.join(
            [str(digest.SOURCE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        )
    }
    started = time.monotonic()
    with subprocess.Popen(words, cwd=means.folder, env=os.environ | source, pass_fds=[lock]) as process:
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.terminate()
            raise
        process.returncode = os.waitstatus_to_exitcode(status)
    _record(job, means, process.returncode, time.monotonic() - started, usage.ru_maxrss / 1024)
    return process.returncode


def _record(job: Job, means: Means, status: int, seconds: float, max_rss_mib: float) -> None:
    """Add a line to the job's benchmark record, as Snakemake writes them; calls cut short add to the next."""
    path = means.folder / job.benchmark
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    if lines and lines[-1].get("status") == TRY_AGAIN:
        seconds += lines[-1]["s"]
    files = [f"{name}={file}" for name, file in job.outputs.items()]
    line = {
        "s": round(seconds, 3),
        "max_rss": round(max_rss_mib, 1),
        "rule_name": job.rule,
        "threads": means.threads,
        "status": status,
        "params": {"files": shlex.join(["--outputs", *files])},
    }
    with path.open("a") as file:
        file.write(f"{json.dumps(line)}\n")


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[int]:
    """A lock on the folder, which dies with its holders.

    Raises:
        UserError: somebody else holds it.
    """
    path = folder / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{folder.resolve()}: another run works here; wait for it, or take another folder"
            ) from None
        yield file.fileno()
