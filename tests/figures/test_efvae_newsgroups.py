import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from elbogap import style
from elbogap.papers.efvae import figures as efvae


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rows = [
        {"part": part, "bits": bits, "hidden": hidden, "encoder": f"e{number}", "data": "real"}
        | {"nelbo": 400.0 + 10 * number - bits + (part == "test"), "unigram": 470.0 + (part == "test")}
        for part in ("train", "test")
        for bits in (32, 8)
        for hidden in (0, 1)
        for number in (1, 2, 3)
    ]
    table = pd.DataFrame(rows)
    return table.assign(nelbo_last=table["nelbo"] + 3, published=table["nelbo"] - 5)


@pytest.fixture(scope="module")
def drawn(table: pd.DataFrame) -> Figure:
    with style.applied():
        return efvae.fig_newsgroups(table)


def test_each_panel_shows_its_part_and_depth(drawn: Figure, table: pd.DataFrame) -> None:
    assert len(drawn.axes) == 4
    for panel, (part, hidden) in zip(
        drawn.axes, [("train", 0), ("train", 1), ("test", 0), ("test", 1)], strict=True
    ):
        shown = table[(table["part"] == part) & (table["hidden"] == hidden)]
        unigram, *lines = panel.get_lines()
        assert unigram.get_ydata()[0] == shown["unigram"].iloc[0]
        assert len(lines) == 9
        for number, encoder in enumerate(("e1", "e2", "e3")):
            own = shown[shown["encoder"] == encoder].sort_values("bits")
            best, last, published = lines[3 * number : 3 * number + 3]
            for line, metric in ((best, "nelbo"), (last, "nelbo_last"), (published, "published")):
                np.testing.assert_array_equal(line.get_xdata(), [8, 32])
                np.testing.assert_array_equal(line.get_ydata(), own[metric])
                assert to_hex(line.get_color()) == efvae.ENCODERS[encoder][0].lower()
            assert published.get_linestyle() == "None"


def test_labels_name_depth_part_and_lines(drawn: Figure) -> None:
    assert [panel.get_title() for panel in drawn.axes[:2]] == ["linear decoder", "1 hidden layer"]
    assert [panel.get_ylabel() for panel in drawn.axes[::2]] == ["train NELBO / nats", "test NELBO / nats"]
    (legend,) = drawn.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert len(labels) == 6
    assert {"unigram", "after the last epoch", "published"} < set(labels)


def test_stand_ins_are_marked(table: pd.DataFrame, drawn: Figure) -> None:
    assert drawn.texts == []
    with style.applied():
        marked = efvae.fig_newsgroups(table.assign(data="stand-in"))
    assert [text.get_text() for text in marked.texts] == ["STAND-IN DATA"]
