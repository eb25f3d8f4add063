"""Threads, device and random streams of one process: the three things that decide a run's digits."""

import ctypes
import hashlib
import math
import os
import platform
import resource
import sys
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    import torch


class Watch(Protocol):
    """Is told of every step of long work; what it raises ends the work."""

    def begin(self, label: str, unit: str, steps: int) -> None:
        """A piece of so many steps of a unit, `step` or `row`, begins."""

    def step(self, value: "torch.Tensor") -> None:
        """A step gave this value."""


@dataclass(frozen=True)
class Run:
    """What an experiment is told beside its settings."""

    scale: str  # its name: smoke, laptop, paper ...
    keys: Mapping[str, str] = field(default_factory=dict)  # the wildcards, e.g. `{"problem": "circle"}`
    inputs: Mapping[str, Path] = field(default_factory=dict)  # files by name
    scratch: Path = Path("scratch")  # for checkpoints of unfinished work; removed when it succeeds
    threads: int = 1  # of the CPU
    gpus: int = 0  # that are granted; 0 means the CPU even where a GPU is present
    deadline: float = math.inf  # when long work stops by `OutOfTime`, on the clock of `time.monotonic()`
    watch: Watch | None = None  # who is told of every step of long work
    digests: Mapping[str, str] = field(default_factory=dict)  # known SHA-256 of input files by their paths

    @property
    def device(self) -> str:
        """`cuda` when a GPU is granted and present, else `cpu`."""
        if self.gpus < 1:
            return "cpu"
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"


def derive_seed(seed: int, *keys: Hashable) -> int:
    """A 63-bit seed for the purpose that the keys name: a hash. A new purpose changes no other stream."""
    text = repr((seed, *keys)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


def numpy_generator(seed: int, *keys: Hashable) -> np.random.Generator:
    """A NumPy generator for one purpose (see :func:`derive_seed`)."""
    return np.random.default_rng(derive_seed(seed, *keys))


def torch_generator(seed: int, *keys: Hashable, device: str = "cpu") -> "torch.Generator":
    """A torch generator for one purpose (see :func:`derive_seed`)."""
    import torch

    return torch.Generator(device=device).manual_seed(derive_seed(seed, *keys))


def set_up(threads: int) -> None:
    """Fix the thread count, and keep glibc from returning large temporaries, which costs page faults."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-4, 0)  # M_MMAP_MAX
        mallopt(-1, -1)  # M_TRIM_THRESHOLD


def limit_torch_threads(threads: int) -> None:
    """Make torch use exactly `threads` threads, so that CPU sums are ordered the same way each time."""
    import torch

    torch.set_num_threads(threads)


def peak_memory_mib() -> float:
    """Peak resident memory of this process in MiB; the system counts in KiB, macOS in bytes."""
    units_per_mib = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / units_per_mib
