"""Profile long work: how fast its steps are, what a step computes, and how busy that keeps the device.

Of each piece of work (see :mod:`elbogap.training`) the first step is left out, since it draws the first epoch
and captures CUDA graphs; on the CPU the floating-point operations of the second are counted; then steps are
timed, and last a few run under torch's profiler, which slows them and so is kept apart.
"""

import math
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

from elbogap import provenance, tables
from elbogap.errors import UserError
from elbogap.modules import label
from elbogap.runtime import Run, peak_memory_mib

LEAST_STEPS = 2  # for a pace
MOST_PROFILED_STEPS = 50  # a step can be thousands of events
PROFILED_FRACTION = 0.25  # of the seconds of timing
SHOWN = 3  # of the dearest operations

COLUMNS = [
    "scale", "rule", "device", "threads", "work", "unit", "steps", "members", "steps_per_s",
    "model_steps_per_s", "piece_hours", "gflop_per_step", "gflops", "peak_gflops", "peak_share", "busy_share",
    "kernels_per_step", "launches_per_step", "syncs_per_step", "max_rss_mib", "max_gpu_mib", "dearest",
    "commit", "torch",
]  # fmt: skip
"""Of a table of paces: see :class:`Piece`; `piece_hours` are those of all its steps at this pace."""

KEY = ["scale", "rule", "work", "device", "threads"]  # the columns that identify a row of a table of paces


class Enough(Exception):
    """Everything that was wanted is measured; nothing is saved."""


@dataclass
class Piece:
    """What was measured of one piece of work; NaN where it was too short, or the device does not tell."""

    label: str  # the work's name
    unit: str  # `step` of training, or `row` of a table
    steps: int  # of the whole piece
    members: int = 1  # models that a step trains side by side
    steps_per_s: float = math.nan  # with the time of checkpoints and of drawing epochs
    gflop_per_step: float = math.nan  # 10^9 operations of matrix products and convolutions, counted on a CPU
    busy_share: float = math.nan  # fraction of the time in which a GPU, or torch on a CPU, computes or copies
    kernels_per_step: float = math.nan  # that the GPU runs, copies left out
    launches_per_step: float = math.nan  # of kernels and of graphs
    syncs_per_step: float = math.nan  # times the CPU waits for a stream or an event
    dearest: str = ""  # operations that take most of the time, with their fractions of it
    max_rss_mib: float = math.nan  # peak memory until then
    max_gpu_mib: float = math.nan  # peak memory of tensors on the GPU until then


class Profile:
    """Watches a process's long work, and ends it when a piece that is long enough is measured."""

    def __init__(self, seconds: float, device: str) -> None:
        """Time steps so many seconds, and a quarter more for the profiler; 0 counts operations alone."""
        self.pieces: list[Piece] = []
        self._seconds, self._device = seconds, device
        self._measuring: Generator[None, None, None] = (_ for _ in ())

    def begin(self, label: str, unit: str, steps: int) -> None:
        """A piece of so many steps of a unit begins."""
        self.close()
        self.pieces.append(Piece(label, unit, steps))
        self._measuring = self._measure(self.pieces[-1])
        next(self._measuring)

    def step(self, value: Tensor) -> None:
        """A step gave a value [..., members]; raises :class:`Enough` when the piece is measured."""
        piece = self.pieces[-1]
        piece.members = value.shape[-1] if piece.unit == "step" and value.ndim else 1
        try:
            next(self._measuring)
        except StopIteration:
            raise Enough from None

    def close(self) -> None:
        """The last piece ended, perhaps by an error: keep what was measured of it."""
        self._measuring.close()

    def _measure(self, piece: Piece) -> Generator[None, None, None]:
        """Fill in the piece; work makes a step at each `yield`, or ends there."""
        yield
        if self._device == "cpu" and piece.steps > 1:
            with FlopCounterMode(display=False) as counter:
                yield
            piece.gflop_per_step = counter.get_total_flops() / 1e9
            if not self._seconds:
                return
        _wait(self._device)
        timed, since = 0, time.perf_counter()
        try:
            while timed < LEAST_STEPS or time.perf_counter() - since < self._seconds:
                yield
                timed += 1
                if timed.bit_count() == 1:
                    _wait(self._device)  # now and then: else a GPU's work may be far behind the clock
        finally:
            if timed >= LEAST_STEPS:
                _wait(self._device)
                piece.steps_per_s = timed / (time.perf_counter() - since)
                piece.max_rss_mib = peak_memory_mib()
                if self._device == "cuda":
                    piece.max_gpu_mib = torch.cuda.max_memory_allocated() / 2**20
        wanted = round(PROFILED_FRACTION * self._seconds * piece.steps_per_s)
        on_gpu = [ProfilerActivity.CUDA] if self._device == "cuda" else []
        profiler, profiled = torch.profiler.profile(activities=[ProfilerActivity.CPU, *on_gpu]), 0
        profiler.start()
        try:
            while profiled < min(MOST_PROFILED_STEPS, max(1, wanted)):
                yield
                profiled += 1
        finally:
            _wait(self._device)
            profiler.stop()
            if profiled:
                summarise(profiler.events() or (), profiled, self._device, piece)


def profile(work: Callable[[Run], Any], run: Run, seconds: float) -> Piece:
    """The last piece of a job's work that is long enough to be timed, or UserError; nothing of it is kept."""
    timed = [piece for piece in _watched(work, run, seconds) if piece.steps_per_s > 0]
    if not timed:
        raise UserError("no work that is long enough to be timed")
    piece = timed[-1]
    if run.device == "cuda":  # the replay of a graph shows no operations
        on_cpu = _watched(work, replace(run, gpus=0), 0.0)
        same = [other for other in on_cpu if (other.label, other.members) == (piece.label, piece.members)]
        piece.gflop_per_step = same[0].gflop_per_step if same else math.nan
    return piece


def _watched(work: Callable[[Run], Any], run: Run, seconds: float) -> list[Piece]:
    watch = Profile(seconds, run.device)
    with tempfile.TemporaryDirectory() as scratch, suppress(Enough), closing(watch):  # no real checkpoints
        work(replace(run, watch=watch, scratch=Path(scratch), deadline=math.inf))
    return watch.pieces


def summarise(events: Iterable[Any], steps: int, device: str, piece: Piece) -> None:
    """Say in `piece`, whose pace is known, what the events of so many steps in torch's profiler were.

    Fractions on a GPU are of the time without the profiler, which slows launches but not kernels; on a CPU of
    the time that the events span. An operation on a CPU counts without those that it calls.
    """
    table = pd.DataFrame(
        [
            (e.name, e.device_type.name, e.time_range.start, e.time_range.end, e.self_cpu_time_total)
            for e in events
            if not getattr(e, "is_user_annotation", False)
        ],
        columns=["name", "device", "start", "end", "self_time"],  # in microseconds
    )
    on_gpu = device == "cuda"
    busy = table[table["device"] == "CUDA" if on_gpu else table["name"].str.startswith("aten::")]
    if busy.empty:
        return  # a driver may hide its events
    if on_gpu:
        names, calls = busy["name"], table.loc[table["device"] == "CPU", "name"]
        piece.kernels_per_step = (~names.str.startswith(("Memcpy", "Memset"))).sum() / steps
        piece.launches_per_step = calls.str.contains("^cu.*Launch").sum() / steps
        # those of the whole device are the profiler's own
        piece.syncs_per_step = calls.str.startswith(("cudaStreamSync", "cudaEventSync")).sum() / steps
        spans = busy.sort_values("start")
        covered_until = spans["end"].cummax().shift()  # NaN, no limit, before the first
        covered = (spans["end"] - spans["start"].clip(lower=covered_until)).clip(lower=0)
        times, whole = busy["end"] - busy["start"], 1e6 * steps / piece.steps_per_s
    else:
        covered = times = busy["self_time"]
        whole = table["end"].max() - table["start"].min()
    piece.busy_share = min(1.0, covered.sum() / whole)
    dearest = times.groupby(busy["name"]).sum().nlargest(SHOWN)
    piece.dearest = "; ".join(f"{name} {time / whole:.0%}" for name, time in dearest.items())


def peak_gflops(device: str, size: int | None = None, seconds: float = 1.0) -> float:
    """10^9 operations per second of a large square float32 matrix product, the best within some seconds."""
    size = size or (8192 if device == "cuda" else 2048)
    a = torch.randn(size, size, device=device)
    timer = Timer("a @ a", globals={"a": a}, num_threads=torch.get_num_threads())
    return 2 * size**3 / min(timer.blocked_autorange(min_run_time=seconds).times) / 1e9


def _wait(device: str) -> None:
    """Until the device has done everything that it was told to do."""
    if device == "cuda":
        torch.cuda.synchronize()


def pace(experiment: str, keys: Mapping[str, str], piece: Piece, peak: float, **where: Any) -> dict[str, Any]:
    """The row of a piece of an experiment's cell; `where` is its scale, its device and the threads."""
    gflops = piece.gflop_per_step * piece.steps_per_s
    return {
        **asdict(piece),
        **where,
        "rule": label(experiment.replace(".", "_"), keys),
        "work": piece.label,
        "model_steps_per_s": piece.steps_per_s * piece.members,
        "piece_hours": piece.steps / piece.steps_per_s / 3600,
        "gflops": gflops,
        "peak_gflops": peak,
        "peak_share": gflops / peak,
        "commit": provenance.git_state()["commit"],
        "torch": provenance.versions().get("torch"),
    }


def read_paces(path: Path) -> list[dict[str, Any]]:
    """The rows of a table of paces, none if there is no file yet; a UserError if it is something else."""
    if path.suffix != ".csv":
        raise UserError(f"{path}: paces go into a table; name a file that ends in .csv")
    if not path.is_file():
        return []
    table = tables.read_table(path)
    if list(table.columns) != COLUMNS:
        raise UserError(f"{path}: not a table of paces; name another file")
    return table.to_dict("records")


def write_paces(rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Write a table of paces; of several rows with the same `KEY` the last is kept."""
    table = pd.DataFrame(rows, columns=COLUMNS).drop_duplicates(KEY, keep="last")
    tables.write(table.sort_values(KEY, ignore_index=True), path)
