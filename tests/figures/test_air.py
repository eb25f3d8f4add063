import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from elbogap import style
from elbogap.papers.air import figures as air


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    """Made-up tables, each line at a level of its own, so that a swapped line shows."""
    sigmas = (0.2, 1.0, 5.0)
    x = np.linspace(-3, 3, 41)
    curves = [
        pd.DataFrame(
            {
                "family": family,
                "sigma": sigma,
                "x": x,
                "optimised": level + 0.1 * sigma,
                "kernel_regression": level + 0.1 * sigma,
            }
        )
        for family, level in (("categorical", 1.0), ("gaussian", 9.0))
        for sigma in sigmas
    ]
    posteriors = {
        "family": ["categorical"] * 2 + ["gaussian"] * 2,
        "x": [-1.0, 1.0] * 2,
        "natural_1": [0.5, 2.0, 8.0, 9.0],
        "natural_2": [0.0, 0.0, -1.0, -1.0],
    }
    encoder = [
        {"family": family, "sigma": sigma, "slope": level / sigma**2, "bound": 4 * level / sigma**2}
        for family, level in (("categorical", 1.0), ("gaussian", 3.0))
        for sigma in sigmas
    ]
    strength = [
        {
            "encoder": encoder,
            "family": family,
            "model": model,
            "alpha": alpha,
            "sigma": sigma,
            "regulariser": level * alpha * math.tanh(sigma) + model,
        }
        for encoder, level in (("any", 1.0), ("affine", 2.0))
        for family in ("categorical", "gaussian")
        for model in range(2)
        for alpha in (0.5, 1.0)
        for sigma in sigmas
    ]
    decoders = [
        pd.DataFrame(
            {"sigma": sigma, "pixel": pixel, "data_mean": 0.4, "z": x, "optimised": mean, "formula": mean}
        )
        for sigma in sigmas
        for pixel, mean in ((0, 0.1 * sigma), (1, 0.9))
    ]
    attenuation = [
        {"model": model, "sigma": sigma, "k": k, "regulariser": level / (k + model)}
        for model in range(2)
        for sigma, level in ((0.5, 1.0), (math.inf, 2.0))
        for k in (1, 4, 16)
    ]
    bounds = {
        "sigma": sigmas,
        "difference": [0.1, 0.6, 1.0],
        "mutual_information": [0.1, 0.6, 1.0],
        "perturbation_entropy": 1.1,
    }
    return {
        "encoder_curves": pd.concat(curves),
        "posteriors": pd.DataFrame(posteriors),
        "encoder": pd.DataFrame(encoder),
        "strength": pd.DataFrame(strength),
        "generator_curves": pd.concat(decoders),
        "attenuation": pd.DataFrame(attenuation),
        "bounds": pd.DataFrame(bounds),
    }


@pytest.fixture(scope="module")
def figure(tables: dict[str, pd.DataFrame]) -> Figure:
    with style.applied():
        return air.fig_theory(**tables)


def levels(figure: Figure, panel: int) -> list[float]:
    """The last values of the lines of a panel, in the order drawn."""
    return [line.get_ydata()[-1] for line in figure.axes[panel].lines if len(line.get_ydata())]


def test_panels_name_their_statements(figure: Figure) -> None:
    titles = [panel.get_title() for panel in figure.axes]
    assert [title[:3] for title in titles] == [f"({letter})" for letter in "abcdef"]
    for panel, word in zip(
        figure.axes,
        ("Theorem 1", "Theorem 1", "Proposition 1", "Proposition 2", "Proposition 3", "Appendix B"),
        strict=True,
    ):
        assert word in panel.get_title()
        assert panel.get_xlabel()
        assert panel.get_ylabel()


def test_lines_are_those_of_their_own_rows(figure: Figure) -> None:
    lines = [1.02, 1.02, 1.1, 1.1, 1.5, 1.5, 2.0]  # formula and search for each noise, then the posteriors
    np.testing.assert_allclose(levels(figure, 0), lines, atol=1e-12)
    np.testing.assert_allclose(
        levels(figure, 1), [0.16, 0.04, 0.48, 0.12], atol=1e-12
    )  # bound and slope per family
    top = math.tanh(5)
    np.testing.assert_allclose(levels(figure, 2), [top, top + 1, 2 * top, 2 * top + 1], atol=1e-12)
    np.testing.assert_allclose(levels(figure, 3), [0.02, 0.02, 0.1, 0.1, 0.5, 0.5, 0.4], atol=1e-12)
    np.testing.assert_allclose(levels(figure, 4), [2 / 16, 2 / 17, 1 / 16, 1 / 17], atol=1e-12)
    np.testing.assert_allclose(levels(figure, 5), [1.0, 1.0, 1.1], atol=1e-12)


def test_without_finite_noise_the_draws_have_one_kind_of_line(tables: dict[str, pd.DataFrame]) -> None:
    attenuation = tables["attenuation"]
    with style.applied():
        figure = air.fig_theory(**tables | {"attenuation": attenuation[np.isinf(attenuation["sigma"])]})
    assert len(levels(figure, 4)) == 2
    assert len(figure.axes[4].get_legend().get_texts()) == 1


def test_no_text_is_clipped_or_overprinted_and_no_legend_hides_a_curve(figure: Figure) -> None:
    with style.applied():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        renderer = canvas.get_renderer()
        for panel in figure.axes:
            texts = [panel.title, panel.xaxis.label, panel.yaxis.label]
            for box in (text.get_window_extent(renderer) for text in texts):
                assert box.x0 >= 0
                assert box.y0 >= 0
                assert box.x1 <= figure.bbox.width
                assert box.y1 <= figure.bbox.height
        for panel in figure.axes:
            labels = [label for label in panel.get_xticklabels(which="both") if label.get_text()]
            low, high = panel.bbox.intervalx
            boxes = [label.get_window_extent(renderer) for label in labels]
            shown = sorted(box.intervalx.tolist() for box in boxes if low <= box.intervalx.mean() <= high)
            assert len(shown) > 1
            assert all(left[1] < right[0] for left, right in pairwise(shown))
        for panel in (figure.axes[0], figure.axes[3]):
            legend = panel.get_legend().get_window_extent(renderer)
            for line in panel.lines:
                inside = panel.transData.transform(line.get_xydata())
                assert not any(legend.contains(*point) for point in inside)
