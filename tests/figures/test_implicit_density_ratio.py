"""Figure 1 of document implicit from made-up tables, each line at a level of its own."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from elbogap import style
from elbogap.papers.implicit import figures as implicit

COUNTS = (1, 5, 20)
LOG_EVIDENCE = -1.5


def inputs() -> dict[str, object]:
    steps = np.arange(1, 11) * 50
    curves = [
        {
            "discriminator_steps": count,
            "seed": seed,
            "step": step,
            "elbo": LOG_EVIDENCE - 2 / count - 0.01 * seed,
            "elbo_estimate": LOG_EVIDENCE + 1 / count + 0.01 * seed,
        }
        for count in COUNTS
        for seed in range(3)
        for step in steps
    ]
    axis = np.linspace(-4, 4, 41)
    z = np.random.default_rng(0).normal(size=(3, 50, 2)) * 0.1
    samples = {
        "axis": axis,
        "posterior": np.exp(-0.5 * ((axis[:, None] - 1) ** 2 + axis**2)),
        "log_evidence": np.array(LOG_EVIDENCE),
        "discriminator_steps": np.array(COUNTS),
        "z": z + np.arange(3)[:, None, None] * 0.5,
    }
    dimensions = [
        {
            "dimension": dimension,
            "part": part,
            "seed": seed,
            "kl": 1.0,
            "kl_estimate": level * dimension + seed,
            "accuracy": 0.9 * level,
            "certain": 0.5 * level,
        }
        for dimension in (1, 10, 50)
        for part, level in (("training", 0.8), ("held-out", 0.3))
        for seed in range(3)
    ]
    table = pd.DataFrame({"kl": [1.0], "exact_certain": [0.006], "exact_accuracy": [0.76]})
    return {
        "curves": pd.DataFrame(curves),
        "samples": samples,
        "dimensions": pd.DataFrame(dimensions),
        "table": table,
    }


@pytest.fixture(scope="module")
def figure() -> Figure:
    with style.applied():
        return implicit.fig01_density_ratio(**inputs())


def test_draws_are_those_of_the_fewest_and_the_most_steps(figure: Figure) -> None:
    for panel, number, word in ((0, 0, "1 step of"), (1, 2, "20 steps of")):
        axes = figure.axes[panel]
        assert word in axes.get_title()
        (cloud,) = axes.lines
        np.testing.assert_array_equal(np.stack(cloud.get_data(), 1), inputs()["samples"]["z"][number])
        low, high = axes.get_xlim()
        assert low < 1 < high
        assert (low + high) / 2 == pytest.approx(
            1, abs=0.3
        )  # around the posterior, which is not at the centre
        assert np.mean(axes.get_ylim()) == pytest.approx(0, abs=0.3)


def test_curves_are_medians_with_bands_over_seeds(figure: Figure) -> None:
    panel = figure.axes[2]
    levels = [line.get_ydata()[-1] for line in panel.lines]
    expected = [
        level
        for count in COUNTS
        for level in (LOG_EVIDENCE - 2 / count - 0.01, LOG_EVIDENCE + 1 / count + 0.01)
    ]
    np.testing.assert_allclose(levels, [*expected, LOG_EVIDENCE], atol=1e-12)
    bands = [band.get_paths()[0].get_extents().intervaly for band in panel.collections]
    np.testing.assert_allclose(bands[0], [LOG_EVIDENCE - 2.02, LOG_EVIDENCE - 2], atol=1e-12)
    assert len(bands) == 6


def test_dimensions_show_means_ranges_and_the_exact_value(figure: Figure) -> None:
    for panel, level, truth in ((3, None, 1.0), (4, 0.5, 0.006), (5, 0.9, 0.76)):
        axes = figure.axes[panel]
        bars = [one for one in axes.containers if isinstance(one, ErrorbarContainer)]
        training, held_out = (bar.lines[0].get_xydata()[:, 1] for bar in bars)
        if level is None:
            np.testing.assert_allclose(training, 0.8 * np.array([1, 10, 50]) + 1, atol=1e-12)
            np.testing.assert_allclose(held_out, 0.3 * np.array([1, 10, 50]) + 1, atol=1e-12)
            ends = np.array([segment[:, 1] for segment in bars[0].lines[2][0].get_segments()])
            np.testing.assert_allclose(ends - training[:, None], [[-1, 1]] * 3, atol=1e-12)
        else:
            np.testing.assert_allclose(training, 0.8 * level, atol=1e-12)
            np.testing.assert_allclose(held_out, 0.3 * level, atol=1e-12)
        assert axes.lines[-1].get_ydata()[0] == truth


def test_every_panel_is_named_and_no_text_is_clipped(figure: Figure) -> None:
    with style.applied():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    renderer = canvas.get_renderer()
    assert [panel.get_title()[:3] for panel in figure.axes] == [f"({letter})" for letter in "abcdef"]
    titles = [panel.title.get_window_extent(renderer) for panel in figure.axes]
    assert all(left.x1 < right.x0 for left, right in ((titles[0], titles[1]), (titles[1], titles[2])))
    for panel in figure.axes:
        for text in (panel.title, panel.xaxis.label, panel.yaxis.label):
            assert text.get_text()
            box = text.get_window_extent(renderer)
            assert box.x0 >= 0
            assert box.y0 >= 0
            assert box.x1 <= figure.bbox.width
            assert box.y1 <= figure.bbox.height
    legend = figure.axes[2].get_legend().get_window_extent(renderer)
    assert legend.x0 >= figure.axes[2].bbox.x0
