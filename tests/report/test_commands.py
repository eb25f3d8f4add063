"""The subcommands, through the command line."""

import argparse
import json
from pathlib import Path

import pytest
from made_up_run import finished_run

from elbogap.cli import main
from elbogap.report import commands


def test_report_writes_the_pdf_and_its_provenance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = finished_run(tmp_path)
    monkeypatch.chdir(places.work)
    words = ["report", "--scale", "smoke", "--project", str(places.project)]
    assert main([*words, "--outputs", "pdf=results/smoke/report.pdf"]) == 0
    assert Path("results/smoke/report.pdf").read_bytes().startswith(b"%PDF")
    record = json.loads(Path("results/smoke/report.pdf.provenance.json").read_text(encoding="utf-8"))
    assert {"results/smoke/qiw/tab01_bounds.csv", "results/smoke/claims.csv"} <= set(record["inputs"])


def test_mistakes_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    places = finished_run(tmp_path)
    monkeypatch.chdir(places.work)
    words = ["report", "--project", str(places.project), "--scale"]
    assert main([*words, "smoke", "--outputs", "report.pdf"]) == 2
    assert main([*words, "paper", "--outputs", "pdf=report.pdf"]) == 2
    assert main(["reference", "--scale", "paper", "--project", str(tmp_path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(";")[0] for line in lines] == [
        "elbogap: --outputs must be pdf=FILE, not report.pdf",
        "elbogap: no results at scale 'paper'",
        f"elbogap: {tmp_path} is not a checkout of elbogap (no paper/report.typ)",
    ]


def test_reference_tells_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    places = finished_run(tmp_path)
    monkeypatch.chdir(places.work)
    assert main(["reference", "--scale", "smoke", "--project", str(places.project)]) == 0
    assert "recorded 9 files of scale smoke" in capsys.readouterr().out


def test_the_commands_are_registered() -> None:
    parser = argparse.ArgumentParser()
    commands.register(parser.add_subparsers())
    assert parser.parse_args(["pages", "--check"]).check
