import numpy as np
import pandas as pd
import pytest

from elbogap import style
from elbogap.papers.qiw import figures as qiw


@pytest.fixture
def density() -> dict[str, np.ndarray]:
    """Off-centre bumps, so that a transposed panel shows."""
    axis = np.linspace(-6, 6, 25)
    x, y = np.meshgrid(axis, axis, indexing="ij")
    bump = np.exp(-0.5 * ((x - 3) ** 2 + (y + 2) ** 2)) / (2 * np.pi)
    return {
        "axis": axis,
        "target": bump,
        "k": np.array([1, 2, 10, 100]),
        "q_iw": np.stack([bump * height for height in (0.2, 0.4, 0.6, 1.0)]),
    }


def test_posterior_panels_are_k_1_10_100_in_place(density: dict[str, np.ndarray]) -> None:
    with style.applied():
        figure = qiw.fig01_posterior_2d(density)
    panels = figure.axes[:4]
    assert [panel.get_title().partition("k = ")[2].strip("$") for panel in panels] == ["", "1", "10", "100"]
    for panel, height in zip(panels[1:], (0.2, 0.6, 1.0), strict=True):
        contours = panel.collections[0]
        assert contours.levels[-1] == pytest.approx(density["target"].max())  # the same levels in all
        assert contours.zmax == pytest.approx(height * density["target"].max())
    innermost = panels[0].collections[0].get_paths()[-3].vertices
    np.testing.assert_allclose(innermost.mean(0), [3, -2], atol=0.3)
    assert all(panel.get_aspect() == 1 and not panel.get_xticks().size for panel in panels)


@pytest.mark.parametrize("kind", ["real", "stand-in"])
def test_reconstructions_lie_in_rows_and_columns(kind: str) -> None:
    random = np.random.default_rng(0)
    images = {"real": random.integers(0, 2, (5, 784)), "q": random.random((5, 10, 784))}
    images["q_iw"] = random.random((5, 10, 784))
    table = pd.DataFrame(
        {
            "method": ["q", "q_iw"] * 2,
            "data": kind,
            "mean_log_p_x_given_z": [-100.0, -80.0, -102.0, -84.0],
            "digit_agreement": [0.5, 0.9, 0.6, 0.8],
        }
    )
    with style.applied():
        figure = qiw.fig02_mnist_reconstructions(images, table)
    shown = [panel.images[0].get_array() for panel in figure.axes]
    np.testing.assert_array_equal(shown[0][28:56], images["real"][1].reshape(28, 28))
    np.testing.assert_array_equal(shown[2][56:84, 84:112], images["q_iw"][2, 3].reshape(28, 28))
    assert "-101.0" in figure.axes[1].get_xlabel()
    assert "85.0%" in figure.axes[2].get_xlabel()
    assert any("STAND-IN" in text.get_text() for text in figure.texts) == (kind == "stand-in")


def test_one_dimensional_panels_show_their_own_rows() -> None:
    z = np.linspace(-7, 7, 15)
    edges = np.linspace(-7, 7, 8)
    densities, histograms = [], []
    for row, training in enumerate(("svi", "iw-svi")):
        for column, k in enumerate((1, 5, 10)):
            key, level = {"training": training, "k": k}, 0.01 * (1 + 3 * row + column)
            curves = {"z": z, "target": 0.1, "q": 0.05, "q_iw": level}
            densities.append(pd.DataFrame(curves).assign(**key))
            bars = {"left": edges[:-1], "right": edges[1:], "density": level}
            histograms.append(pd.DataFrame(bars).assign(**key))
    with style.applied():
        figure = qiw.fig03_posterior_1d(pd.concat(densities), pd.concat(histograms))
    assert len(figure.axes) == 6
    for i, panel in enumerate(figure.axes):
        if i == 3:  # IW-SVI with K = 1 is SVI: its place holds the legend
            assert not panel.lines
            assert len(panel.get_legend().get_texts()) == 4
            continue
        assert panel.lines[2].get_ydata()[0] == pytest.approx(0.01 * (1 + i))
        assert panel.patches[0].get_data().values[0] == pytest.approx(0.01 * (1 + i))
    assert [panel.get_title() for panel in figure.axes[:2]] == ["SVI and IW-SVI, $K = 1$", "SVI, $K = 5$"]
