"""Profile long work: how fast its steps are, what a step computes, and how busy that keeps the device.

Of each piece of work (see :mod:`elbogap.training`) the first step is left out, since it draws the first epoch
and captures CUDA graphs; on the CPU the floating-point operations of the second are counted; then steps are
timed, and last a few run under torch's profiler, which slows them and so is kept apart.
"""

import math
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable
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
PROFILED_FRACTION = 0.25  # of the seconds of timing
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
        busy_share: fraction of the time in which a GPU computes or copies; on a CPU, in which torch's
            operations run under the profiler (the rest is Python).
        kernels_per_step: kernels that the GPU runs, copies left out.
        launches_per_step: launches of kernels and of graphs.
        syncs_per_step: times the CPU waits for a stream or an event.
        dearest: operations that take most of the time, with their fractions of it.
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
        self._measuring: Generator[None, None, None] = (_ for _ in ())

    def begin(self, label: str, unit: str, steps: int) -> None:
        """A piece of so many steps of a unit begins."""
        self.end()
        self.pieces.append(Piece(label, unit, steps))
        self._measuring = self._measure(self.pieces[-1])
        next(self._measuring)

    def step(self, value: Tensor) -> None:
        """A step was made, with a value as :func:`~elbogap.training.train` describes it.

        Raises:
            Enough: the piece is measured.
        """
        piece = self.pieces[-1]
        piece.members = value.shape[-1] if piece.unit == "step" and value.ndim else 1
        try:
            next(self._measuring)
        except StopIteration:
            raise Enough from None

    def end(self) -> None:
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
        same = [other for other in on_cpu if (other.label, other.members) == (piece.label, piece.members)]
        piece.gflop_per_step = same[0].gflop_per_step if same else math.nan
    return piece


def _watched(work: Callable[[Run], Any], run: Run, seconds: float) -> list[Piece]:
    watch = Profile(seconds, run.device)
    with tempfile.TemporaryDirectory() as scratch, suppress(Enough):  # real checkpoints are left alone
        try:
            work(replace(run, watch=watch, scratch=Path(scratch), deadline=math.inf))
        finally:
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

    Fractions on a GPU are of the time without the profiler, which slows launches but not kernels; on a CPU of
    the time that the events span.
    """
    listed = [event for event in events if not getattr(event, "is_user_annotation", False)]
    microseconds: defaultdict[str, float] = defaultdict(float)
    if device == "cuda":
        on_gpu = [event for event in listed if event.device_type == torch.autograd.DeviceType.CUDA]
        if not on_gpu:
            return  # a driver that hides its events
        seconds = steps / piece.steps_per_s
        for event in on_gpu:
            start, end = _span(event)
            microseconds[event.name] += end - start
        piece.busy_share = min(1.0, _union(map(_span, on_gpu)) / seconds)
        calls = [event.name for event in listed if event.device_type == torch.autograd.DeviceType.CPU]
        kernels = [event for event in on_gpu if not event.name.startswith(("Memcpy", "Memset"))]
        launches = [name for name in calls if name.startswith("cu") and "Launch" in name]
        # those of the whole device are the profiler's own
        syncs = [name for name in calls if name.startswith(("cudaStreamSync", "cudaEventSync"))]
        piece.kernels_per_step = len(kernels) / steps
        piece.launches_per_step = len(launches) / steps
        piece.syncs_per_step = len(syncs) / steps
    else:
        for event in listed:
            if event.name.startswith("aten::"):
                microseconds[event.name] += event.self_cpu_time_total
        if not microseconds:
            return
        starts, ends = zip(*map(_span, listed), strict=True)
        seconds = (max(ends) - min(starts)) / 1e6
        piece.busy_share = min(1.0, sum(microseconds.values()) / 1e6 / seconds)
    dearest = sorted(microseconds.items(), key=lambda item: -item[1])[:SHOWN]
    piece.dearest = "; ".join(f"{name} {t / 1e6 / seconds:.0%}" for name, t in dearest)


def _span(event: Event) -> tuple[float, float]:
    return event.time_range.start, event.time_range.end


def _union(spans: Iterable[tuple[float, float]]) -> float:
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
        _wait(device)
        started = time.perf_counter()
        a @ a
        _wait(device)
        seconds = min(seconds, time.perf_counter() - started)
    return 2 * size**3 / seconds / 1e9


def _wait(device: str) -> None:
    """Until the device has done everything that it was told to do."""
    if device == "cuda":
        torch.cuda.synchronize()
