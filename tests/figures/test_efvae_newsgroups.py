import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from elbogap import style
from elbogap.papers.efvae import figures as efvae


@pytest.fixture(scope="module")
def curves() -> pd.DataFrame:
    rows = [
        {"part": part, "bits": bits, "hidden": hidden, "encoder": encoder, "seed": seed, "epoch": epoch}
        | {"nelbo": 400.0 + 10 * k - bits + seed - epoch + (part == "test"), "published": 390.0 + k}
        for part in ("train", "test")
        for bits in (32, 8)
        for hidden in (0, 1)
        for k, encoder in enumerate(("e1", "e2", "e3_scaled"))
        for seed in (0, 1)
        for epoch in (5, 10)
    ]
    curves = pd.DataFrame(rows).assign(data="real", unigram=lambda frame: 470.0 + (frame["part"] == "test"))
    curves.loc[curves["encoder"] == "e3_scaled", "published"] = np.nan
    return curves


@pytest.fixture(scope="module")
def drawn(curves: pd.DataFrame) -> Figure:
    with style.applied():
        return efvae.fig_newsgroups(curves)


def test_each_panel_shows_test_means_and_ranges_of_its_cell(drawn: Figure, curves: pd.DataFrame) -> None:
    assert len(drawn.axes) == 4
    for panel, (bits, hidden) in zip(drawn.axes, [(8, 0), (8, 1), (32, 0), (32, 1)], strict=True):
        cell = curves[(curves["bits"] == bits) & (curves["hidden"] == hidden) & (curves["part"] == "test")]
        *lines, unigram = panel.get_lines()
        assert unigram.get_ydata()[0] == 471
        assert len(lines) == 6
        for k, encoder in enumerate(("e1", "e2", "e3_scaled")):
            mean, published = lines[2 * k : 2 * k + 2]
            np.testing.assert_array_equal(mean.get_xdata(), [5, 10])
            rows = cell[cell["encoder"] == encoder]
            np.testing.assert_allclose(mean.get_ydata(), rows.groupby("epoch")["nelbo"].mean(), atol=1e-9)
            assert to_hex(mean.get_color()) == efvae.ENCODERS[encoder][0].lower()
            np.testing.assert_array_equal(published.get_ydata(), rows["published"].iloc[:1])
            band = panel.collections[k].get_paths()[0].vertices[:, 1]
            assert (band.min(), band.max()) == (rows["nelbo"].min(), rows["nelbo"].max())


def test_labels_name_length_depth_and_lines(drawn: Figure) -> None:
    titles = [panel.get_title() for panel in drawn.axes[:2]]
    assert titles == ["8 bits, linear decoder", "8 bits, 1 hidden layer"]
    assert drawn.axes[0].get_ylabel() == "test NELBO / nats"
    (legend,) = drawn.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert len(labels) == 5
    assert {"unigram", "published"} < set(labels)


def test_stand_ins_are_marked(curves: pd.DataFrame, drawn: Figure) -> None:
    assert drawn.texts == []
    with style.applied():
        marked = efvae.fig_newsgroups(curves.assign(data="stand-in"))
    assert [text.get_text() for text in marked.texts] == ["STAND-IN DATA"]
