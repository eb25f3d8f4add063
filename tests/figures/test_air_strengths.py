"""Figures 1, 2 and 4 of document air from made-up tables."""

from collections.abc import Iterator
from itertools import pairwise, product

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from elbogap import style
from elbogap.papers.air import figures as air

DATASETS = ("binarized_mnist", "omniglot", "caltech_silhouettes")
TITLES = ["MNIST", "OMNIGLOT", "Caltech silhouettes"]
GRIDS = {
    ("plain", 0.0): (0.0,),
    ("denoising", 0.5): (0.1, 0.4, 1.0),
    ("denoising", 1.0): (0.1, 0.4, 1.0),
    ("weight_norm", 0.0): (0.5, 2.0, 8.0),
}
CHOSEN = {("denoising", 0.5): 0.4, ("denoising", 1.0): 1.0, ("weight_norm", 0.0): 2.0, ("plain", 0.0): 0.0}


def gain(dataset: int, k: int, method: str, alpha: float, strength: float) -> float:
    """A value of its own for each place, so that a swapped line shows."""
    if method == "plain":
        return 0.0
    return 1 + dataset + 0.01 * k + 0.3 * alpha + (0.1 if method == "weight_norm" else 0) - 0.05 * strength


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.fixture
def strengths() -> pd.DataFrame:
    """Shuffled, with cells that no figure shows: m > 1 and large encoders."""
    rows = []
    for (number, dataset), k, (key, grid) in product(enumerate(DATASETS), (1, 8, 64), GRIDS.items()):
        for strength in grid:
            value = gain(number, k, *key, strength)
            rows.append(
                {
                    "dataset": dataset, "data": "real", "encoder": "standard", "k": k, "m": 1,
                    "method": key[0], "alpha": key[1], "strength": strength, "test_loglik": value - 100,
                    "gain": value, "gain_low": value - 0.4, "gain_high": value + 0.4,
                    "chosen": strength == CHOSEN[key],
                }
            )  # fmt: skip
    table = pd.DataFrame(rows)
    others = [
        table[table["k"] == 1].assign(**{name: value}) for name, value in (("m", 8), ("encoder", "large"))
    ]
    wrong = [one.assign(strength=one["strength"] + 50, test_loglik=900, gain=1000) for one in others]
    return pd.concat([table, *wrong]).sample(frac=1, random_state=0, ignore_index=True)


@pytest.fixture
def curves() -> pd.DataFrame:
    parts = []
    for (place, (method, strength)), m in product(
        enumerate((("plain", 0.0), ("denoising", 0.4))), (1, 8, 64)
    ):
        passes = np.array([1.0, 2.0, 3.0])
        key = {"dataset": "caltech_silhouettes", "data": "real", "method": method, "alpha": float(place)}
        for seed, side in enumerate((-2.0, 1.0, 1.0)):
            values = {"passes": passes, "test_bound": -100 + 10 * place + passes + 0.01 * m + side}
            parts.append(pd.DataFrame(values).assign(**key, strength=strength, m=m, seed=seed))
    return pd.concat(parts, ignore_index=True)


def drawn(name: str, table: pd.DataFrame) -> Figure:
    with style.applied():
        return getattr(air, name)(table)


def ticks(panel: Axes) -> list[str]:
    return [label.get_text() for label in panel.get_xticklabels()]


def rings(panel: Axes) -> list[tuple[float, float]]:
    """Places of the large open circles."""
    lines = [line for line in panel.lines if line.get_markersize() == 9]
    return [
        tuple(point) for line in lines for point in line.get_xydata() if line.get_markerfacecolor() == "none"
    ]


def solid(panel: Axes) -> dict[str, np.ndarray]:
    """Points of the labelled lines, with or without error bars, by label."""
    handles, labels = panel.get_legend_handles_labels()
    lines = [handle[0] if isinstance(handle, ErrorbarContainer) else handle for handle in handles]
    return {label: line.get_xydata() for label, line in zip(labels, lines, strict=True)}


def test_figure_1_has_a_column_per_data_set_and_a_row_per_kind_of_regularisation(
    strengths: pd.DataFrame,
) -> None:
    panels = drawn("fig01_strength", strengths).axes
    assert [panel.get_title() for panel in panels] == [*TITLES, "", "", ""]
    assert all(panel.get_xlabel() == "noise $\\sigma$ / pixel value" for panel in panels[:3])
    assert all(panel.get_xlabel() == "norm bound $H$" for panel in panels[3:])
    assert [panel.get_ylabel() for panel in panels[::3]] == ["gain in $\\log p(x)$ / nats"] * 2


def test_strengths_grow_to_the_right_from_no_regularisation(strengths: pd.DataFrame) -> None:
    """Small norm bounds are strong, so their axis is reversed."""
    for name in ("fig01_strength", "fig02_strength_by_k"):
        panels = drawn(name, strengths).axes
        assert all(ticks(panel) == ["0", "0.1", "0.4", "1"] for panel in panels[:-3])
        assert all(ticks(panel) == ["$\\infty$", "8", "2", "0.5"] for panel in panels[-3:])
        for panel in panels:
            low, high = panel.get_xlim()
            assert low < 0 < 3 < high


def assert_points(points: np.ndarray, places: list[int], values: list[float]) -> None:
    """Points of these heights; lines of one panel are moved apart, by less than a fifth of a level."""
    np.testing.assert_allclose(points[:, 0], places, atol=0.15)
    np.testing.assert_allclose(points[:, 1], values, atol=1e-9)


def test_figure_1_shows_the_gains_of_k_1_and_rings_the_chosen_ones(strengths: pd.DataFrame) -> None:
    panels = drawn("fig01_strength", strengths).axes
    for column in range(3):
        top, bottom = panels[column], panels[3 + column]
        for alpha, ring in ((0.5, 2), (1.0, 3)):
            values = [0, *(gain(column, 1, "denoising", alpha, strength) for strength in (0.1, 0.4, 1.0))]
            assert_points(solid(top)[f"denoising, $\\alpha = {alpha:g}$"], [0, 1, 2, 3], values)
            assert_points(np.array([rings(top)[alpha == 1]]), [ring], [values[ring]])
        values = [0, *(gain(column, 1, "weight_norm", 0.0, strength) for strength in (8.0, 2.0, 0.5))]
        assert_points(solid(bottom)["weight norm"], [0, 1, 2, 3], values)
        assert_points(np.array(rings(bottom)), [2], [values[2]])
        assert list(solid(bottom)) == ["weight norm"]


def test_figures_1_and_2_have_the_intervals_over_seeds(strengths: pd.DataFrame) -> None:
    for name in ("fig01_strength", "fig02_strength_by_k"):
        panel = drawn(name, strengths).axes[-3]
        none, *bars = panel.containers[0].lines[2][0].get_segments()
        np.testing.assert_allclose(none[:, 1], [0, 0], atol=1e-12)
        for bar, strength in zip(bars, (8.0, 2.0, 0.5), strict=True):
            value = gain(0, 1, "weight_norm", 0.0, strength)
            np.testing.assert_allclose(bar[:, 1], [value - 0.4, value + 0.4], atol=1e-9)


def test_a_single_seed_has_no_interval(strengths: pd.DataFrame) -> None:
    strengths[["gain_low", "gain_high"]] = np.nan
    for bar in drawn("fig02_strength_by_k", strengths).axes[0].containers[0].lines[2][0].get_segments():
        assert np.ptp(bar[:, 1]) == pytest.approx(0)


def test_figure_2_shows_the_gain_of_each_strength_for_each_k(strengths: pd.DataFrame) -> None:
    panels = drawn("fig02_strength_by_k", strengths).axes
    assert [panel.get_title() for panel in panels[:3]] == TITLES
    rows = [("denoising", 0.5), ("denoising", 1.0), ("weight_norm", 0.0)]
    for panel, ((method, alpha), column) in zip(panels, product(rows, range(3)), strict=True):
        order = sorted(GRIDS[method, alpha], reverse=method == "weight_norm")
        assert list(solid(panel)) == ["$k = 1$", "$k = 8$", "$k = 64$"]
        for k in (1, 8, 64):
            values = [0.0, *(gain(column, k, method, alpha, strength) for strength in order)]
            assert_points(solid(panel)[f"$k = {k}$"], [0, 1, 2, 3], values)
    labels = [panel.get_ylabel().split("\n") for panel in panels[::3]]
    assert [label[0] for label in labels] == [
        "denoising, $\\alpha = 0.5$", "denoising, $\\alpha = 1$", "weight norm",
    ]  # fmt: skip
    assert all(label[1].endswith("/ nats") for label in labels)


def test_methods_that_were_not_trained_for_a_k_leave_their_lines_out(strengths: pd.DataFrame) -> None:
    fewer = strengths[~((strengths["k"] == 64) & (strengths["alpha"] == 0.5))]
    panels = drawn("fig02_strength_by_k", fewer).axes
    assert all(list(solid(panel)) == ["$k = 1$", "$k = 8$"] for panel in panels[:3])
    assert all(len(solid(panel)) == 3 for panel in panels[3:])


@pytest.mark.parametrize("name", ["fig01_strength", "fig02_strength_by_k"])
def test_data_sets_that_were_not_trained_have_no_column(strengths: pd.DataFrame, name: str) -> None:
    panels = drawn(name, strengths[strengths["dataset"] != "omniglot"]).axes
    titles = [panel.get_title() for panel in panels if panel.get_title()]
    assert titles == ["MNIST", "Caltech silhouettes"]


def test_figure_4_has_a_panel_per_method_and_a_line_per_m(curves: pd.DataFrame) -> None:
    panels = drawn("fig04_gradient_samples", curves.sample(frac=1, random_state=0).sort_values("passes")).axes
    assert [panel.get_title() for panel in panels] == [
        "Caltech silhouettes: VAE", "Caltech silhouettes: DVAE, $\\alpha = 1$, $\\sigma = 0.4$",
    ]  # fmt: skip
    assert panels[0].get_ylabel() == "test ELBO / nats"
    for place, panel in enumerate(panels):
        assert panel.get_xlabel() == "passes over the training images"
        assert list(solid(panel)) == ["$m = 1$", "$m = 8$", "$m = 64$"]
        for m in (1, 8, 64):
            points = solid(panel)[f"$m = {m}$"]
            np.testing.assert_allclose(points[:, 0], [1, 2, 3], atol=1e-12)
            np.testing.assert_allclose(points[:, 1], -100 + 10 * place + points[:, 0] + 0.01 * m, atol=1e-12)


def test_figure_4_cuts_the_first_steep_rise_but_no_curve_s_best(curves: pd.DataFrame) -> None:
    curves.loc[curves["passes"] == 1, "test_bound"] = -500.0
    low, high = drawn("fig04_gradient_samples", curves).axes[0].get_ylim()
    best = curves.groupby(["method", "m"])["test_bound"].max()
    assert -500 < low < best.min()
    assert high > best.max()


@pytest.mark.parametrize("kind", ["real", "stand-in"])
@pytest.mark.parametrize("name", ["fig01_strength", "fig02_strength_by_k", "fig04_gradient_samples"])
def test_figures_of_stand_ins_say_so(
    strengths: pd.DataFrame, curves: pd.DataFrame, name: str, kind: str
) -> None:
    table = curves if name.startswith("fig04") else strengths
    standard = table["m"] == 1
    table.loc[standard & (table["dataset"] == "caltech_silhouettes"), "data"] = kind
    texts = [text.get_text() for text in drawn(name, table).texts]
    assert any("STAND-IN" in text for text in texts) == (kind == "stand-in")


@pytest.mark.parametrize("name", ["fig01_strength", "fig02_strength_by_k", "fig04_gradient_samples"])
def test_no_label_is_clipped_and_no_title_runs_into_the_next(
    strengths: pd.DataFrame, curves: pd.DataFrame, name: str
) -> None:
    with style.applied():
        figure = getattr(air, name)(curves if name.startswith("fig04") else strengths)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        renderer = canvas.get_renderer()
        for panel in figure.axes:
            inside = [
                label for label in panel.get_xticklabels() if label.get_position()[0] <= panel.get_xlim()[1]
            ]
            for text in (panel.title, panel.xaxis.label, panel.yaxis.label, *inside):
                box = text.get_window_extent(renderer)
                assert text.get_text() == "" or (box.x0 >= 0 and box.x1 <= figure.bbox.width)
                assert text.get_text() == "" or (box.y0 >= 0 and box.y1 <= figure.bbox.height)
        titles = [panel.title.get_window_extent(renderer) for panel in figure.axes if panel.get_title()]
        assert all(left.x1 < right.x0 for left, right in pairwise(titles))
