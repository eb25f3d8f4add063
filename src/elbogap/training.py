"""A training loop that can be killed at any moment: resumed, it gives the same numbers bit for bit.

The loop knows no objective, network or schedule. It calls `step(i)` for i = 1, 2, ... and keeps everything
that a step changes (parameters, optimiser, generators) in a checkpoint that is replaced as a whole.
"""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from elbogap.errors import OutOfTime, UserError
from elbogap.files import atomic


class Stateful(Protocol):
    """What torch's modules and optimisers have."""

    def state_dict(self) -> Any:
        """Everything that training changes."""

    def load_state_dict(self, state: Any) -> Any:
        """Take over what :meth:`state_dict` returned."""


Part = Stateful | torch.Generator


def tabulate(
    row: Callable[[int], Tensor],
    *,
    rows: int,
    checkpoint: Path,
    identity: str,
    label: str,
    seconds_between_checkpoints: float = 0,
    deadline: float = math.inf,
) -> Tensor:
    """`row(i)` for i = 0..rows-1, `[rows, ...]` in float64, resumed as :func:`train` is.

    Args:
        row: makes one row, which depends on nothing that changes but i.
        rows: number of rows.
        checkpoint, identity, label, seconds_between_checkpoints, deadline: see :func:`train`.

    Raises:
        UserError: the checkpoint is damaged.
        OutOfTime: the deadline has passed.
    """
    return _loop(
        lambda i: row(i - 1),
        rows,
        record_every=1,
        parts={},
        checkpoint=checkpoint,
        identity=identity,
        seconds_between_checkpoints=seconds_between_checkpoints,
        label=label,
        unit="row",
        watch=lambda i, mean: "",
        deadline=deadline,
    )


def train(
    step: Callable[[int], Tensor],
    *,
    steps: int,
    record_every: int,
    parts: Mapping[str, Part],
    checkpoint: Path,
    identity: str,
    seconds_between_checkpoints: float,
    label: str,
    deadline: float = math.inf,
) -> Tensor:
    """Call `step(i)` for i = 1..steps, resuming from `checkpoint` if it holds earlier steps of the same run.

    Args:
        step: makes one update and returns a detached value, such as the bound on its minibatch, a scalar or
            one value per member; of a matrix, the first row is what is optimised and the others are records
            besides. It must depend on nothing that changes but i and the `parts`.
        steps: number of steps.
        record_every: how many steps make one record.
        parts: everything that a step changes: modules, optimisers, generators.
        checkpoint: file of the unfinished run.
        identity: text that tells this run from others (settings, data, code); a checkpoint of another run is
            not used.
        seconds_between_checkpoints: least time between two checkpoints.
        label: what the progress line calls this run.
        deadline: when to stop after the current step, on the clock of `time.monotonic()`. Each call makes one
            step at least, so that repeated calls come to an end.

    Returns:
        Mean of the returned values over each block of `record_every` steps, `[R, ...]` in float64; the last
        block may be shorter.

    Raises:
        UserError: the checkpoint is damaged, or nothing that is optimised is finite at the end of a block.
        OutOfTime: the deadline has passed; the checkpoint holds all steps made.
    """

    def watch(i: int, mean: Tensor) -> str:
        leading = mean[0] if mean.ndim > 1 else mean
        if not leading.isfinite().any():  # a diverged member stops no other
            raise UserError(f"{label}: diverged before step {i}; lower the learning rate")
        return f"{float(leading.mean()):.3f}"

    return _loop(
        step,
        steps,
        record_every=record_every,
        parts=parts,
        checkpoint=checkpoint,
        identity=identity,
        seconds_between_checkpoints=seconds_between_checkpoints,
        label=label,
        unit="step",
        watch=watch,
        deadline=deadline,
    )


def _loop(
    step: Callable[[int], Tensor],
    steps: int,
    *,
    record_every: int,
    parts: Mapping[str, Part],
    checkpoint: Path,
    identity: str,
    seconds_between_checkpoints: float,
    label: str,
    unit: str,
    watch: Callable[[int, Tensor], str],
    deadline: float,
) -> Tensor:
    """Make the steps; `watch` sees each record and says what the progress line shows of it."""
    done, total, records = _resume(checkpoint, identity, parts)
    saved = time.monotonic()
    with tqdm(total=steps, initial=done, desc=label, unit=unit, mininterval=5, maxinterval=60) as progress:
        for i in range(done + 1, steps + 1):
            value = step(i).double()  # stays on the device: no synchronisation inside a block
            total = total.to(value.device) + value
            progress.update()
            if i % record_every == 0 or i == steps:
                mean = total.cpu() / ((i - 1) % record_every + 1)
                progress.set_postfix_str(watch(i, mean), refresh=False)
                records.append(mean)
                total = torch.zeros_like(total)
            late = time.monotonic() >= deadline
            if late or i == steps or time.monotonic() - saved >= seconds_between_checkpoints:
                state = {"identity": identity, "done": i, "total": total, "records": records}
                with atomic(checkpoint) as path:
                    torch.save(state | {"parts": {name: _state(part) for name, part in parts.items()}}, path)
                saved = time.monotonic()
            if late:
                raise OutOfTime
    return torch.stack(records)


def _resume(checkpoint: Path, identity: str, parts: Mapping[str, Part]) -> tuple[int, Tensor, list[Tensor]]:
    if checkpoint.exists():
        try:
            saved = torch.load(checkpoint, weights_only=True, map_location="cpu")
        except Exception as error:  # torch raises many kinds for a file cut short
            raise UserError(f"{checkpoint}: damaged checkpoint; delete it and run again") from error
        if saved["identity"] == identity:
            for name, part in parts.items():
                _restore(part, saved["parts"][name])
            return saved["done"], saved["total"], saved["records"]
    return 0, torch.zeros((), dtype=torch.float64), []


def _state(part: Part) -> Any:
    return part.get_state() if isinstance(part, torch.Generator) else part.state_dict()


def _restore(part: Part, state: Any) -> None:
    if isinstance(part, torch.Generator):
        part.set_state(state)
    else:
        part.load_state_dict(state)
