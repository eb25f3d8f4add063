"""Commands in processes that share what the tests have imported: they cost little and can be killed."""

import os
import subprocess
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from elbogap import cli, warm


@contextmanager
def server(**changes: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """A process that began a warm server in a changed environment, and the environment of its jobs."""
    said = "print(os.environ.get(warm.SOCKET, ''))"
    code = f"import os; from elbogap import warm; warm.start(); {said}; input()"
    environment = {name: value for name, value in os.environ.items() if name != warm.SOCKET} | changes
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        yield parent, environment | {warm.SOCKET: parent.stdout.readline().strip()}
        parent.kill()


def start(words: Sequence[str], log: Path) -> int:
    """Begin `python -m elbogap ...` in a child; its number. What it prints goes to the log."""
    pid = os.fork()
    if pid == 0:
        _run(words, log)
    return pid


def start_below_another(words: Sequence[str], log: Path) -> tuple[int, int]:
    """The same in a child's child, as Snakemake's jobs are: the number of each."""
    reading, writing = os.pipe()
    parent = os.fork()
    if parent == 0:
        job = os.fork()
        if job == 0:
            _run(words, log)
        os.write(writing, f"{job}\n".encode())
        os.waitpid(job, 0)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        return parent, int(answer.readline())


def finish(pid: int) -> int:
    """Wait for a child; its exit status, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _run(words: Sequence[str], log: Path) -> NoReturn:
    status = 99
    try:
        sys.argv = ["elbogap", *words]
        sys.stdout = sys.stderr = log.open("w", encoding="utf-8", buffering=1)
        status = cli.main(words)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)  # never back into pytest
