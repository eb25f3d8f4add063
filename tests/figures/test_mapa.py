from collections.abc import Callable
from itertools import product

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from elbogap.figures import mapa, style


@pytest.fixture
def passes() -> pd.DataFrame:
    """Two data sets; every MAPA value is the mean over them plus or minus 1."""
    rows = []
    for problem, draw, cost in product(mapa.PROBLEMS, (0, 1), ("decoder", "encoder and decoder")):
        key = {"problem": problem, "draw": draw, "cost": cost}
        rows += [{**key, "method": "iwae", "S": S, "passes_per_point": S, "passes_sd": 0.0} for S in (10, 50)]
        rows += [
            {
                **key,
                "method": "mapa",
                "reading": reading,
                "k_share": share,
                "S": S,
                "passes_per_point": 8.0 + 2 * draw,
                "passes_sd": 1.0,
                "passes_max": 50.0 if cost == "decoder" else 100.0,
            }
            for reading, share, S in product(("within", "beyond"), (0.1, 0.9), (10, 50))
        ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(("draw", "most"), [(mapa.fig04_passes_decoder, 50), (mapa.fig05_passes_both, 100)])
def test_passes_have_a_panel_per_problem_with_means_over_data_sets(
    draw: Callable[[pd.DataFrame], Figure], most: int, passes: pd.DataFrame
) -> None:
    with style.applied():
        figure = draw(passes)
    assert [panel.get_title() for panel in figure.axes] == [
        style.PROBLEM_TITLES[name] for name in mapa.PROBLEMS
    ]
    for panel in figure.axes:
        iwae = panel.lines[0]
        assert iwae.get_ydata().tolist() == [10, 50]
        assert [container.lines[0].get_ydata().tolist() for container in panel.containers] == [[9.0, 9.0]] * 4
        assert panel.lines[-1].get_ydata()[0] == most


def test_posteriors_have_a_panel_per_observation_and_a_legend() -> None:
    z, grid = np.linspace(-2, 2, 30), np.linspace(-2, 2, 50)
    posteriors = {
        "z": z, "grid": grid, "prior": -0.5 * grid**2, "true": -np.outer(np.arange(1, 8), grid**2),
        "empiricalised": -np.outer(np.arange(1, 8), z**2), "mapa": -np.outer(np.arange(1, 8), z**2) - 1,
    }  # fmt: skip
    points = pd.DataFrame({"problem": "circle", "z": np.linspace(-1, 1, 7)})
    with style.applied():
        figure = mapa.fig07_posterior_circle(posteriors, points)
    assert len(figure.axes) == 8
    for n, panel in enumerate(figure.axes[:7]):
        blue, red, ratio, black, _ = (line.get_ydata() for line in panel.lines)
        np.testing.assert_array_equal(blue, posteriors["mapa"][n])
        np.testing.assert_array_equal(red, posteriors["empiricalised"][n])
        np.testing.assert_array_equal(ratio, posteriors["true"][n] - posteriors["prior"])
        np.testing.assert_array_equal(black, posteriors["true"][n])
    assert "Circle" in figure.axes[7].get_legend().get_title().get_text()


def test_figure_1_shows_both_variants_with_all_four_posteriors() -> None:
    z, x = np.linspace(0, 1, 20), np.linspace(0, 1, 20)
    density = np.exp(-((x[:, None] - z) ** 2))
    intuition = {
        "z": z, "x": x, "mean": np.stack([z, z]), "joint": np.stack([density, density]),
        "marginal": np.ones((2, 20)), "z_draw": np.full((2, 4), 0.5), "mean_draw": np.full((2, 4), 0.5),
        "x_draw": np.full(4, 0.6), "posterior": np.ones((2, 4, 20)),
    }  # fmt: skip
    with style.applied():
        figure = mapa.fig01_intuition(intuition)
    axes = np.array(figure.axes).reshape(3, 4)
    assert [axes[0, column].get_title()[:9] for column in (0, 2)] == ["Variant 1", "Variant 2"]
    assert all(len(axes[1, column].collections) == 4 for column in (0, 2))
