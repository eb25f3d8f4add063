import numpy as np
import pandas as pd
import pytest

from elbogap import style
from elbogap.papers.atlas import figures as atlas


@pytest.fixture
def scores() -> pd.DataFrame:
    """Two problems of two kinds, three methods; the last gave nothing on the second."""
    rows = []
    for row, (problem, kind) in enumerate((("gaussian_2", "gaussian"), ("banana", "plane"))):
        for column, method in enumerate(("mean_field", "uivi", "vcd")):
            for seed in range(2):
                missing = row == 1 and column == 2
                value = np.nan if missing else 0.02 * (1 + row + 3 * column) + 0.01 * seed
                rows.append(
                    {
                        "problem": problem, "kind": kind, "method": method, "seed": seed, "data": "none",
                        "sliced_wasserstein": value, "log_sd_ratio": -value,
                        "evaluations": 1000 * (1 + column),
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


def test_the_heat_map_has_a_row_per_problem_and_a_cross_where_nothing_came(scores: pd.DataFrame) -> None:
    with style.applied():
        figure = atlas.fig01_heat_map(scores)
    left, right = figure.axes[:2]
    expected = [[0.025, 0.085, 0.145], [0.045, 0.105, np.nan]]
    np.testing.assert_allclose(left.images[0].get_array().filled(np.nan), expected, atol=1e-9)
    np.testing.assert_allclose(right.images[0].get_array().filled(np.nan), -np.array(expected), atol=1e-9)
    assert [label.get_text() for label in left.get_yticklabels()] == ["gaussian 2", "banana"]
    assert [label.get_text() for label in left.get_xticklabels()] == ["mean field", "uivi", "vcd"]
    assert [(text.get_text(), text.get_position()) for text in left.texts] == [("×", (2, 1))]


def test_a_panel_for_each_kind_and_a_colour_for_each_method(scores: pd.DataFrame) -> None:
    with style.applied():
        figure = atlas.fig02_evaluations(scores)
    panels = [panel for panel in figure.axes if panel.get_title()]
    assert [panel.get_title() for panel in panels] == ["gaussian", "plane"]
    lines = {line.get_label(): line for line in panels[0].lines}
    np.testing.assert_allclose(lines["uivi"].get_xydata(), [[2000, 0.085]], atol=1e-9)
    colours = [{line.get_label(): line.get_color() for line in panel.lines} for panel in panels]
    assert colours[0]["uivi"] == colours[1]["uivi"] != colours[0]["vcd"]


@pytest.mark.parametrize("name", ["fig01_heat_map", "fig02_evaluations"])
def test_figures_on_stand_ins_say_so(name: str, scores: pd.DataFrame) -> None:
    with style.applied():
        figure = getattr(atlas, name)(scores.assign(data=["stand-in", *["none"] * (len(scores) - 1)]))
    assert any("STAND-IN" in text.get_text() for text in figure.texts)


def test_draws_stand_in_the_column_of_their_method(scores: pd.DataFrame) -> None:
    random = np.random.default_rng(0)
    draws = {f"banana.{name}": random.normal(size=(20, 2)) for name in ("answer", "uivi")}
    with style.applied():
        figure = atlas.fig03_draws(draws, scores)
    assert [len(panel.lines) for panel in figure.axes] == [1, 0, 1, 0]
    np.testing.assert_allclose(figure.axes[2].lines[0].get_xydata(), draws["banana.uivi"], atol=1e-9)
    assert [panel.get_title() for panel in figure.axes] == ["answer", "mean field", "uivi", "vcd"]
    assert figure.axes[2].get_xlim() == figure.axes[0].get_xlim()
