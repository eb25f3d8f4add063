"""Kind C: two writers.

Promise: one process at a time makes a result, also on file systems without locks; a second one is refused in
one line.
"""

import errno
import fcntl
import os
import shutil
import signal
import socket
import threading
from pathlib import Path

import pytest

import forked
import toy_data
from elbogap import cli
from elbogap.data import fetch
from elbogap.data.sources import File
from elbogap.writer import claim_of

toy = toy_data.toy

COMMANDS = {
    "an experiment": ["qiw.posterior_1d", "--scale", "smoke", "--settings", "{}"],
    "a figure": ["figure", "qiw.fig03_posterior_1d", "--scale", "smoke"],
    "the claims": ["claims", "--scale", "smoke"],
    "the report": ["report", "--scale", "smoke"],
    "a data record": ["data", "record", "mnist", "--stand-ins", "always"],
}
OUTPUTS = {
    "the claims": ["csv=out/file", "effects=out/more", "html=out/other"],
    "the report": ["pdf=out/file"],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*words: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setattr(fcntl, "lockf", flock)


@pytest.mark.parametrize("kind", COMMANDS)
def test_every_command_that_makes_results_leaves_another_writers_alone(
    folder: Path, no_locks: None, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    claim = claim_of(Path("out/file"))
    claim.parent.mkdir()
    text = "4711\nelsewhere\n"
    claim.write_text(text, encoding="utf-8")
    assert cli.main([*COMMANDS[kind], "--outputs", *OUTPUTS.get(kind, ["record=out/file"])]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("elbogap: out/file: process 4711 on elsewhere writes it; wait for it or stop it")
    assert list(claim.parent.iterdir()) == [claim]
    assert claim.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("words", [[], ["--add"], ["--costs-only"]])
def test_one_process_at_a_time_records_runs(
    folder: Path, no_locks: None, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    (folder / "paper").mkdir()
    (folder / "paper/report.typ").touch()
    claim = claim_of(folder / "results/reference/cost.csv")
    claim.parent.mkdir(parents=True)
    claim.write_text("4711\nelsewhere\n", encoding="utf-8")
    assert cli.main(["reference", "--scale", "smoke", "--project", str(folder), *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "cost.csv: process 4711 on elsewhere writes it" in line
    assert list(claim.parent.iterdir()) == [claim]


def test_a_profile_makes_no_results_and_claims_its_table_alone() -> None:
    words = ["qiw.posterior_1d", "--scale", "smoke", "--settings", "{}", "--outputs", "fits=out/file"]
    assert cli._made(cli._parse(words)) == [Path("out/file")]
    assert cli._made(cli._parse([*words, "--profile", "paces.csv"])) == [Path("paces.csv")]


def test_an_interrupted_command_gives_up_its_claims(
    folder: Path, toy: toy_data.Define, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELBOGAP_CACHE", str(folder / "cache"))
    monkeypatch.delenv("ELBOGAP_MIRROR", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:  # it is told to end while it waits for an answer
        server.settimeout(60)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/file"
        toy(File("file", sha256="0" * 64, addresses=(address,)), name="mnist")
        words = ["data", "record", "mnist", "--stand-ins", "never", "--outputs", "record=out/file"]
        pid = forked.start(words, folder / "log")
        connection, _ = server.accept()
        assert claim_of(Path("out/file")).is_file()
        os.kill(pid, signal.SIGTERM)
        assert forked.finish(pid) == 130
        connection.close()
    assert list(Path("out").iterdir()) == []


def test_a_file_system_without_locks_will_do(folder: Path, no_locks: None) -> None:
    words = ["data", "record", "mnist", "--stand-ins", "always", "--outputs", "record=out/mnist.json"]
    assert cli.main(words) == 0
    assert {path.name for path in Path("out").iterdir()} == {"mnist.json", "mnist.json.provenance.json"}


def test_two_may_bring_one_file_into_the_cache(
    folder: Path, no_locks: None, toy: toy_data.Define, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"images" * 1000
    (folder / "mirror").mkdir()
    (folder / "mirror/file").write_bytes(content)
    monkeypatch.setenv("ELBOGAP_CACHE", str(folder / "cache"))
    monkeypatch.setenv("ELBOGAP_MIRROR", str(folder / "mirror"))
    toy(File("file", sha256=toy_data.sha(content)))
    both, copy, found = threading.Barrier(2, timeout=60), shutil.copyfile, []

    def copyfile(source: Path, target: Path) -> None:
        target.write_bytes(content[:100])
        both.wait()
        copy(source, target)
        both.wait()

    monkeypatch.setattr(shutil, "copyfile", copyfile)
    threads = [threading.Thread(target=lambda: found.append(fetch.obtain("toy"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.origin for one in found] == ["mirror", "mirror"]
    assert {path.name: path.read_bytes() for path in (folder / "cache").iterdir()} == {"file": content}
