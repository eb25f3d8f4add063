"""Profiles of long work: paces and operation counts that are known, and a GPU's events made up by hand."""

import math
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.autograd import DeviceType

from elbogap.profiling import Enough, Event, Piece, Profile, peak_gflops, summarise
from elbogap.training import Work, tabulate, train

ROWS, INNER, COLUMNS = 8, 16, 32


def work(folder: Path, profile: Profile, label: str = "w") -> Work:
    return Work(label, folder / f"{label}.pt", "", math.inf, watch=profile)


def profiled_training(folder: Path, profile: Profile, *, steps: int = 1000, pause: float = 0.0) -> None:
    a = torch.ones(ROWS, INNER)
    b = torch.ones(INNER, COLUMNS, requires_grad=True)

    def step(i: int) -> Tensor:
        time.sleep(pause)
        (a @ b).sum().backward()
        return torch.zeros(2, 5)

    train(step, steps=steps, record_every=100, parts={}, work=work(folder, profile))


def test_operations_are_those_of_the_matrix_products(tmp_path: Path) -> None:
    """2 r k c forward, and as many again for the gradient of the one factor that needs it."""
    profile = Profile(0.0, "cpu")
    with pytest.raises(Enough):
        profiled_training(tmp_path, profile)
    (piece,) = profile.pieces
    assert piece.gflop_per_step * 1e9 == 2 * 2 * ROWS * INNER * COLUMNS
    assert (piece.label, piece.unit, piece.steps, piece.members) == ("w", "step", 1000, 5)


def test_the_pace_is_that_of_the_steps(tmp_path: Path) -> None:
    profile = Profile(0.3, "cpu")
    with pytest.raises(Enough):
        profiled_training(tmp_path, profile, pause=0.01)
    assert 20 < profile.pieces[0].steps_per_s < 100
    assert 0 < profile.pieces[0].busy_share < 0.5
    assert "aten::mm" in profile.pieces[0].dearest


def test_nothing_is_saved_of_profiled_work(tmp_path: Path) -> None:
    with pytest.raises(Enough):
        profiled_training(tmp_path, Profile(0.0, "cpu"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_work_too_short_to_be_measured_is_done_and_the_next_is_measured(tmp_path: Path, steps: int) -> None:
    profile = Profile(0.0, "cpu")
    profiled_training(tmp_path, profile, steps=steps)
    assert math.isnan(profile.pieces[0].steps_per_s) == (steps < 4)
    assert math.isnan(profile.pieces[0].gflop_per_step) == (steps < 2)
    with pytest.raises(Enough):
        tabulate(
            lambda i: torch.ones(3).double() @ torch.ones(3, 4).double(),
            rows=10, work=work(tmp_path, profile, "rows"),
        )  # fmt: skip
    rows = profile.pieces[1]
    assert (rows.unit, rows.members) == ("row", 1)
    assert rows.steps_per_s > 0


def test_an_unfinished_profile_can_be_closed(tmp_path: Path) -> None:
    """Whatever ends the work, torch is left without a counter or a profiler."""
    for steps in (1, 4):
        profile = Profile(0.0, "cpu")
        profiled_training(tmp_path / str(steps), profile, steps=steps)
        profile.close()
        profile.close()
    with torch.profiler.profile():  # torch refuses a second one inside another
        pass


def event(name: str, device: DeviceType, start: float, end: float) -> Event:
    span = SimpleNamespace(start=start, end=end)
    return SimpleNamespace(name=name, device_type=device, time_range=span, self_cpu_time_total=end - start)


def test_kernels_that_overlap_keep_the_gpu_busy_once() -> None:
    events = [
        event("gemm", DeviceType.CUDA, 0, 400_000),
        event("gemm", DeviceType.CUDA, 500_000, 600_000),
        event("tanh", DeviceType.CUDA, 300_000, 450_000),
        event("cudaGraphLaunch", DeviceType.CPU, 0, 10),
        event("cuLaunchKernelEx", DeviceType.CPU, 0, 10),
        event("cudaStreamSynchronize", DeviceType.CPU, 0, 10),
        event("aten::mm", DeviceType.CPU, 0, 900_000),
    ]
    piece = Piece("w", "step", 10)
    summarise(events, seconds=1.0, steps=2, piece=piece)
    assert piece.busy_share == pytest.approx(0.55)
    assert piece.kernels_per_step == 1.5
    assert piece.launches_per_step == 1
    assert piece.syncs_per_step == 0.5
    assert piece.dearest == "gemm 50%; tanh 15%"


def test_the_peak_is_a_rate() -> None:
    """More than a slow loop would do, less than any processor can."""
    assert 0.1 < peak_gflops("cpu", rounds=1) < 1e5
