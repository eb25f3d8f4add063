import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from matplotlib.text import Text

from elbogap import style
from elbogap.papers.implicit import figures as implicit

PANELS = ("gaussian_1", "mixture_1", "banana_1", "banana_2")
WIDTHS = {"target": 1.0, "kl": 0.3, "vcd": 0.6}


@pytest.fixture(scope="module")
def densities() -> dict[str, np.ndarray]:
    """Round bumps whose widths say what they are, centred differently in each panel."""
    arrays = {}
    axis = np.linspace(-4, 4, 81)
    for number, key in enumerate(PANELS):
        arrays |= {f"{key}_z1": axis, f"{key}_z2": axis + 10 * number}
        for name, width in WIDTHS.items():
            bump = np.exp(-0.5 * ((axis[:, None] - 0.5 * number) ** 2 + axis**2) / width**2)
            arrays[f"{key}_{name}"] = bump / width**2
    return arrays


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    alpha = [
        {"t": t, "alpha": share, "seed": seed, "deviation": t + share + 0.01 * seed}
        for t in (1, 3)
        for share in (0.0, 1.0)
        for seed in range(3)
    ]
    optima = [
        {"t": t, "alpha": share, "deviation": level + share}
        for t, level in ((1.0, 1.5), (3.0, 3.5), (math.inf, 9.0))
        for share in (0.0, 1.0)
    ]
    return {"alpha": pd.DataFrame(alpha), "optima": pd.DataFrame(optima)}


@pytest.fixture(scope="module")
def toys_figure(densities: dict[str, np.ndarray]) -> Figure:
    toys = [
        {"target": key[:-2], "components": int(key[-1]), "method": method, "seed": seed}
        | {"variance": number + WIDTHS[method] + 0.01 * seed}
        for number, key in enumerate(PANELS)
        for method in ("kl", "vcd")
        for seed in range(3)
    ]
    with style.applied():
        return implicit.fig05_vcd_toys(densities, pd.DataFrame(toys))


@pytest.fixture(scope="module")
def alpha_figure(tables: dict[str, pd.DataFrame]) -> Figure:
    with style.applied():
        return implicit.fig07_alpha_vcd(**tables)


def contours(figure: Figure, panel: int) -> list[QuadContourSet]:
    return [one for one in figure.axes[panel].collections if isinstance(one, QuadContourSet)]


def half_width(lines: QuadContourSet) -> float:
    """Of the outermost line, along z_1."""
    (outermost, *_) = lines.get_paths()
    return float(np.ptp(outermost.vertices[:, 0])) / 2


def test_each_panel_has_its_own_contours(toys_figure: Figure) -> None:
    for number in range(len(PANELS)):
        found = contours(toys_figure, number)
        assert [len(lines.levels) for lines in found] == [4, 3, 3]
        colours = [to_hex(lines.get_edgecolor()[0]) for lines in found]
        assert colours == [one.lower() for one in (style.ORANGE, style.BLUE, style.GREEN)]
        heights = [1 / 5, 1 / 4, 1 / 4]
        expected = [
            width * math.sqrt(-2 * math.log(height))
            for width, height in zip((1.0, 0.3, 0.6), heights, strict=True)
        ]
        np.testing.assert_allclose([half_width(lines) for lines in found], expected, rtol=0.03, atol=1e-12)
        centre = found[2].get_paths()[0].vertices.mean(0)
        np.testing.assert_allclose(centre, [0.5 * number, 10 * number], atol=0.05)
    titles = [panel.get_title() for panel in toys_figure.axes[: len(PANELS)]]
    assert [title[:3] for title in titles] == ["(a)", "(b)", "(c)", "(d)"]
    labels = [text.get_text() for text in toys_figure.legends[0].get_texts()]
    assert labels == ["target", "standard KL", "VCD"]


def test_widths_have_points_with_intervals_and_the_optimum_of_their_own_t(alpha_figure: Figure) -> None:
    panel = alpha_figure.axes[0]
    points = {one.get_label(): one for one in panel.containers}
    for t in (1, 3):
        line, _, bars = points[f"$t = {t}$"]
        np.testing.assert_allclose(line.get_ydata().astype(float), [t + 0.01, t + 1.01], atol=1e-12)
        segments = bars[0].get_segments()
        np.testing.assert_allclose(np.ptp(segments[0][:, 1]), 0.02, atol=1e-12)
        curve = [one for one in panel.lines if one.get_color() == line.get_color() and one is not line]
        assert [1.5 + t - 1, 2.5 + t - 1] in [list(one.get_ydata()) for one in curve]
    limit = next(one for one in panel.lines if "infty" in str(one.get_label()))
    assert list(limit.get_ydata()) == [9.0, 10.0]


def test_variances_of_all_seeds_are_shown_below_their_panel(toys_figure: Figure) -> None:
    for number, strip in enumerate(toys_figure.axes[len(PANELS) :]):
        vcd, kl = (line.get_xdata().astype(float) for line in strip.lines)
        np.testing.assert_allclose(vcd, number + 0.6 + 0.01 * np.arange(3), atol=1e-12)
        np.testing.assert_allclose(kl, number + 0.3 + 0.01 * np.arange(3), atol=1e-12)


@pytest.mark.parametrize("name", ["toys_figure", "alpha_figure"])
def test_no_text_is_clipped_and_titles_do_not_meet(name: str, request: pytest.FixtureRequest) -> None:
    figure = request.getfixturevalue(name)
    with style.applied():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        renderer = canvas.get_renderer()
        ends = []
        for panel in figure.axes:
            for text in filter(Text.get_text, (panel.title, panel.xaxis.label, panel.yaxis.label)):
                box = text.get_window_extent(renderer)
                assert box.x0 >= 0
                assert box.y0 >= 0
                assert box.x1 <= figure.bbox.width
                assert box.y1 <= figure.bbox.height
            title = panel.title.get_window_extent(renderer)
            if panel.get_title():
                ends.append((title.x0, title.x1))
        assert all(left[1] < right[0] for left, right in pairwise(ends))
