"""Claims: one writer per result, whoever is killed, on whatever host; and records of runs of Snakemake."""

import atexit
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from elbogap import files, writer
from elbogap.errors import UserError
from elbogap.files import atomic
from elbogap.writer import RUN, Process, begin_run, claim_of, sole


@pytest.fixture(autouse=True)
def no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atexit, "register", lambda *words, **options: None)
    monkeypatch.setenv(RUN, "")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results" / "t.csv"


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
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def hold(path: Path) -> None:
    with sole([path]):
        time.sleep(60)


def await_claim(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not (claim_of(path).exists() and claim_of(path).read_text(encoding="utf-8")):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def put(path: Path, process: Process, age: float = 0) -> None:
    """Leave a claim or a record of this process, so many seconds old."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"host": process.host, "pid": process.pid, "started": process.started})
    path.write_text(text, encoding="utf-8")
    os.utime(path, (time.time() - age, time.time() - age))


def write(path: Path, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


ELSEWHERE = Process("elsewhere", 4711, time.time() - 1000)


def ended() -> Process:
    """A process of this host that has ended."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return Process(socket.gethostname(), pid, time.time())


def test_a_claim_names_its_process_and_goes_with_the_block(path: Path) -> None:
    with sole([path, path.with_name("u.csv"), path]):
        claim = json.loads(claim_of(path).read_text(encoding="utf-8"))
        assert claim["host"] == socket.gethostname()
        assert claim["pid"] == os.getpid()
        assert claim_of(path).name == ".t.csv.writer"
        write(path, "whole")
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(KeyboardInterrupt), sole([path]):
        raise KeyboardInterrupt
    assert list(path.parent.iterdir()) == [path]
    assert files.guards == []


def test_a_living_process_of_this_host_is_not_disturbed(path: Path, child: Callable[..., int]) -> None:
    pid = child(lambda: hold(path))
    await_claim(path)
    with (
        pytest.raises(UserError, match=rf"t\.csv: process {pid} on .+ \(since 20.+\) writes it; wait for"),
        sole([path.with_name("a.csv"), path]),
    ):
        raise AssertionError
    assert [one.name for one in path.parent.iterdir()] == [".t.csv.writer"]


def test_the_claim_of_a_killed_process_is_taken_over_at_once(path: Path, child: Callable[..., int]) -> None:
    pid = child(lambda: hold(path))
    await_claim(path)
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT) is None:
        assert time.monotonic() < deadline
    with sole([path]):  # its parent has not even asked for its status yet
        write(path, "whole")
    assert list(path.parent.iterdir()) == [path]


def test_a_later_process_of_the_same_number_is_another(path: Path) -> None:
    this = Process.this()
    put(claim_of(path), Process(this.host, this.pid, this.started - 3600))
    with sole([path]):
        write(path, "whole")


def test_a_process_of_another_host_counts_while_it_renews_its_claim(path: Path) -> None:
    put(claim_of(path), ELSEWHERE, age=writer.LEASE_S - 60)
    with (
        pytest.raises(
            UserError,
            match=r"t\.csv: process 4711 on elsewhere .* after 5 minutes \(.*\.t\.csv\.writer\)$",
        ),
        sole([path]),
    ):
        raise AssertionError
    put(claim_of(path), ELSEWHERE, age=writer.LEASE_S + 60)
    with sole([path]):
        write(path, "whole")
    assert list(path.parent.iterdir()) == [path]


def test_a_claim_is_renewed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "RENEWAL_S", 0.01)
    with sole([path]):
        os.utime(claim_of(path), (1e9, 1e9))
        deadline = time.monotonic() + 30
        while claim_of(path).stat().st_mtime < 1.1e9:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_the_claim_of_another_is_not_renewed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "RENEWAL_S", 0.01)
    with sole([path]):
        put(claim_of(path), ELSEWHERE, age=600)
        before = claim_of(path).stat().st_mtime
        time.sleep(0.1)
        assert claim_of(path).stat().st_mtime == before


@pytest.mark.parametrize("lost", ["taken over", "removed"])
def test_who_has_lost_a_claim_writes_nothing_more(path: Path, lost: str) -> None:
    path.parent.mkdir()
    path.write_text("theirs", encoding="utf-8")
    with pytest.raises(UserError, match=r"t\.csv: another process has taken it over"), sole([path]):  # noqa: PT012
        if lost == "removed":
            claim_of(path).unlink()
        else:
            put(claim_of(path), ELSEWHERE)
        write(path.with_name("checkpoint.pt"), "mine")
    assert path.read_text(encoding="utf-8") == "theirs"
    assert {one.name for one in path.parent.iterdir()} <= {"t.csv", ".t.csv.writer"}
    assert claim_of(path).exists() == (lost == "taken over")


@pytest.mark.parametrize("name", [".t.csv.writer", ".t.csv.writer.next"])
def test_a_claim_cut_short_counts_for_the_time_of_a_lease(
    path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    path.parent.mkdir()
    path.with_name(name).touch()
    with (
        pytest.raises(UserError, match=r"a process on an unknown host (writes|is about to write) it"),
        sole([path]),
    ):
        raise AssertionError
    os.utime(path.with_name(name), (1e9, 1e9))
    with sole([path]):
        write(path, "whole")
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"host": "a"}', '{"host": "a", "pid": -1, "started": 0}',
     '{"host": "a", "pid": 1, "started": Infinity}', "\0"],
)  # fmt: skip
def test_a_damaged_claim_is_an_unknown_process(path: Path, text: str) -> None:
    path.parent.mkdir()
    claim_of(path).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="a process on an unknown host writes it"), sole([path]):
        raise AssertionError


def test_who_was_killed_while_claiming_is_in_nobodys_way(path: Path) -> None:
    put(path.with_name(".t.csv.writer.next"), ended())
    with sole([path]):
        write(path, "whole")
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", [".t.csv.writer", ".t.csv.writer.next"])
def test_a_link_in_the_place_of_a_claim_is_not_followed(path: Path, tmp_path: Path, name: str) -> None:
    path.parent.mkdir()
    path.with_name(name).symlink_to(tmp_path / "nowhere")
    with sole([path]):
        write(path, "whole")
    assert not (tmp_path / "nowhere").exists()
    assert list(path.parent.iterdir()) == [path]


def test_of_many_who_take_over_at_once_one_at_a_time_is_inside(
    path: Path, tmp_path: Path, child: Callable[..., int]
) -> None:
    dead = ended()
    put(claim_of(path), dead)
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
                    put(claim_of(path), dead)  # as if killed
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
    assert list(path.parent.iterdir()) == [claim_of(path)]


def test_a_claim_that_cannot_be_written_leaves_nothing(path: Path) -> None:
    path.parent.mkdir()
    with pytest.raises(UnicodeEncodeError):
        writer._create(claim_of(path), "\ud800")
    assert list(path.parent.iterdir()) == []


# Runs of Snakemake


@pytest.fixture
def snakemake(tmp_path: Path) -> Path:
    """The folder `.snakemake` with the lock that a run left; it names one output."""
    folder = tmp_path / ".snakemake"
    (folder / "locks").mkdir(parents=True)
    (folder / "locks" / "0.input.lock").write_text("config.yaml\n", encoding="utf-8")
    (folder / "locks" / "0.output.lock").write_text("results/t.csv\n", encoding="utf-8")
    return folder


def record(snakemake: Path, process: Process) -> Path:
    path = snakemake / "elbogap-runs" / f"{process.host}-{process.pid}.json"
    put(path, process)
    return path


def locked(snakemake: Path) -> bool:
    return len(list((snakemake / "locks").iterdir())) == 2


def test_the_locks_of_a_killed_run_are_swept_with_its_record(snakemake: Path) -> None:
    path = record(snakemake, ended())
    assert begin_run(snakemake) == []
    assert not locked(snakemake)
    assert not path.exists()
    (mine,) = (snakemake / "elbogap-runs").iterdir()
    assert os.environ[RUN] == str(mine)
    assert writer._read(mine) == Process.this()


def test_a_lock_that_its_run_removes_meanwhile_is_none(
    snakemake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(snakemake, ELSEWHERE)
    lock = snakemake / "locks/0.output.lock"
    read = writer._read

    def and_remove(path: Path) -> Process | None:
        lock.unlink(missing_ok=True)
        return read(path)

    monkeypatch.setattr(writer, "_read", and_remove)
    (line,) = begin_run(snakemake)
    assert line.startswith("process 4711 on elsewhere (since ")


def test_locks_of_which_nothing_is_known_stay(snakemake: Path) -> None:
    assert begin_run(snakemake) == []
    assert locked(snakemake)


def test_locks_stay_while_a_run_of_this_host_lives(snakemake: Path, child: Callable[..., int]) -> None:
    child(lambda: (begin_run(snakemake), time.sleep(60)))
    deadline = time.monotonic() + 30
    while not any(one.read_text(encoding="utf-8") for one in snakemake.glob("elbogap-runs/*.json")):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    dead = record(snakemake, ended())
    (line,) = begin_run(snakemake)
    assert "works here; wait for it" in line
    assert locked(snakemake)
    assert dead.exists()


def test_locks_stay_while_a_run_of_another_host_is_recorded(snakemake: Path) -> None:
    record(snakemake, ended())
    path = record(snakemake, ELSEWHERE)
    os.utime(path, (1e9, 1e9))
    (line,) = begin_run(snakemake)
    assert line.startswith("process 4711 on elsewhere (since ")
    assert line.endswith(f"or delete {path} if it was killed")
    assert locked(snakemake)
    path.unlink()
    assert begin_run(snakemake) == []
    assert not locked(snakemake)


def test_locks_stay_while_a_killed_run_has_a_living_job(
    snakemake: Path, path: Path, child: Callable[..., int]
) -> None:
    dead = record(snakemake, ended())
    pid = child(lambda: hold(path))
    await_claim(path)
    (line,) = begin_run(snakemake)
    assert f"t.csv: process {pid} on " in line
    assert "still writes it, though its run was killed; wait for it or stop it" in line
    assert locked(snakemake)
    assert dead.exists()  # so that the job may end its work
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert begin_run(snakemake) == []
    assert not locked(snakemake)
    assert not dead.exists()


def test_a_job_writes_nothing_once_its_run_is_over(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / ".snakemake/elbogap-runs/a.json"
    put(run, ended())  # killed, but no later run has looked yet
    monkeypatch.setenv(RUN, str(run))
    with pytest.raises(UserError, match="the run that started this is over"), sole([path]):  # noqa: PT012
        write(path, "whole")
        run.unlink()
        write(path, "too late")
    assert path.read_text(encoding="utf-8") == "whole"
    with pytest.raises(UserError, match="the run that started this is over"), sole([path]):
        raise AssertionError
    assert list(path.parent.iterdir()) == [path]


def test_where_nothing_can_be_written_nothing_is_recorded(tmp_path: Path) -> None:
    (tmp_path / ".snakemake").write_text("in the way", encoding="utf-8")
    assert begin_run(tmp_path / ".snakemake") == []
    assert os.environ[RUN] == ""
