"""The commands of the data layer, as a user calls them."""

import json
from pathlib import Path

import pytest

from elbogap import cli
from elbogap.data.sources import File
from loopback import Server
from toy_data import Define, sha

CONTENT = b"real data"
SHA = sha(CONTENT)


def test_fetch_one_line_per_data_set(only_toy: Define, server: Server, capsys: pytest.CaptureFixture) -> None:
    address = server.serve("/file", CONTENT)
    only_toy(File("file", sha256=SHA, addresses=(address,)))
    assert cli.main(["data", "fetch"]) == 0
    assert capsys.readouterr().out == f"toy: from {address} (canonical), verified by sha256\n"
    assert cli.main(["data", "fetch", "toy"]) == 0
    assert capsys.readouterr().out == "toy: from cache (canonical), verified by sha256\n"


def test_fetch_fails_if_any_fails(only_toy: Define, server: Server, capsys: pytest.CaptureFixture) -> None:
    address = server.serve("/file", b"wrong")
    only_toy(File("file", sha256=SHA, addresses=(address,)))
    assert cli.main(["data", "fetch"]) == 1
    error = capsys.readouterr().err
    assert "FAILED toy: nothing serves it (see http://page.invalid); tried: cache" in error
    assert f"{address}: sha256 expected {SHA}, got {sha(b'wrong')}; not used" in error


def test_fetch_of_an_unknown_name(capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["data", "fetch", "mnsit"]) == 2
    assert "no data set 'mnsit'" in capsys.readouterr().err


def test_status_says_where_and_how_verified_without_network(
    only_toy: Define, server: Server, cache: Path, capsys: pytest.CaptureFixture
) -> None:
    only_toy(File("file", sha256=SHA, addresses=(server.serve("/file", CONTENT),)))
    cli.main(["data", "status"])
    before = capsys.readouterr().out
    assert "not here: would come from 127.0.0.1" in before
    (cache / "file").write_bytes(CONTENT)
    cli.main(["data", "status"])
    after = capsys.readouterr().out
    assert "cache (canonical)" in after
    assert "sha256" in after
    (cache / "file").write_bytes(b"damaged")
    cli.main(["data", "status"])
    assert f"expected {SHA}" in capsys.readouterr().err
    assert server.requests == []


def test_record_writes_the_record(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "results" / "hapt.json"
    words = ["data", "record", "hapt", "--stand-ins", "always", "--state", "settled"]
    assert cli.main([*words, "--outputs", f"record={out}"]) == 0
    record = json.loads(out.read_text(encoding="utf-8"))
    assert (record["dataset"], record["kind"], record["state"]) == ("hapt", "stand-in", "settled")
    assert capsys.readouterr().out.startswith("hapt: stand-in")


@pytest.mark.parametrize("output", ["r.json", "table=r.json", "record="])
def test_record_is_written_to_a_named_output(output: str, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["data", "record", "hapt", "--stand-ins", "always", "--outputs", output]) == 2
    assert "record=FILE" in capsys.readouterr().err


def test_record_under_never_fails_with_one_line(
    only_toy: Define, dead_address: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    only_toy(File("file", sha256=SHA, addresses=(dead_address,)))
    out = tmp_path / "toy.json"
    assert cli.main(["data", "record", "toy", "--stand-ins", "never", "--outputs", f"record={out}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("elbogap: toy: nothing serves it")
    assert not out.exists()
