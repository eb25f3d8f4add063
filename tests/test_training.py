import contextlib
import io
import math
import os
import signal
import tempfile
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from elbogap import training
from elbogap.errors import OutOfTime, UserError
from elbogap.runtime import Run
from elbogap.training import Work, tabulate, train

STEPS = 40
EVERY = 7


class Killed(Exception):
    pass


def fit(
    checkpoint: Path,
    *,
    kill_at: int = 0,
    hard: bool = False,
    identity: str = "run",
    seconds: float = 0,
    deadline: float = math.inf,
) -> tuple[list[float], Tensor]:
    """Least squares with Adam on drawn minibatches; dies inside step `kill_at`, after the update is made."""
    network = nn.Linear(3, 1, dtype=torch.float64)
    with torch.no_grad():
        network.weight.fill_(0.5)
        network.bias.fill_(0.1)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.05)
    noise = torch.Generator().manual_seed(3)

    def step(i: int) -> Tensor:
        inputs = torch.randn(8, 3, dtype=torch.float64, generator=noise)
        loss = (network(inputs) - inputs.sum(-1, keepdim=True)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if i == kill_at:
            if hard:
                os.kill(os.getpid(), signal.SIGKILL)
            raise Killed
        return loss.detach()

    records = train(
        step,
        steps=STEPS,
        record_every=EVERY,
        parts={"network": network, "optimiser": optimiser, "noise": noise},
        work=Work("fit", checkpoint, identity, seconds, deadline),
    )
    return records.tolist(), network.weight.detach().clone()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[float], Tensor]:
    return fit(tmp_path_factory.mktemp("whole") / "checkpoint.pt", seconds=1e9)


def test_records_are_block_means(uninterrupted: tuple[list[float], Tensor]) -> None:
    records, weight = uninterrupted
    assert len(records) == -(-STEPS // EVERY)
    assert records[-1] < records[0] / 2  # it learns
    assert not torch.equal(weight, torch.full_like(weight, 0.5))


@settings(deadline=None, max_examples=15)
@given(kills=st.lists(st.integers(1, STEPS), min_size=1, max_size=4))
def test_interrupted_anywhere_it_resumes_to_the_same_bits(
    uninterrupted: tuple[list[float], Tensor], kills: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "checkpoint.pt"
        for kill_at in sorted(kills):
            if kill_at > _done(checkpoint):
                with pytest.raises(Killed):
                    fit(checkpoint, kill_at=kill_at)
                # the update of the killed step was made but not saved
                assert _done(checkpoint) == kill_at - 1
        records, weight = fit(checkpoint)
    assert records == uninterrupted[0]
    assert torch.equal(weight, uninterrupted[1])


@settings(deadline=None, max_examples=25)
@given(stops=st.lists(st.floats(0, 80), max_size=6))
def test_out_of_time_anywhere_it_resumes_to_the_same_bits(
    uninterrupted: tuple[list[float], Tensor], stops: list[float]
) -> None:
    """A clock that ticks when it is read puts the deadlines at chosen steps."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        checkpoint = Path(folder) / "checkpoint.pt"
        for ticks in stops:
            patch.setattr(training, "time", SimpleNamespace(monotonic=count().__next__))
            done = _done(checkpoint)
            if done < STEPS:
                with contextlib.suppress(OutOfTime):
                    fit(checkpoint, deadline=ticks, seconds=1e9)
                assert done < _done(checkpoint) <= STEPS  # each call gets on, and all it did is kept
        records, weight = fit(checkpoint, seconds=1e9)
    assert records == uninterrupted[0]
    assert torch.equal(weight, uninterrupted[1])


def test_past_the_deadline_one_step_is_made_and_kept(
    tmp_path: Path, uninterrupted: tuple[list[float], Tensor]
) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    for done in range(1, STEPS + 1):
        with pytest.raises(OutOfTime):
            fit(checkpoint, deadline=0, seconds=1e9)
        assert _done(checkpoint) == done
    records, weight = fit(checkpoint, deadline=0, seconds=1e9)  # nothing is left to do
    assert records == uninterrupted[0]
    assert torch.equal(weight, uninterrupted[1])


def test_killed_without_warning_it_resumes_to_the_same_bits(
    tmp_path: Path, uninterrupted: tuple[list[float], Tensor]
) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    torch.set_num_threads(1)  # a forked child has no worker threads
    for kill_at in (5, 19, 33):
        child = os.fork()
        if child == 0:
            try:
                fit(checkpoint, kill_at=kill_at, hard=True)
            finally:
                os._exit(1)  # never back into pytest
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status)
        assert os.WTERMSIG(status) == signal.SIGKILL
        assert _done(checkpoint) == kill_at - 1
    records, weight = fit(checkpoint)
    assert records == uninterrupted[0]
    assert torch.equal(weight, uninterrupted[1])


def test_checkpoint_of_another_run_is_not_used(
    tmp_path: Path, uninterrupted: tuple[list[float], Tensor]
) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    with pytest.raises(Killed):
        fit(checkpoint, kill_at=20, identity="other settings")
    assert fit(checkpoint, seconds=1e9)[0] == uninterrupted[0]
    with pytest.raises(Killed):  # had it been resumed, step 3 would not come again
        fit(checkpoint, kill_at=3, identity="third")


def test_a_file_that_is_no_checkpoint_of_ours_is_not_used(
    tmp_path: Path, uninterrupted: tuple[list[float], Tensor], capfd: pytest.CaptureFixture
) -> None:
    torch.save([1, 2], tmp_path / "checkpoint.pt")
    assert fit(tmp_path / "checkpoint.pt", seconds=1e9)[0] == uninterrupted[0]
    assert "checkpoint.pt: damaged checkpoint, not used; starting anew" in capfd.readouterr().err


def test_a_checkpoint_that_cannot_be_read_just_now_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Killed):
        fit(tmp_path / "checkpoint.pt", kill_at=20)

    def fail(*words: object, **named: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(OSError, match="Input/output error"):
        fit(tmp_path / "checkpoint.pt")


def test_each_device_has_its_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that is not seen for once costs nothing of what it did."""
    run = Run("smoke", scratch=tmp_path, gpus=1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    on_gpu = Work.of(run, "one", "").checkpoint
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert on_gpu.name == "one.cuda.pt"
    assert Work.of(run, "one", "").checkpoint.name == "one.pt"


def test_a_list_of_what_was_measured_goes_on_where_it_was(tmp_path: Path) -> None:
    for done in range(1, 4):
        measured: list[int] = []

        def step(i: int, measured: list[int] = measured) -> Tensor:
            measured.append(i)
            return torch.zeros(())

        with contextlib.suppress(OutOfTime):
            work = Work("list", tmp_path / "c.pt", "", deadline=0)
            train(step, steps=3, record_every=3, parts={"measured": measured}, work=work)
        assert measured == list(range(1, done + 1))


def test_divergence_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="diverged before step 3"):
        train(
            lambda i: torch.tensor(float("nan") if i > 1 else 0.0),
            steps=5,
            record_every=3,
            parts={},
            work=Work("bad", tmp_path / "c.pt", "", 1e9),
        )


def test_each_member_has_its_records_and_a_diverged_one_stops_no_other(tmp_path: Path) -> None:
    records = train(
        lambda i: torch.tensor([float(i), float("nan")]),
        steps=3,
        record_every=2,
        parts={},
        work=Work("members", tmp_path / "c.pt", "", 1e9),
    )
    assert records[:, 0].tolist() == [1.5, 3.0]
    assert records[:, 1].isnan().all()


def test_rows_are_not_judged_and_a_stopped_table_goes_on_where_it_was(tmp_path: Path) -> None:
    asked: list[int] = []

    def row(i: int) -> Tensor:
        asked.append(i)
        return torch.tensor([i, math.inf]) if i != 1 else torch.full((2,), math.nan)

    def made(deadline: float = math.inf) -> Tensor:
        return tabulate(row, rows=3, work=Work("rows", tmp_path / "c.pt", "", deadline=deadline))

    with pytest.raises(OutOfTime):
        made(deadline=0)
    table = made()
    assert asked == [0, 1, 2]
    assert table[:, 0].nan_to_num(-1).tolist() == [0, -1, 2]
    assert table[[0, 2], 1].isinf().all()


def _done(checkpoint: Path) -> int:
    if not checkpoint.exists():
        return 0
    content = io.BytesIO(checkpoint.read_bytes()[training.DIGEST :])
    return torch.load(content, weights_only=True)["done"]
