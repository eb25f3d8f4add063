"""Profiles of long work: paces and operation counts that are known, and a GPU's events made up by hand."""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.autograd import DeviceType
from torch.utils._python_dispatch import _get_current_dispatch_mode

from elbogap import profiling
from elbogap.ensemble import in_chunks
from elbogap.errors import UserError
from elbogap.profiling import Enough, Piece, Profile, peak_gflops, profile, summarise
from elbogap.runtime import Run
from elbogap.training import Work, tabulate, train

ROWS, INNER, COLUMNS = 8, 16, 32
X = torch.ones(3, 4, dtype=torch.float64)
SHORT = 1e-6  # seconds


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
    profile = Profile(SHORT, "cpu")
    with pytest.raises(Enough):
        profiled_training(tmp_path, profile)
    (piece,) = profile.pieces
    assert piece.gflop_per_step * 1e9 == 2 * 2 * ROWS * INNER * COLUMNS
    assert (piece.label, piece.unit, piece.steps, piece.members) == ("w", "step", 1000, 5)


def test_without_time_operations_alone_are_counted(tmp_path: Path) -> None:
    profile = Profile(0.0, "cpu")
    with pytest.raises(Enough):
        profiled_training(tmp_path, profile)
    assert profile.pieces[0].gflop_per_step > 0
    assert math.isnan(profile.pieces[0].steps_per_s)


def test_the_pace_is_that_of_the_steps(tmp_path: Path) -> None:
    """Steps that rest cannot be faster, and cannot keep the processor busy."""
    profile = Profile(0.3, "cpu")
    with pytest.raises(Enough):
        profiled_training(tmp_path, profile, pause=0.01)
    assert 0 < profile.pieces[0].steps_per_s < 100
    assert 0 < profile.pieces[0].busy_share < 0.9
    assert "aten::mm" in profile.pieces[0].dearest
    assert 1 < profile.pieces[0].max_rss_mib < 1e6


def test_nothing_is_saved_of_profiled_work(tmp_path: Path) -> None:
    with pytest.raises(Enough):
        profiled_training(tmp_path, Profile(SHORT, "cpu"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
def test_short_work_is_done_and_the_next_is_measured(tmp_path: Path, steps: int) -> None:
    """Of the first piece steps 1 and 2 are not timed, and two make a pace, however short it is."""
    profile = Profile(3600.0, "cpu")
    profiled_training(tmp_path, profile, steps=steps)
    assert _get_current_dispatch_mode() is None  # the counter is closed
    profile.begin("next", "row", 10)
    assert math.isnan(profile.pieces[0].steps_per_s) == (steps < 4)
    assert math.isnan(profile.pieces[0].gflop_per_step) == (steps < 2)
    profile = Profile(SHORT, "cpu")
    with pytest.raises(Enough):
        tabulate(lambda i: torch.ones(3).double() @ X, rows=10, work=work(tmp_path, profile, "rows"))
    rows = profile.pieces[-1]
    assert (rows.unit, rows.members) == ("row", 1)
    assert rows.steps_per_s > 0


@pytest.mark.parametrize("full_at", [1, 2, 3])
def test_members_halved_for_memory_are_another_piece(tmp_path: Path, full_at: int) -> None:
    profile = Profile(3600.0, "cpu")

    def fit(members: Sequence[int]) -> None:
        def step(i: int) -> Tensor:
            if i == full_at and len(members) > 2:
                raise MemoryError
            return torch.zeros(len(members))

        train(step, steps=4, record_every=4, parts={}, work=work(tmp_path, profile, f"w{members}"))

    in_chunks(range(4), 4, fit)
    assert [piece.members for piece in profile.pieces] == [4 if full_at > 1 else 1, 2, 2]
    assert _get_current_dispatch_mode() is None


def test_a_job_is_measured_without_regard_to_its_budget_and_checkpoints(tmp_path: Path) -> None:
    run = Run("smoke", scratch=tmp_path, deadline=0)

    def job(run: Run) -> None:
        for label in ("first", "second"):
            train(
                lambda i: torch.zeros(5), steps=1000 if label == "second" else 3, record_every=100, parts={},
                work=Work.of(run, label, ""),
            )  # fmt: skip

    piece = profile(job, run, SHORT)
    assert (piece.label, piece.members) == ("second", 5)
    assert piece.steps_per_s > 0
    assert list(tmp_path.iterdir()) == []


def test_a_job_of_short_work_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no work that is long enough"):
        profile(lambda run: None, Run("smoke", scratch=tmp_path), SHORT)


@pytest.mark.parametrize(
    ("label", "members", "gflop"), [("net", 3, 4.0), ("net", 2, None), ("other", 3, None)]
)
def test_on_a_gpu_operations_are_those_of_the_same_piece_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch, label: str, members: int, gflop: float | None
) -> None:
    """The replay of a graph shows no operations; a run on the CPU stops where it has counted them."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    def watched(work: object, run: Run, seconds: float) -> list[Piece]:
        if run.device == "cuda":
            return [Piece("net", "step", 9, members=3, steps_per_s=10.0), Piece("short", "step", 1)]
        assert seconds == 0
        return [Piece(label, "step", 9, members=members, gflop_per_step=4.0)]

    monkeypatch.setattr(profiling, "_watched", watched)
    piece = profile(lambda run: None, Run("smoke", gpus=1), 5.0)
    assert (piece.label, piece.steps_per_s) == ("net", 10)
    assert math.isnan(piece.gflop_per_step) if gflop is None else piece.gflop_per_step == gflop


def event(
    name: str, device: DeviceType, start: float, end: float, annotation: bool = False
) -> SimpleNamespace:
    return SimpleNamespace(
        name=name,
        device_type=device,
        time_range=SimpleNamespace(start=start, end=end),
        self_cpu_time_total=end - start,
        is_user_annotation=annotation,
    )


ON_GPU = [
    event("gemm", DeviceType.CUDA, 0, 400_000),
    event("gemm", DeviceType.CUDA, 500_000, 600_000),
    event("tanh", DeviceType.CUDA, 300_000, 450_000),
    event("Memcpy HtoD", DeviceType.CUDA, 700_000, 750_000),
    event("Optimizer.step#Adam.step", DeviceType.CUDA, 0, 1_000_000, annotation=True),
]
ON_CPU = [
    event("cudaGraphLaunch", DeviceType.CPU, 0, 10),
    event("cuLaunchKernelEx", DeviceType.CPU, 0, 10),
    event("cudaStreamSynchronize", DeviceType.CPU, 0, 10),
    event("cudaDeviceSynchronize", DeviceType.CPU, 0, 10),
    event("aten::mm", DeviceType.CPU, 0, 900_000),
]


def test_kernels_that_overlap_keep_the_gpu_busy_once() -> None:
    """.45 + .1 + .05 of a second: 2 steps at 2 per second without the profiler."""
    piece = Piece("w", "step", 10, steps_per_s=2.0)
    summarise([*ON_GPU, *ON_CPU], steps=2, device="cuda", piece=piece)
    assert piece.busy_share == pytest.approx(0.6)
    assert piece.kernels_per_step == 1.5
    assert piece.launches_per_step == 1
    assert piece.syncs_per_step == 0.5
    assert piece.dearest == "gemm 50%; tanh 15%; Memcpy HtoD 5%"


def test_a_gpu_that_hides_its_kernels_is_not_taken_for_a_cpu() -> None:
    piece = Piece("w", "step", 10, steps_per_s=2.0)
    summarise(ON_CPU, steps=2, device="cuda", piece=piece)
    assert math.isnan(piece.busy_share)
    assert math.isnan(piece.kernels_per_step)
    assert piece.dearest == ""


def test_the_peak_is_a_rate() -> None:
    """More than a slow loop would do, less than any processor can."""
    assert 0.01 < peak_gflops("cpu", size=256, seconds=0.01) < 1e5
