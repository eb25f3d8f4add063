"""Profile long work: how fast its steps are, what a step computes, and how busy that keeps the device.

Of each piece of work (see :mod:`elbogap.training`) the first step is left out, since it draws the first epoch
and captures CUDA graphs; on the CPU the floating-point operations of the second are counted; then steps are
timed, and last a few run under torch's profiler, which slows them and so is kept apart.
"""

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity
from torch.utils.flop_counter import FlopCounterMode

LEAST_STEPS, MOST_PROFILED_STEPS = 2, 200
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
        steps_per_s: pace, checkpoints included.
        gflop_per_step: 10^9 floating-point operations of matrix products and convolutions, counted on a CPU.
        busy_share: share of the time in which the GPU computes; on a CPU, in which torch's operations run
            (the rest is Python).
        kernels_per_step: kernels that the GPU runs.
        launches_per_step: launches of kernels and of graphs.
        syncs_per_step: times the CPU waits for the GPU.
        dearest: operations that take most of the time, with their shares of it.
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


class Profile:
    """Watches a process's long work, and ends it when the first piece that is long enough is measured."""

    def __init__(self, seconds: float, device: str) -> None:
        """Watch.

        Args:
            seconds: how long to time steps; profiling takes a quarter more.
            device: `cpu` or `cuda`.
        """
        self.pieces: list[Piece] = []
        self._seconds, self._device = seconds, device
        self._made = self._timed = self._profiled = 0
        self._since = 0.0
        self._counter: FlopCounterMode | None = None
        self._profiler: torch.profiler.profile | None = None

    def begin(self, label: str, unit: str, steps: int) -> None:
        """A piece of work begins."""
        self.close()
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
            if self._device == "cpu":
                self._counter = FlopCounterMode(display=False)
                self._counter.__enter__()
            else:
                self._start_clock()
        elif self._counter is not None:
            self._counter.__exit__(None, None, None)
            piece.gflop_per_step = self._counter.get_total_flops() / 1e9
            self._counter = None
            self._start_clock()
        elif self._profiler is None:
            self._timed += 1
            passed = self._clock() if self._late(self._seconds) else 0.0
            if passed and self._timed >= LEAST_STEPS:
                piece.steps_per_s = self._timed / passed
                self._profiler = torch.profiler.profile(activities=self._activities())
                self._profiler.__enter__()
                self._start_clock()
        else:
            self._profiled += 1
            if self._late(PROFILED_SHARE * self._seconds) or self._profiled == MOST_PROFILED_STEPS:
                self.close()
                raise Enough

    def close(self) -> None:
        """The piece ended, or the process does: keep what was measured of it."""
        if self._counter is not None:
            self._counter.__exit__(None, None, None)
            self._counter = None
        if self._profiler is not None:
            passed, profiler = self._clock(), self._profiler
            self._profiler = None
            profiler.__exit__(None, None, None)
            if self._profiled:
                summarise(profiler.events() or (), passed, self._profiled, self.pieces[-1])

    def _activities(self) -> list[ProfilerActivity]:
        on_gpu = [ProfilerActivity.CUDA] if self._device == "cuda" else []
        return [ProfilerActivity.CPU, *on_gpu]

    def _start_clock(self) -> None:
        self._clock()
        self._since = time.perf_counter()

    def _clock(self) -> float:
        """Seconds since the clock was started, when the device has done everything."""
        if self._device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - self._since

    def _late(self, seconds: float) -> bool:
        """Whether so much time has passed, without waiting for the device."""
        return time.perf_counter() - self._since >= seconds


class Event(Protocol):
    """Of torch's profiler, what is read here; times in microseconds."""

    name: str
    device_type: Any
    time_range: Any
    self_cpu_time_total: float


def summarise(events: Iterable[Event], seconds: float, steps: int, piece: Piece) -> None:
    """Say in `piece` what the events of so many steps, which took so many seconds, were."""
    listed = list(events)
    times: defaultdict[str, float] = defaultdict(float)
    kernels = [one for one in listed if one.device_type == torch.autograd.DeviceType.CUDA]
    if kernels:
        piece.busy_share = _union([(one.time_range.start, one.time_range.end) for one in kernels]) / seconds
        piece.kernels_per_step = len(kernels) / steps
        names = [one.name for one in listed if one.device_type == torch.autograd.DeviceType.CPU]
        launches = [name for name in names if name.startswith("cu") and "Launch" in name]
        piece.launches_per_step = len(launches) / steps
        piece.syncs_per_step = sum("Synchronize" in name for name in names) / steps
        for one in kernels:
            times[one.name] += one.time_range.end - one.time_range.start
    else:
        for one in listed:
            if one.name.startswith("aten::"):
                times[one.name] += one.self_cpu_time_total
        piece.busy_share = sum(times.values()) / 1e6 / seconds
    dearest = sorted(times.items(), key=lambda item: -item[1])[:SHOWN]
    piece.dearest = "; ".join(f"{name} {t / 1e6 / seconds:.0%}" for name, t in dearest)


def _union(spans: Sequence[tuple[float, float]]) -> float:
    """Seconds that spans in microseconds cover, counted once where they overlap."""
    covered, end = 0.0, -math.inf
    for start, stop in sorted(spans):
        covered += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return covered / 1e6


def peak_gflops(device: str, rounds: int = 5) -> float:
    """10^9 operations per second of a large float32 matrix product, the best of some rounds."""
    size = 8192 if device == "cuda" else 2048
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
