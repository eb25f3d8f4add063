"""One writer per result: a command locks each file that it makes, and a run of Snakemake its own record.

The lock of `t.csv` is on the file `.t.csv.writer` beside it, which names the process and goes with the lock.
The system frees the locks of a process that ends, however it ends. Where a file system has no locks, the
existence of that file is one; what a process killed on another host left there is deleted by hand.
"""

import atexit
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path

from filelock import FileLock, SoftFileLock, Timeout

from elbogap.errors import UserError

RUN = "ELBOGAP_RUN"  # environment variable of jobs: the record of the run of Snakemake that started them


def claim_of(path: Path) -> Path:
    """The file that is locked while a process makes `path`."""
    return path.with_name(f".{path.name}.writer")


@contextmanager
def sole(paths: Iterable[Path]) -> Iterator[None]:
    """Let this process be the only writer of the paths while the block runs; UserError if another is."""
    with ExitStack() as held:
        for path in sorted(set(paths)):
            claim = claim_of(path)
            claim.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock = held.enter_context(FileLock(claim, timeout=0))
            except Timeout as error:
                advice = f"wait for it or stop it, then run again; if it was killed, delete {claim}"
                raise UserError(f"{path}: {_owner(claim)} writes it; {advice}") from error
            held.callback(claim.unlink, missing_ok=True)
            if not isinstance(lock, SoftFileLock):  # which says so itself
                claim.write_text(f"{os.getpid()}\n{socket.gethostname()}\n", encoding="utf-8")
        yield


def begin_run(folder: Path) -> list[str]:
    """Record this process as a run of Snakemake in its folder `.snakemake`, and sweep what killed runs left.

    The locks there are stale if every other recorded run has ended and nobody writes an output that they
    name. Otherwise they stay, and the lines that are returned tell who is in the way.
    """
    locks = sorted((folder / "locks").glob("*.lock"))
    record = folder / "elbogap-runs" / f"{socket.gethostname()}-{os.getpid()}"
    this_run = ExitStack()
    try:
        this_run.enter_context(sole([record]))
    except OSError:
        return []  # nor can Snakemake begin a run here
    atexit.register(this_run.close)
    os.environ[RUN] = str(claim_of(record).absolute())
    others = [path for path in record.parent.iterdir() if path != claim_of(record)]
    outputs: list[str] = []
    for lock in locks:
        with suppress(FileNotFoundError):  # its run may have just ended and removed it
            outputs += lock.read_text(encoding="utf-8").splitlines() if "output" in lock.name else []
    busy = [
        f"{_owner(path)} works here; wait for it, or delete {path} if it was killed"
        for path in others
        if _is_held(path)
    ]
    busy += [
        f"{path}: {_owner(claim)} still writes it, though its run was killed; wait for it or stop it"
        for path in outputs
        if _is_held(claim := claim_of(folder.parent / path))
    ]
    if busy or not others:  # a lock without any record is of a run that nothing is known of
        return busy if locks else []
    for path in [*locks, *others]:
        path.unlink(missing_ok=True)
    return []


def require_run() -> None:
    """UserError if a later run of Snakemake has swept the record of the one that started this process."""
    if (run := os.environ.get(RUN)) and not Path(run).exists():
        raise UserError(f"the run that started this is over ({run} is gone): nothing written; run again")


def _is_held(claim: Path) -> bool:
    try:
        with FileLock(claim, timeout=0) if claim.exists() else nullcontext():
            return False
    except Timeout:
        return True


def _owner(claim: Path) -> str:
    """The process that holds a claim, in the words of a message."""
    with suppress(OSError, ValueError):
        pid, host, *_ = claim.read_text(encoding="utf-8").split()
        return f"process {pid} on {host}"
    return "another process"
