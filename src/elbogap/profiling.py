"""Profile long work: how fast its steps are, what a step computes, and how busy that keeps the device.

Of each piece of work (see :mod:`elbogap.training`) the first step is left out, since it draws the first epoch
and captures CUDA graphs; on the CPU the floating-point operations of the second are counted; then steps are
timed, and last a few run under torch's profiler, which slows them and so is kept apart.
"""

import math
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity
from torch.utils.flop_counter import FlopCounterMode

from elbogap.errors import UserError
from elbogap.runtime import Run, peak_memory_mib

LEAST_STEPS = 2  # for a pace
MOST_PROFILED_STEPS = 50  # a step can be thousands of events
PROFILED_SHARE = 0.25  # of the seconds of timing
SHOWN = 3  # of the dearest operations


class Enough(Exception):
    """Everything that was wanted is measured; nothing is saved."""


@dataclass
class Piece:
    """What was measured of one piece of work; NaN where it was too short, or the device does not tell.

    Attributes:
        label: the work's name.
        unit: `step` of training, or `row` of a table.
        steps: how many the whole piece has.
        members: models that a step trains side by side.
        steps_per_s: pace, checkpoints and epochs' draws within the time included.
        gflop_per_step: 10^9 floating-point operations of matrix products and convolutions, counted on a CPU.
        busy_share: share of the time in which a GPU computes or copies; on a CPU, in which torch's operations
            run under the profiler (the rest is Python).
        kernels_per_step: kernels that the GPU runs, copies left out.
        launches_per_step: launches of kernels and of graphs.
        syncs_per_step: times the CPU waits for a stream or an event.
        dearest: operations that take most of the time, with their shares of it.
        max_rss_mib: peak memory until then.
        max_gpu_mib: peak memory of tensors on the GPU until then.
    """

    label: str
    unit: str
    steps: int
    members: int = 1
    steps_per_s: float = math.nan
    gflop_per_step: float = math.nan
    busy_share: float = math.nan
    kernels_per_step: float = math.nan
    launches_per_step: float = math.nan
    syncs_per_step: float = math.nan
    dearest: str = ""
    max_rss_mib: float = math.nan
    max_gpu_mib: float = math.nan


class Profile:
    """Watches a process's long work, and ends it when a piece that is long enough is measured."""

    def __init__(self, seconds: float, device: str) -> None:
        """Watch.

        Args:
            seconds: how long to time steps, and a quarter more for the profiler; 0 counts operations alone.
            device: `cpu` or `cuda`.
        """
        self.pieces: list[Piece] = []
        self._seconds, self._device = seconds, device
        self._made = self._timed = self._profiled = self._to_profile = 0
        self._since = 0.0
        self._counter: FlopCounterMode | None = None
        self._profiler: torch.profiler.profile | None = None

    def begin(self, label: str, unit: str, steps: int) -> None:
        """A piece of work begins.

        Args:
            label: the work's name.
            unit: of its steps.
            steps: their number.
        """
        self.end()
        self.pieces.append(Piece(label, unit, steps))
        self._made = self._timed = self._profiled = 0

    def step(self, value: Tensor) -> None:
        """A step was made, with a value as :func:`~elbogap.training.train` describes it.

        Raises:
            Enough: the piece is measured.
        """
        piece = self.pieces[-1]
        piece.members = value.shape[-1] if piece.unit == "step" and value.ndim else 1
        self._made += 1
        if self._made == 1:
            if self._device == "cpu" and piece.steps > 1:
                self._counter = FlopCounterMode(display=False)
                self._counter.__enter__()
            self._start_clock()
        elif self._counter is not None:
            self._counter.__exit__(None, None, None)
            piece.gflop_per_step = self._counter.get_total_flops() / 1e9
            self._counter = None
            if not self._seconds:
                raise Enough
            self._start_clock()
        elif self._profiler is None:
            self._timed += 1
            if self._timed.bit_count() == 1:
                self._wait()  # now and then: else a GPU's work may be far behind the clock
            if self._timed >= LEAST_STEPS and time.perf_counter() - self._since >= self._seconds:
                self._stop_clock(piece)
                self._profiler = torch.profiler.profile(activities=self._activities())
                self._profiler.__enter__()
        else:
            self._profiled += 1
            if self._profiled >= self._to_profile:
                self.end()
                raise Enough

    def end(self) -> None:
        """The last piece ended, perhaps by an error: keep what was measured of it."""
        if self._counter is not None:
            self._counter.__exit__(None, None, None)
            self._counter = None
        if self._profiler is not None:
            profiler, self._profiler = self._profiler, None
            self._wait()
            profiler.__exit__(None, None, None)
            if self._profiled:
                summarise(profiler.events() or (), self._profiled, self._device, self.pieces[-1])
        elif self._timed >= LEAST_STEPS:
            self._stop_clock(self.pieces[-1])
        self._timed = 0

    def _activities(self) -> list[ProfilerActivity]:
        on_gpu = [ProfilerActivity.CUDA] if self._device == "cuda" else []
        return [ProfilerActivity.CPU, *on_gpu]

    def _start_clock(self) -> None:
        self._wait()
        self._since = time.perf_counter()

    def _stop_clock(self, piece: Piece) -> None:
        self._wait()
        piece.steps_per_s = self._timed / (time.perf_counter() - self._since)
        self._to_profile = max(
            1, min(MOST_PROFILED_STEPS, round(PROFILED_SHARE * self._seconds * piece.steps_per_s))
        )
        piece.max_rss_mib = peak_memory_mib()
        if self._device == "cuda":
            piece.max_gpu_mib = torch.cuda.max_memory_allocated() / 2**20

    def _wait(self) -> None:
        if self._device == "cuda":
            torch.cuda.synchronize()


def profile(work: Callable[[Run], Any], run: Run, seconds: float) -> Piece:
    """The last piece of a job's work that is long enough to be timed; nothing of the work is kept.

    Args:
        work: does it, told of its surroundings.
        run: these surroundings.
        seconds: how long to time steps.

    Raises:
        UserError: no piece is long enough.
    """
    timed = [piece for piece in _watched(work, run, seconds) if piece.steps_per_s > 0]
    if not timed:
        raise UserError("no work that is long enough to be timed")
    piece = timed[-1]
    if run.device == "cuda":  # the replay of a graph shows no operations
        on_cpu = _watched(work, replace(run, gpus=0), 0.0)
        same = (one for one in on_cpu if (one.label, one.members) == (piece.label, piece.members))
        piece.gflop_per_step = next((one.gflop_per_step for one in same), math.nan)
    return piece


def _watched(work: Callable[[Run], Any], run: Run, seconds: float) -> list[Piece]:
    watch = Profile(seconds, run.device)
    with tempfile.TemporaryDirectory() as scratch, suppress(Enough):  # real checkpoints are left alone
        work(replace(run, watch=watch, scratch=Path(scratch), time_budget=None, deadline=math.inf))
        watch.end()
    return watch.pieces


class Event(Protocol):
    """Of torch's profiler, what is read here; times in microseconds."""

    name: str
    device_type: Any
    time_range: Any
    self_cpu_time_total: float


def summarise(events: Iterable[Event], steps: int, device: str, piece: Piece) -> None:
    """Say in `piece`, whose pace is known, what the events of so many steps on a device were.

    Shares on a GPU are of the time without the profiler, which slows launches but not kernels; on a CPU of
    the time that the events span.
    """
    listed = [one for one in events if not getattr(one, "is_user_annotation", False)]
    on_gpu = [one for one in listed if one.device_type == torch.autograd.DeviceType.CUDA]
    times: defaultdict[str, float] = defaultdict(float)
    if device == "cuda":
        if not on_gpu:
            return  # a driver that hides its events
        seconds = steps / piece.steps_per_s
        piece.busy_share = min(1.0, _union([_span(one) for one in on_gpu]) / seconds)
        kernels = [one for one in on_gpu if not one.name.startswith(("Memcpy", "Memset"))]
        piece.kernels_per_step = len(kernels) / steps
        calls = [one.name for one in listed if one.device_type == torch.autograd.DeviceType.CPU]
        launches = [name for name in calls if name.startswith("cu") and "Launch" in name]
        piece.launches_per_step = len(launches) / steps
        # those of the whole device are the profiler's own
        waits = [name for name in calls if name.startswith(("cudaStreamSync", "cudaEventSync"))]
        piece.syncs_per_step = len(waits) / steps
        for one in on_gpu:
            start, end = _span(one)
            times[one.name] += end - start
    else:
        operations = [one for one in listed if one.name.startswith("aten::")]
        if not operations:
            return
        spans = [_span(one) for one in listed]
        seconds = (max(end for _, end in spans) - min(start for start, _ in spans)) / 1e6
        for one in operations:
            times[one.name] += one.self_cpu_time_total
        piece.busy_share = min(1.0, sum(times.values()) / 1e6 / seconds)
    dearest = sorted(times.items(), key=lambda item: -item[1])[:SHOWN]
    piece.dearest = "; ".join(f"{name} {t / 1e6 / seconds:.0%}" for name, t in dearest)


def _span(event: Event) -> tuple[float, float]:
    return event.time_range.start, event.time_range.end


def _union(spans: Sequence[tuple[float, float]]) -> float:
    """Seconds that spans in microseconds cover, counted once where they overlap."""
    covered, end = 0.0, -math.inf
    for start, stop in sorted(spans):
        covered += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return covered / 1e6


def peak_gflops(device: str, size: int | None = None, rounds: int = 5) -> float:
    """10^9 operations per second of a large square float32 matrix product, the best of some rounds."""
    size = size or (8192 if device == "cuda" else 2048)
    a = torch.randn(size, size, device=device)
    seconds = math.inf
    for _ in range(rounds + 1):
        if device == "cuda":
            torch.cuda.synchronize()
        started = time.perf_counter()
        a @ a
        if device == "cuda":
            torch.cuda.synchronize()
        seconds = min(seconds, time.perf_counter() - started)
    return 2 * size**3 / seconds / 1e9
