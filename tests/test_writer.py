"""One writer per result, whoever is killed, with file locks and without; and records of runs of Snakemake."""

import atexit
import errno
import fcntl
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from elbogap import provenance
from elbogap.errors import UserError
from elbogap.writer import RUN, begin_run, claim_of, sole


@pytest.fixture(params=["locks", "no locks"])
def path(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A result, on a file system with locks and on one without."""
    if request.param == "no locks":
        without_locks(monkeypatch)
    return tmp_path / "results" / "t.csv"


def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*words: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.fixture
def child() -> Iterator[Callable[[Callable[[], object]], int]]:
    """Runs a function in a process of its own that is killed in the end."""
    started = []

    def start(work: Callable[[], object]) -> int:
        pid = os.fork()
        if pid == 0:
            try:
                work()
            finally:
                os._exit(0)  # never back into pytest
        started.append(pid)
        return pid

    yield start
    for pid in started:
        end(pid)


def end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def hold(path: Path) -> None:
    with sole([path]):
        time.sleep(60)


def await_claim(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not (claim_of(path).exists() and claim_of(path).read_text(encoding="utf-8")):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_claim_names_its_process_and_goes_with_the_block(path: Path) -> None:
    with sole([path, path.with_name("u.csv"), path]):
        claim = claim_of(path).read_text(encoding="utf-8").split()
        assert claim[0] == str(os.getpid())
        assert claim[1].startswith(socket.gethostname())
        assert claim_of(path).name == ".t.csv.writer"
    assert list(path.parent.iterdir()) == []
    with pytest.raises(KeyboardInterrupt), sole([path]):
        raise KeyboardInterrupt
    assert list(path.parent.iterdir()) == []


def test_a_living_process_is_not_disturbed(path: Path, child: Callable[..., int]) -> None:
    pid = child(lambda: hold(path))
    await_claim(path)
    with (
        pytest.raises(UserError, match=rf"t\.csv: process {pid} on .+ writes it; wait for it or stop it"),
        sole([path.with_name("a.csv"), path]),
    ):
        raise AssertionError
    assert [one.name for one in path.parent.iterdir()] == [".t.csv.writer"]


def test_nor_is_another_block_of_this_process(path: Path) -> None:
    with sole([path]):
        with pytest.raises(UserError, match=f"process {os.getpid()} on "), sole([path]):
            raise AssertionError
        assert claim_of(path).exists()


def test_the_claim_of_a_killed_process_is_taken_over_at_once(path: Path, child: Callable[..., int]) -> None:
    pid = child(lambda: hold(path))
    await_claim(path)
    end(pid)
    with sole([path]):
        assert claim_of(path).read_text(encoding="utf-8").split()[0] == str(os.getpid())
    assert list(path.parent.iterdir()) == []


def test_a_killed_process_that_nobody_waited_for_holds_no_lock(
    tmp_path: Path, child: Callable[..., int]
) -> None:
    path = tmp_path / "t.csv"
    pid = child(lambda: hold(path))
    await_claim(path)
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    with sole([path]):
        pass


def test_a_process_of_another_host_keeps_its_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_locks(monkeypatch)
    path = tmp_path / "t.csv"
    claim_of(path).write_text("4711\nelsewhere\n", encoding="utf-8")
    os.utime(claim_of(path), (1e9, 1e9))
    advice = f"if it was killed, delete {claim_of(path)}"
    with pytest.raises(UserError, match=rf"process 4711 on elsewhere writes it; .*{advice}"), sole([path]):
        raise AssertionError
    claim_of(path).unlink()
    with sole([path]):
        pass


def test_a_damaged_claim_is_of_another_process(tmp_path: Path, child: Callable[..., int]) -> None:
    path = tmp_path / "t.csv"
    child(lambda: hold(path))
    await_claim(path)
    claim_of(path).write_bytes(b"\xff")
    with pytest.raises(UserError, match="another process writes it"), sole([path]):
        raise AssertionError


def test_other_mistakes_of_a_file_system_are_told(tmp_path: Path) -> None:
    (tmp_path / ".t.csv.writer").mkdir()
    with pytest.raises(IsADirectoryError), sole([tmp_path / "t.csv"]):
        raise AssertionError


def test_of_many_at_once_one_at_a_time_is_inside(
    path: Path, tmp_path: Path, child: Callable[..., int]
) -> None:
    begin = tmp_path / "begin"

    def try_hard(number: int) -> None:
        while not begin.exists():
            time.sleep(0.0005)
        for turn in range(50):
            try:
                with sole([path]):
                    (tmp_path / "inside").mkdir()
                    time.sleep(0.001)
                    (tmp_path / "inside").rmdir()
            except UserError:
                continue
            except FileExistsError:
                (tmp_path / "two at once").touch()
            (tmp_path / f"{number}.{turn}").touch()
        (tmp_path / f"{number}.done").touch()

    for number in range(4):
        child(lambda number=number: try_hard(number))
    begin.touch()
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("*.done"))) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert not (tmp_path / "two at once").exists()
    assert len(list(tmp_path.glob("?.[0-9]*"))) > 4
    assert list(path.parent.iterdir()) == []


# Runs of Snakemake


@pytest.fixture
def snakemake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder `.snakemake` with the lock that a run left; it names one output."""
    monkeypatch.setenv(RUN, "")
    at_exit: list[Callable[[], object]] = []
    monkeypatch.setattr(atexit, "register", at_exit.append)
    folder = tmp_path / ".snakemake"
    (folder / "locks").mkdir(parents=True)
    (folder / "locks" / "0.input.lock").write_text("config.yaml\n", encoding="utf-8")
    (folder / "locks" / "0.output.lock").write_text("results/t.csv\n", encoding="utf-8")
    yield folder
    for call in at_exit:
        call()


def run_of(child: Callable[..., int], snakemake: Path) -> int:
    """A run of Snakemake that does not end."""
    pid = child(lambda: (begin_run(snakemake), time.sleep(60)))
    await_claim(snakemake / "elbogap-runs" / f"{socket.gethostname()}-{pid}")
    return pid


def again(snakemake: Path) -> list[str]:
    """Begin a run in a process that ends at once; what it says."""
    out, into = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            os.write(into, "\n".join(begin_run(snakemake)).encode())
        finally:
            os._exit(0)
    os.close(into)
    os.waitpid(pid, 0)
    with os.fdopen(out) as lines:
        return lines.read().splitlines()


def locked(snakemake: Path) -> bool:
    return len(list((snakemake / "locks").iterdir())) == 2


def test_the_locks_of_a_killed_run_are_swept_with_its_record(
    snakemake: Path, child: Callable[..., int]
) -> None:
    end(run_of(child, snakemake))
    assert begin_run(snakemake) == []
    assert not locked(snakemake)
    (mine,) = (snakemake / "elbogap-runs").iterdir()
    assert mine.read_text(encoding="utf-8").split()[0] == str(os.getpid())


def test_locks_of_which_nothing_is_known_stay(snakemake: Path) -> None:
    assert begin_run(snakemake) == []
    assert locked(snakemake)


def test_locks_stay_while_a_run_lives(snakemake: Path, child: Callable[..., int]) -> None:
    dead, alive = run_of(child, snakemake), run_of(child, snakemake)
    end(dead)
    (line,) = again(snakemake)
    assert line.startswith(f"process {alive} on ")
    assert "works here; wait for it" in line
    assert locked(snakemake)
    end(alive)
    assert again(snakemake) == []
    assert not locked(snakemake)


def test_locks_stay_while_a_killed_run_has_a_living_job(
    snakemake: Path, tmp_path: Path, child: Callable[..., int]
) -> None:
    end(run_of(child, snakemake))
    path = tmp_path / "results/t.csv"
    pid = child(lambda: hold(path))
    await_claim(path)
    (line,) = again(snakemake)
    assert f"t.csv: process {pid} on " in line
    assert "still writes it, though its run was killed; wait for it or stop it" in line
    assert locked(snakemake)
    end(pid)
    assert again(snakemake) == []
    assert not locked(snakemake)


def test_a_lock_that_its_run_removes_meanwhile_is_none(
    snakemake: Path, child: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    end(run_of(child, snakemake))
    found, read = snakemake / "locks/0.output.lock", Path.read_text

    def and_remove(path: Path, *words: object, **options: object) -> str:
        if path == found:
            path.unlink()
        return read(path, *words, **options)

    monkeypatch.setattr(Path, "read_text", and_remove)
    assert begin_run(snakemake) == []
    assert list((snakemake / "locks").iterdir()) == []


def test_a_job_writes_nothing_once_its_run_is_swept(
    snakemake: Path, tmp_path: Path, child: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = run_of(child, snakemake)
    (run,) = (snakemake / "elbogap-runs").iterdir()
    end(pid)  # but no later run has looked yet
    monkeypatch.setenv(RUN, str(run))
    record = provenance.collect(source=provenance.source("elbogap.writer"))
    provenance.publish(record, {tmp_path / "t.csv": Path.touch})
    assert again(snakemake) == []
    with pytest.raises(UserError, match="the run that started this is over"):
        provenance.publish(record, {tmp_path / "u.csv": Path.touch})
    assert not (tmp_path / "u.csv").exists()


def test_where_nothing_can_be_written_nothing_is_recorded(tmp_path: Path) -> None:
    (tmp_path / ".snakemake").write_text("in the way", encoding="utf-8")
    assert begin_run(tmp_path / ".snakemake") == []
