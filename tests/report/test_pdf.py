"""The report typeset for real."""

import html
import re
from pathlib import Path

import pytest
from made_up_run import finished_run

from elbogap.errors import UserError
from elbogap.places import Places
from elbogap.report.gather import gather
from elbogap.report.pdf import typeset
from published import change_result, write_result


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return finished_run(tmp_path)


def text_of(places: Places) -> str:
    """The words of the report, from Typst's own HTML export."""
    (page,) = typeset(gather("smoke", places), places.paper, places.work, "html")
    words = re.sub(r"<[^>]+>", " ", page.decode("utf-8")).replace("\u200b", "")
    return " ".join(html.unescape(words).split())


def test_equal_runs_give_equal_bytes(places: Places) -> None:
    report = gather("smoke", places)
    (first,), (second,) = (typeset(report, places.paper, places.work) for _ in range(2))
    assert first == second
    assert first.startswith(b"%PDF-1.")
    assert b"/CreationDate" not in first


def test_each_page_is_drawn(places: Places) -> None:
    pages = typeset(gather("smoke", places), places.paper, places.work, "png")
    assert len(pages) >= 3
    assert all(page.startswith(b"\x89PNG") for page in pages)


def test_the_report_says_what_was_gathered(places: Places) -> None:
    text = text_of(places)
    for words in (
        "Reinterpreting Importance-Weighted Autoencoders",
        "#strong[not typst] $x$ <label> @ref",  # the notes' words are words, not Typst source
        "Figure 1: The density of q_IW. STAND-IN DATA Grid of 101 x 101 points.",
        "not built at this scale Figure 3 fig03_posterior_1d .",
        "Table 1 (ours) (Bounds in nats, tab01_bounds ) STAND-IN DATA",
        "reproduced: KL falls below 1e-2.",
        "reproduced −0.0304 (−0.04 to −0.02): KL falls below 1e-2. Figure 1. "
        "Holds if kl decreasing along k, up to 0.01 a step. Published: 0.445. qiw-kl-falls-with-k",
        "0 of the documents’ 1 findings are undecided",
        "take 12 s of wall time, and the largest needs 850 MiB of memory",
        "4c52be9252db",
        "0123456789abcdef",
    ):
        assert words in text, words


def test_verdicts_are_told_by_word(places: Places) -> None:
    change_result(places.results("smoke") / "claims.csv", ",reproduced,", ",contradicted,")
    assert "contradicted: KL falls below 1e-2." in text_of(places)


def test_missing_parts_are_marked(places: Places) -> None:
    (places.paper / "qiw" / "notes.md").unlink()
    (places.results("smoke") / "claims.csv").unlink()
    (places.results("smoke") / "benchmarks" / "qiw" / "posterior_2d.jsonl").unlink()
    text = text_of(places)
    for words in ("no notes on this document", "no claims were checked", "no benchmark records"):
        assert words in text


def test_a_broken_figure_is_one_clear_line(places: Places) -> None:
    write_result(places.work / "figures/smoke/qiw/fig01_posterior_2d.pdf", b"nothing")
    with pytest.raises(UserError, match="cannot be typeset"):
        typeset(gather("smoke", places), places.paper, places.work)


def test_notes_that_the_report_cannot_show_are_one_clear_line(places: Places) -> None:
    (places.paper / "qiw" / "notes.md").write_text("![picture](a.png)", encoding="utf-8")
    with pytest.raises(UserError, match=r"cannot be typeset: .* does not know: image"):
        typeset(gather("smoke", places), places.paper, places.work)
