"""Figures 3 and 4 of document implicit from made-up tables."""

from collections.abc import Iterator
from itertools import pairwise, product

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from elbogap import style
from elbogap.papers.implicit import figures as implicit

METHODS = ("explicit", "sivi", "uivi")
NAMES = {"explicit": "mean field", "sivi": "SIVI", "uivi": "UIVI"}
SECONDS = {"explicit": 0.001, "sivi": 0.03, "uivi": 0.02}


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


def elbo(dataset: str, method: str, seed: int, iteration: int) -> float:
    """A value of its own for each place, so that a swapped line shows."""
    start = {"mnist": -4000, "hapt": -3000}[dataset] + 100 * METHODS.index(method) + 10 * seed
    return start - 1e5 / iteration


def curves(dataset: str, variant: str = "canonical", data: str = "real", factor: float = 1) -> pd.DataFrame:
    rows = [
        {
            "dataset": dataset, "data": data, "variant": variant, "cell": method, "method": method,
            "seed": seed, "iteration": iteration, "seconds_per_iteration": factor * SECONDS[method],
            "elbo": elbo(dataset, method, seed, iteration),
            "test_loglik": elbo(dataset, method, seed, iteration) / 1000 + 7,
        }
        for method, seed, iteration in product(METHODS, range(3), range(100, 2100, 100))
    ]  # fmt: skip
    return pd.DataFrame(rows).sample(frac=1, random_state=0, ignore_index=True)


def figure_3(hapt: pd.DataFrame | None = None) -> Figure:
    whole = [curves("mnist"), curves("hapt", "mirror", factor=100) if hapt is None else hapt]
    with style.applied():
        return implicit.fig03_softmax_regression(pd.concat(whole, ignore_index=True))


def figure_4(data: str = "real") -> Figure:
    parts = [
        curves("mnist", data=data).query("method == @method").assign(hmc_iterations=number, method="uivi")
        for number, method in zip((20, 1, 5), METHODS, strict=True)
    ]
    with style.applied():
        return implicit.fig04_hmc_iterations(pd.concat(parts))


def lines(panel: Axes) -> dict[str, np.ndarray]:
    return {line.get_label(): line.get_xydata() for line in panel.lines}


def test_figure_3_has_both_data_sets_against_time_and_iterations() -> None:
    panels = figure_3().axes
    titles = ["MNIST", "MNIST", "HAPT,\nfeatures recomputed", "HAPT,\nfeatures recomputed"]
    assert [panel.get_title() for panel in panels[:4]] == titles
    assert [panel.get_xlabel() for panel in panels[4:]] == [
        "time / s",
        "iteration",
        "time / min",
        "iteration",
    ]
    assert [panel.get_ylabel() for panel in panels[::4]] == ["ELBO / nats", "test $\\log p$ per point / nats"]


def test_official_features_are_not_called_recomputed() -> None:
    panels = figure_3(curves("hapt")).axes
    assert [panel.get_title() for panel in panels[:4]] == ["MNIST", "MNIST", "HAPT", "HAPT"]


def test_figure_3_shows_means_over_seeds_and_scales_iterations_to_time() -> None:
    panels = figure_3().axes
    iterations = np.arange(100, 2100, 100)
    factors = [1.0, None, 100 / 60, None]
    for column, row in product(range(4), range(2)):
        dataset = ("mnist", "hapt")[column // 2]
        found = lines(panels[4 * row + column])
        assert list(found) == ["UIVI", "SIVI", "mean field"]
        for method in METHODS:
            values = np.array([elbo(dataset, method, 1, iteration) for iteration in iterations])
            factor = factors[column]
            x = iterations * (1 if factor is None else factor * SECONDS[method])
            expected = values if row == 0 else values / 1000 + 7
            np.testing.assert_allclose(found[NAMES[method]], np.transpose([x, expected]), atol=1e-12)


def test_bands_are_the_range_over_seeds() -> None:
    panel = figure_4().axes[0]
    for band, method in zip(panel.collections, ("sivi", "uivi", "explicit"), strict=True):
        points = band.get_paths()[0].vertices
        at_end = points[points[:, 0] == 2000][:, 1]
        ends = [elbo("mnist", method, seed, 2000) for seed in (0, 2)]
        np.testing.assert_allclose([at_end.min(), at_end.max()], ends, atol=1e-12)


def test_figure_4_has_a_line_per_number_of_iterations_in_order() -> None:
    panel = figure_4().axes[0]
    assert list(lines(panel)) == ["1", "5", "20"]
    expected = [elbo("mnist", "sivi", 1, iteration) for iteration in range(100, 2100, 100)]
    np.testing.assert_allclose(lines(panel)["1"][:, 1], expected, atol=1e-12)
    assert panel.get_legend().get_title().get_text() == "HMC iterations"


def test_only_the_first_fifth_may_leave_the_panels() -> None:
    for panel in (*figure_3().axes[:4], figure_4().axes[0]):
        low, high = panel.get_ylim()
        for points in lines(panel).values():
            assert points[0, 1] < low
            assert (points[4:, 1] > low).all()
            assert (points[:, 1] < high).all()


@pytest.mark.parametrize("kind", ["real", "stand-in"])
def test_figures_of_stand_ins_say_so(kind: str) -> None:
    for figure in (figure_3(curves("hapt", data=kind)), figure_4(kind)):
        assert any("STAND-IN" in text.get_text() for text in figure.texts) == (kind == "stand-in")


def test_no_label_is_clipped_and_no_title_runs_into_the_next() -> None:
    for figure in (figure_3(), figure_4()):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        renderer = canvas.get_renderer()
        for panel in figure.axes:
            for text in (panel.title, panel.xaxis.label, panel.yaxis.label):
                box = text.get_window_extent(renderer)
                assert text.get_text() == "" or (box.x0 >= 0 and box.x1 <= figure.bbox.width)
                assert text.get_text() == "" or (box.y0 >= 0 and box.y1 <= figure.bbox.height)
        titles = [panel.title.get_window_extent(renderer) for panel in figure.axes if panel.get_title()]
        assert all(left.x1 < right.x0 for left, right in pairwise(titles))
