"""A training loop that can be killed at any moment: resumed, it gives the same numbers bit for bit.

It calls `step(i)` for i = 1, 2, ... and keeps everything that a step changes (parameters, optimiser,
generators) in a checkpoint that is replaced as a whole. The one before is kept: a damaged checkpoint costs
the steps since then, and never changes a number.
"""

import hashlib
import io
import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from tqdm import tqdm

from elbogap import provenance
from elbogap.config.base import Section
from elbogap.errors import OutOfTime, UserError
from elbogap.files import rename, writing
from elbogap.runtime import Run, Watch
from elbogap.stopwatch import spending

Part = nn.Module | torch.optim.Optimizer | torch.Generator | list[Any]
DIGEST = hashlib.sha256().digest_size  # bytes before a checkpoint that tell whether it is damaged


@dataclass(frozen=True)
class Work:
    """A piece of long work that may be stopped at any moment and goes on where it was."""

    label: str  # what the progress line calls it
    checkpoint: Path  # file of the unfinished work
    identity: str  # settings, data and code as text; a checkpoint of another identity is not used
    checkpoint_seconds: float = 0  # least time between two checkpoints
    deadline: float = math.inf  # on the clock of `time.monotonic()`; each call makes at least one step
    watch: Watch | None = None  # who is told of the steps

    @classmethod
    def of(cls, run: Run, label: str, identity: str, checkpoint_seconds: float = 0) -> Self:
        """Work of a run; each device has its own checkpoint, as a GPU may be missing for once."""
        checkpoint = run.scratch / f"{label}{'' if run.device == 'cpu' else f'.{run.device}'}.pt"
        return cls(label, checkpoint, f"{label} {identity}", checkpoint_seconds, run.deadline, run.watch)

    @classmethod
    def in_module(cls, module: str, settings: Section, run: Run, label: str, seconds: float = 0) -> Self:
        """The same, with the identity of the experiment in `module`: its code, settings and inputs.

        The least `seconds` between checkpoints are those of the settings, if they have any.
        """
        identity = provenance.identity(module, settings, run)
        return cls.of(run, label, identity, getattr(settings, "checkpoint_seconds", seconds))


def descend(loss: Tensor, optimiser: torch.optim.Optimizer) -> None:
    """One step of the optimiser along the gradient of a scalar loss."""
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def tabulate(row: Callable[[int], Tensor], *, rows: int, work: Work) -> Tensor:
    """`row(i)`, which depends on i alone, for i = 0..rows-1, as `[rows, ...]` in float64; may be resumed."""
    return _loop(lambda i: row(i - 1), rows, 1, {}, work, "row")


def seconds_per_step(train: Callable[[int, Work], object], steps: int, run: Run) -> float:
    """(T_2 - T_1) / K, T_r being the time of r rounds of K steps, so that what is done once cancels."""
    work = Work("timing", run.scratch / "timing.pt", "", math.inf, watch=run.watch)

    def seconds(rounds: int) -> float:
        work.checkpoint.unlink(missing_ok=True)  # it is written at the end
        start = time.perf_counter()
        train(rounds, work)
        return time.perf_counter() - start

    return (seconds(2) - seconds(1)) / steps


@spending("training")
def train(
    step: Callable[[int], Tensor], *, steps: int, record_every: int, parts: Mapping[str, Part], work: Work
) -> Tensor:
    """Call `step(i)` for i = 1..steps, resuming if the checkpoint holds earlier steps of the same work.

    `step` makes one update and returns the detached objective: a scalar, one value per member `[M]`, or
    `[R, M]` with other records below the objective. It depends on nothing that changes but i and the `parts`,
    which are everything that it changes: modules, optimisers, generators, lists of values or tensors.

    The mean of the values over each block of `record_every` steps is returned, `[R, ...]` in float64; the
    last block may be shorter. UserError if no objective is finite at the end of a block, or the checkpoint
    cannot be written; OutOfTime if the deadline has passed, where the checkpoint holds all steps made.
    """
    return _loop(step, steps, record_every, parts, work, "step")


def _loop(
    step: Callable[[int], Tensor], steps: int, every: int, parts: Mapping[str, Part], work: Work, unit: str
) -> Tensor:
    done, total, records = _resume(work, parts)
    if work.watch:
        work.watch.begin(work.label, unit, steps)
    saved = time.monotonic()
    with tqdm(
        total=steps, initial=done, desc=work.label, unit=unit, mininterval=5, maxinterval=60
    ) as progress:
        for i in range(done + 1, steps + 1):
            value = step(i).double()  # stays on the device: no synchronisation inside a block
            total = total.to(value.device) + value
            progress.update()
            if work.watch:
                work.watch.step(value)
            if i % every == 0 or i == steps:
                mean = total.cpu() / ((i - 1) % every + 1)
                if unit == "step":  # the rows of a table may be anything
                    leading = mean[0] if mean.ndim > 1 else mean
                    if not leading.isfinite().any():  # a diverged member does not stop the others
                        raise UserError(f"{work.label}: diverged before step {i}; lower the learning rate")
                    progress.set_postfix_str(f"{float(leading.mean()):.3f}", refresh=False)
                records.append(mean)
                total = torch.zeros_like(total)
            late = time.monotonic() >= work.deadline
            if late or i == steps or time.monotonic() - saved >= work.checkpoint_seconds:
                _save(work, parts, i, total, records)
                saved = time.monotonic()
            if late:
                raise OutOfTime
    return torch.stack(records)


def _save(work: Work, parts: Mapping[str, Part], done: int, total: Tensor, records: list[Tensor]) -> None:
    """Write a checkpoint, its SHA-256 before it, and keep the one before."""
    states = {name: _state(part) for name, part in parts.items()}
    buffer, checkpoint = io.BytesIO(), work.checkpoint
    state = {"identity": work.identity, "done": done, "total": total, "records": records, "parts": states}
    torch.save(state, buffer)
    content = buffer.getvalue()
    remedy = "free space or mend permissions, run again: it goes on from the checkpoint before"
    with writing(checkpoint, remedy) as path:
        path.write_bytes(hashlib.sha256(content).digest() + content)
        if checkpoint.exists():
            rename(checkpoint, Path(f"{checkpoint}.before"))


def _resume(work: Work, parts: Mapping[str, Part]) -> tuple[int, Tensor, list[Tensor]]:
    """Steps done, sum and records of the newest undamaged checkpoint of this work, if there is one."""
    damaged = []
    done, total, records = 0, torch.zeros((), dtype=torch.float64), []
    for path in filter(Path.exists, (work.checkpoint, Path(f"{work.checkpoint}.before"))):
        content = path.read_bytes()
        digest, content = content[:DIGEST], content[DIGEST:]
        if hashlib.sha256(content).digest() != digest:
            damaged.append(str(path))
            path.unlink()  # else the next checkpoint would keep it instead of an undamaged one
            continue
        saved = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
        if saved["identity"] == work.identity:
            for name, part in parts.items():
                _restore(part, saved["parts"][name])
            done, total, records = saved["done"], saved["total"], saved["records"]
            break
    if damaged:
        rest = f"going on from {path}, step {done}" if done else "starting anew"
        print(f"elbogap: {' and '.join(damaged)}: damaged checkpoint, not used; {rest}", file=sys.stderr)
    return done, total, records


def _state(part: Part) -> Any:
    if isinstance(part, list):
        return part
    return part.get_state() if isinstance(part, torch.Generator) else part.state_dict()


def _restore(part: Part, state: Any) -> None:
    if isinstance(part, list):
        part[:] = state
    elif isinstance(part, torch.Generator):
        part.set_state(state)
    else:
        part.load_state_dict(state)
