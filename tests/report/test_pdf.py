"""The report typeset for real."""

import html
import re
from pathlib import Path

import pytest
from made_up_run import finished_run

from elbogap.errors import UserError
from elbogap.places import Places
from elbogap.report.gather import gather
from elbogap.report.pdf import compile_report


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return finished_run(tmp_path)


def text_of(places: Places) -> str:
    """The words of the report, from Typst's own HTML export."""
    output = places.work / "report.html"
    compile_report(gather("smoke", places), places.paper, places.work, output)
    words = re.sub(r"<[^>]+>", " ", output.read_text(encoding="utf-8")).replace("\u200b", "")
    return " ".join(html.unescape(words).split())


def test_equal_runs_give_equal_bytes(places: Places, tmp_path: Path) -> None:
    report = gather("smoke", places)
    for name in ("a.pdf", "b.pdf"):
        compile_report(report, places.paper, places.work, tmp_path / name)
    first = (tmp_path / "a.pdf").read_bytes()
    assert first == (tmp_path / "b.pdf").read_bytes()
    assert first.startswith(b"%PDF-1.")
    assert b"/CreationDate" not in first


def test_each_page_is_drawn(places: Places, tmp_path: Path) -> None:
    compile_report(gather("smoke", places), places.paper, places.work, tmp_path / "page{p}.png")
    assert len(list(tmp_path.glob("page*.png"))) >= 3


def test_the_report_says_what_was_gathered(places: Places) -> None:
    text = text_of(places)
    for words in (
        "Reinterpreting Importance-Weighted Autoencoders",
        "#strong[not typst] $x$ <label> @ref",  # the notes' words are words, not Typst source
        "The density of q_IW. Grid of 101 x 101 points.",
        "not built at this scale One-dimensional panels.",
        "STAND-IN DATA",
        "Published or reference values",
        "reproduced: KL falls below 1e-2.",
        "0.0312",
        "12 s, 850 MiB",
        "4c52be9252db",
        "0123456789abcdef",
    ):
        assert words in text, words


def test_verdicts_are_told_by_word(places: Places) -> None:
    path = places.results("smoke") / "claims.csv"
    path.write_text(
        path.read_text(encoding="utf-8").replace(",reproduced,", ",not reproduced,"), encoding="utf-8"
    )
    assert "not reproduced: KL falls below 1e-2." in text_of(places)


def test_missing_parts_are_marked(places: Places) -> None:
    (places.paper / "notes" / "qiw.md").unlink()
    (places.results("smoke") / "claims.csv").unlink()
    (places.results("smoke") / "benchmarks" / "qiw" / "posterior_2d.jsonl").unlink()
    text = text_of(places)
    for words in ("no notes on this document", "no claims were checked", "no benchmark records"):
        assert words in text


def test_a_broken_figure_is_one_clear_line(places: Places, tmp_path: Path) -> None:
    (places.work / "figures/smoke/qiw/fig01_posterior_2d.pdf").write_bytes(b"nothing")
    with pytest.raises(UserError, match="cannot be typeset"):
        compile_report(gather("smoke", places), places.paper, places.work, tmp_path / "report.pdf")
