"""One writer per result: on any file system, between hosts, and after kills.

A command claims each file that it makes by a file `.<name>.writer` beside it, which names its process. A
claim holds while a process of this host lives, or while one of another host renews the date of its claim, by
the file server's clock. The file system needs no locks, only the exclusive creation of files. Before a
process replaces any file, it looks whether its claims are still its own.

Each run of Snakemake records itself in the working directory, and its jobs look for the record as for their
claims: jobs that a killed run left alive write nothing once a later run has swept its record.
"""

import atexit
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Self

import psutil
from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

from elbogap.errors import UserError
from elbogap.files import guards

RENEWAL_S = 20.0  # seconds between two renewals of a claim
LEASE_S = 300.0  # seconds without renewal after which the claim of another host is given up
RUN = "ELBOGAP_RUN"  # environment variable of jobs: the record of the run of Snakemake that started them


@dataclass(frozen=True)
class Process:
    """A process, told from a later one of the same number by the time of its start."""

    host: str
    pid: Annotated[int, Field(gt=0, lt=2**31)]
    started: Annotated[float, Field(ge=0, lt=1e11)]

    @classmethod
    def this(cls) -> Self:
        """The process that calls this."""
        return cls(socket.gethostname(), os.getpid(), psutil.Process().create_time())

    @property
    def is_here(self) -> bool:
        """Whether it is of this host, by name."""
        return self.host == socket.gethostname()

    @property
    def ended(self) -> bool:
        """Whether it has ended, as far as that is known: of a process of another host it never is."""
        try:
            found = psutil.Process(self.pid)
            another = abs(found.create_time() - self.started) > 2  # the clock may have been set meanwhile
            return self.is_here and (another or found.status() == psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return self.is_here
        except psutil.AccessDenied:
            return False

    def __str__(self) -> str:
        """In the words of a message."""
        if self == UNKNOWN:
            return "a process on an unknown host"
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.started))
        return f"process {self.pid} on {self.host} (since {since})"


UNKNOWN = Process("an unknown host", 1, 0.0)


def claim_of(path: Path) -> Path:
    """Where the claim of a file stands."""
    return path.with_name(f".{path.name}.writer")


@contextmanager
def sole(paths: Iterable[Path]) -> Iterator[None]:
    """Let this process be the only writer of the paths while the block runs.

    UserError if another process writes one of them; or, when the block replaces a file, if a claim has been
    lost or the run of Snakemake that started this process is over.
    """
    this, run = Process.this(), os.environ.get(RUN)
    held: list[Path] = []
    over = threading.Event()

    def confirm() -> None:
        if run and _read(Path(run)) is None:
            raise UserError(f"the run that started this is over ({run} is gone): nothing written; run again")
        for path in held:
            if _read(claim_of(path)) != this:
                raise UserError(f"{path}: another process has taken it over: nothing written; run again")

    def renew() -> None:
        while not over.wait(RENEWAL_S):
            for path in held:
                with suppress(OSError):
                    if _read(claim_of(path)) == this:
                        os.utime(claim_of(path))

    try:
        for path in sorted(set(paths)):
            _claim(path, this)
            held.append(path)
        if held:
            confirm()
            guards.append(confirm)
            threading.Thread(target=renew, daemon=True).start()
        yield
    finally:
        over.set()
        if confirm in guards:
            guards.remove(confirm)
        for path in held:
            if _read(claim_of(path)) == this:
                claim_of(path).unlink(missing_ok=True)


def begin_run(folder: Path) -> list[str]:
    """Record this process as a run of Snakemake in its folder `.snakemake`, and sweep what killed runs left.

    The locks there are stale if every other recorded run has ended and nobody writes an output that they
    name. Otherwise they stay, and the lines that are returned tell who is in the way.
    """
    locks = sorted((folder / "locks").glob("*.lock"))
    this = Process.this()
    record = folder / "elbogap-runs" / f"{this.host}-{this.pid}-{this.started:.0f}.json"
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps(asdict(this)), encoding="utf-8")
    except OSError:
        return []  # nor can Snakemake begin a run here
    atexit.register(record.unlink, missing_ok=True)
    os.environ[RUN] = str(record.absolute())
    others = {path: run for path in record.parent.iterdir() if path != record and (run := _read(path))}
    outputs: list[str] = []
    for lock in locks:
        with suppress(FileNotFoundError):  # its run may have just ended and removed it
            outputs += lock.read_text(encoding="utf-8").splitlines() if "output" in lock.name else []
    busy = [
        f"{run} works here; wait for it, or delete {path} if it was killed"
        for path, run in others.items()
        if not run.ended
    ]
    busy += [
        f"{path}: {writer} still writes it, though its run was killed; wait for it or stop it"
        for path in outputs
        if (writer := _holder(claim_of(folder.parent / path)))
    ]
    if busy or not others:  # a lock without any record is of a run that nothing is known of
        return busy if locks else []
    for path in [*locks, *others]:
        path.unlink(missing_ok=True)
    return []


def _claim(path: Path, this: Process) -> None:
    """Whoever makes the file `.<name>.writer.next` may look at the claim, and turns that file into it."""
    claim = claim_of(path)
    ours = claim.with_name(f"{claim.name}.next")
    claim.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(500):
        try:
            _create(ours, json.dumps(asdict(this)))
            break
        except FileExistsError:
            if _holder(ours):
                time.sleep(0.01)  # it takes a moment only
            else:
                ours.unlink(missing_ok=True)
    else:
        raise UserError(f"{path}: {_holder(ours) or 'another process'} is about to write it; run again later")
    try:
        if writer := _holder(claim):
            advice = "wait for it or stop it, then run again"
            if not writer.is_here:
                advice += f"; if it was killed, this goes away after {LEASE_S / 60:.0f} minutes ({claim})"
            raise UserError(f"{path}: {writer} writes it; {advice}")
        ours.replace(claim)
    except BaseException:
        ours.unlink(missing_ok=True)
        raise


def _create(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8") as file:
        try:
            file.write(text)
            file.flush()
        except BaseException:
            path.unlink()
            raise


def _read(path: Path) -> Process | None:
    """The process that a claim or record names; an unknown one if it is damaged, None if there is no file."""
    try:
        return TypeAdapter(Process).validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return UNKNOWN  # about to be filled, or its writer was killed then


def _holder(claim: Path) -> Process | None:
    """The process whose claim this is, or None if there is no claim or it is to be given up."""
    process = _read(claim)
    if process is None or process.ended:
        return None
    if process.is_here:
        return process
    with tempfile.NamedTemporaryFile(prefix=".", dir=claim.parent) as file:
        now = Path(file.name).stat().st_mtime
    try:
        return process if now - claim.stat().st_mtime < LEASE_S else None
    except FileNotFoundError:
        return None
