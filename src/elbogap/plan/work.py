"""Work off the jobs of a plan, one after the other: stopped at any moment, the same call goes on."""

import contextlib
import fcntl
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from elbogap import digest, provenance
from elbogap.budget import VARIABLE
from elbogap.errors import TRY_AGAIN, OutOfTime, UserError
from elbogap.files import atomic
from elbogap.plan.ask import PROJECT
from elbogap.plan.jobs import Job
from elbogap.report.lineage import last_record
from elbogap.report.numbers import duration

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
        checkout = os.path.relpath(PROJECT, means.folder)
        todo = [job.at(checkout) for job in jobs]
        left = [job for job in todo if not done(job, means.folder)]
        failed: list[Job] = []
        for job in todo:
            if blocked := [one for one in failed if set(one.outputs.values()) & set(job.inputs.values())]:
                failed.append(job)
                print(f"elbogap: {job.rule}: left out, it needs {blocked[0].rule}", file=say)
            elif not done(job, means.folder):
                if time.monotonic() >= means.deadline:
                    raise OutOfTime
                left = left if job in left else [job, *left]
                print(f"elbogap: {job.rule}: {progress(left, len(todo), seconds)}", file=say, flush=True)
                status = _run(job, means, lock)
                if status == TRY_AGAIN:
                    raise OutOfTime
                if status:
                    failed.append(job)
                    print(f"elbogap: {job.rule}: {_ending(status)}", file=say)
            left = [one for one in left if one != job]
        if failed:
            raise UserError(f"{len(failed)} of {len(todo)} jobs failed or were left out: see above")


def _ending(status: int) -> str:
    """What an exit status means; the kernel ends what takes too much memory by SIGKILL."""
    if status == -signal.SIGKILL:
        return "killed, perhaps because memory ran out"
    return f"ended by {signal.Signals(-status).name}" if status < 0 else f"failed with status {status}"


def progress(left: Sequence[Job], total: int, seconds: Mapping[str, float]) -> str:
    """How many of all jobs are left, with the next one, and how long they take by the recorded costs."""
    known = [seconds[job.rule] for job in left if job.rule in seconds]
    text = f"{len(left)} of {total} jobs left"
    if known:
        text += f", {duration(sum(known))} as recorded"
    if unknown := len(left) - len(known):
        text += f" and {unknown} without a record" if known else ", without a recorded cost"
    return text


def done(job: Job, folder: Path) -> bool:
    """Whether all outputs were made by the code as it is, from the settings and inputs as they are.

    A job that leaves no provenance, such as the look for a data set, is never done.
    """
    settings = job.words[job.words.index("--settings") + 1] if "--settings" in job.words else "{}"
    try:
        inputs = {str(path): provenance.sha256(folder / path) for path in job.inputs.values()}
        for path in job.outputs.values():
            record = provenance.read(folder / path)
            now = {"settings": json.loads(settings), "inputs": inputs}
            now["code_digest"] = digest.code_digest(record["module"])
            if not (folder / path).is_file() or any(record[name] != value for name, value in now.items()):
                return False
    except (UserError, OSError, KeyError, TypeError, ModuleNotFoundError):
        return False  # no record, or that of another version
    return True


def command(job: Job, means: Means) -> list[str]:
    """The words that run a job with these means; only experiments, which have settings, can be cut short."""
    words = list(job.words)
    for option, value in (("--gpus", means.gpus if job.gpu else 0), ("--threads", means.threads)):
        if option in words:
            words[words.index(option) + 1] = str(value)
    if "--settings" in words and means.deadline < float("inf"):
        words += ["--time-budget", f"{max(0.0, means.deadline - time.monotonic()):.0f}"]
    return [sys.executable, "-m", "elbogap", *words]


def environment() -> dict[str, str]:
    """Of a job's process: it finds this package, and its time is told by its command alone."""
    path = os.pathsep.join([str(digest.SOURCE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {name: value for name, value in os.environ.items() if name != VARIABLE} | {"PYTHONPATH": path}


def _run(job: Job, means: Means, lock: int) -> int:
    """The status of a job. Killed with us or not, it keeps the lock as long as it lives."""
    for path in (means.folder / one for one in job.outputs.values()):
        path.parent.mkdir(parents=True, exist_ok=True)
        if job.words[0] != "data":
            # provenance is written before the result: nothing old may stand beside it
            path.unlink(missing_ok=True)
            provenance.path_for(path).unlink(missing_ok=True)
    words = command(job, means)
    started = time.monotonic()
    with subprocess.Popen(words, cwd=means.folder, env=environment(), pass_fds=[lock]) as process:
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.terminate()
            process.wait()  # it may be about to save its state
            raise
        process.returncode = os.waitstatus_to_exitcode(status)
    _record(job, means, process.returncode, time.monotonic() - started, usage.ru_maxrss / 1024)
    return process.returncode


def _record(job: Job, means: Means, status: int, seconds: float, max_rss_mib: float) -> None:
    """Write the job's benchmark record, as Snakemake does; calls cut short add to the next."""
    path = means.folder / job.benchmark
    before = last_record(path)
    if before and before.get("status") == TRY_AGAIN:
        seconds, max_rss_mib = seconds + before["s"], max(max_rss_mib, before["max_rss"])
    files = [f"{name}={file}" for name, file in job.outputs.items()]
    line = {
        "s": round(seconds, 3),
        "max_rss": round(max_rss_mib, 1),
        "rule_name": job.rule,
        "threads": means.threads,
        "status": status,
        "params": {"files": shlex.join(["--outputs", *files])},
    }
    with contextlib.suppress(OSError), atomic(path) as temporary:  # no result is worth less without it
        temporary.write_text(f"{json.dumps(line)}\n", encoding="utf-8")


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
