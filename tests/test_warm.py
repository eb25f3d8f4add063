"""Commands that fork from a warm interpreter behave as those that start one."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import forked
from elbogap import warm

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks are for Linux")
ROOT = Path(__file__).parents[1]
CALL = "import sys; from elbogap import warm; sys.exit(warm.forward(sys.argv[1:]))"
HOURS = {"hidden": [5], "activation": "tanh", "nodes": 10, "steps": 10**8, "learning_rate": 0.001,
         "check_nodes": 100, "target_mse": 0.1, "seed": 0}  # fmt: skip
WORK = ["mapa.surrogate", "--scale", "smoke", "--settings", json.dumps(HOURS), "--keys", "problem=circle",
        "--outputs"]  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    with forked.server() as found:
        yield found


Server = tuple[subprocess.Popen[str], dict[str, str]]


def call(server: Server, *words: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CALL, *words], env=server[1], cwd=folder, text=True, capture_output=True
    )


def test_a_command_runs_in_the_caller_s_folder_with_its_streams(server: Server, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        (ROOT / "config/smoke.yaml").read_text(encoding="utf-8"), encoding="utf-8"
    )
    answer = call(server, "config", "mine.yaml", folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith('{\n  "stand_ins": "always"')
    assert answer.stderr == ""


def test_mistakes_and_help_have_the_status_that_they_have_otherwise(server: Server) -> None:
    answer = call(server, "config", "absent.yaml")
    assert answer.returncode == 2
    assert answer.stderr.startswith("elbogap: absent.yaml: cannot be read")
    assert call(server, "config", "--help").returncode == 0
    assert call(server, "config").returncode == 2


def test_the_environment_is_the_caller_s(server: Server, tmp_path: Path) -> None:
    environment = {**server[1], "ELBOGAP_TIME_BUDGET": "-4711"}
    answer = call((server[0], environment), *WORK, f"surrogate={tmp_path / 'a.npz'}")
    assert answer.returncode == 2
    assert "'-4711'" in answer.stderr


def working(server: Server, folder: Path) -> tuple[subprocess.Popen[str], psutil.Process]:
    """A caller whose command works for long, and the process that does it."""
    words = [*WORK, f"surrogate={folder / 'a.npz'}"]
    caller = subprocess.Popen([sys.executable, "-c", CALL, *words], env=server[1], cwd=folder, text=True)
    claim = folder / ".a.npz.writer"
    deadline = time.monotonic() + 60
    while not claim.exists() or not claim.stat().st_size:
        assert caller.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return caller, psutil.Process(int(claim.read_text(encoding="utf-8").split()[0]))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_are_passed_on(server: Server, tmp_path: Path, number: int) -> None:
    caller, job = working(server, tmp_path)
    assert job.pid != caller.pid
    caller.send_signal(number)
    assert caller.wait(60) == 130
    assert not job.is_running() or job.status() == psutil.STATUS_ZOMBIE
    assert not (tmp_path / ".a.npz.writer").exists()


def test_a_killed_caller_takes_its_command_with_it(server: Server, tmp_path: Path) -> None:
    caller, job = working(server, tmp_path)
    caller.kill()
    assert caller.wait() == -signal.SIGKILL
    assert psutil.wait_procs([job], timeout=60)[1] == []


def test_a_caller_killed_before_it_hears_of_its_command_takes_it_along(
    server: Server, tmp_path: Path
) -> None:
    words = [*WORK, f"surrogate={tmp_path / 'a.npz'}"]
    request = {"argv": words, "folder": str(tmp_path), "environment": server[1]}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(server[1][warm.SOCKET])
        socket.send_fds(connection, [b"."], [0, 1, 2])
        connection.sendall(json.dumps(request).encode() + b"\n")
    assert call(server, "config", "config/smoke.yaml").returncode == 0  # its turn was after the other
    deadline = time.monotonic() + 60
    while at_work := [
        process.pid for process in psutil.process_iter() if folder_of(process) == str(tmp_path)
    ]:
        assert time.monotonic() < deadline, at_work
        time.sleep(0.1)


def folder_of(process: psutil.Process) -> str | None:
    try:
        return process.cwd()
    except psutil.Error:
        return None


def test_the_server_outlives_its_run_only_for_commands_that_still_work(
    tmp_path: Path, server: Server
) -> None:
    parent, environment = server
    caller, job = working(server, tmp_path)
    (process,) = psutil.Process(parent.pid).children()
    parent.kill()
    parent.wait()
    time.sleep(1)
    assert process.is_running()
    assert job.is_running()
    job.kill()
    assert caller.wait(60) == 128 + signal.SIGKILL
    assert psutil.wait_procs([process], timeout=60)[1] == []
    assert not Path(environment[warm.SOCKET]).parent.exists()


def test_without_a_server_nothing_is_forwarded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(warm.SOCKET, raising=False)
    assert warm.forward(["config"]) is None
    monkeypatch.setenv(warm.SOCKET, str(tmp_path / "gone"))
    assert warm.forward(["config"]) is None
