"""Figure 6 of document implicit from made-up tables."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from elbogap import style
from elbogap.papers.implicit import figures as implicit

STEPS = (2, 8, 20)


@pytest.fixture
def steps() -> pd.DataFrame:
    """Shuffled rows."""
    rows = [
        {
            "dataset": dataset, "data": "real", "refinements": t, "test_loglik": base + t / 10,
            "test_loglik_seed_sd": 1.5,
        }
        for dataset, base in (("binarized_mnist", -100.0), ("fashion_mnist", -120.0))
        for t in STEPS
    ]  # fmt: skip
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


@pytest.fixture
def time() -> pd.DataFrame:
    """Times beside a straight line."""
    t = np.array(STEPS, dtype=float)
    seconds = 0.02 * t + np.array([0.01, -0.01, 0.0])
    return pd.DataFrame(
        {
            "refinements": t, "data": "real", "seconds": seconds, "seconds_low": seconds - 0.001,
            "seconds_high": seconds + 0.002, "line": 0.02 * t,
        }
    )  # fmt: skip


@pytest.fixture
def figure(steps: pd.DataFrame, time: pd.DataFrame) -> Iterator[Figure]:
    with style.applied():
        yield implicit.fig06_vcd_steps(steps, time)
    plt.close("all")


def test_each_data_set_has_its_curve_and_the_cost_its_line(figure: Figure) -> None:
    mnist, fashion, cost = figure.axes
    assert [panel.get_title() for panel in figure.axes] == ["MNIST", "Fashion-MNIST", "Cost"]
    for panel, base in ((mnist, -100), (fashion, -120)):
        x, y = panel.lines[0].get_data()
        assert list(x) == list(STEPS)
        np.testing.assert_allclose(np.asarray(y, dtype=float), base + np.array(STEPS) / 10, atol=1e-12)
    np.testing.assert_allclose(
        np.asarray(cost.lines[0].get_ydata(), dtype=float), [0.04, 0.16, 0.4], atol=1e-12
    )
    assert cost.get_ylim()[0] == 0


def test_bars_are_the_intervals(figure: Figure) -> None:
    (bars,) = figure.axes[0].collections
    lengths = [float(high - low) for (_, low), (_, high) in bars.get_segments()]
    np.testing.assert_allclose(lengths, 3.0, atol=1e-12)


def test_axes_have_labels_with_units(figure: Figure) -> None:
    assert all("HMC iterations" in panel.get_xlabel() for panel in figure.axes)
    assert ["nats" in panel.get_ylabel() for panel in figure.axes[:2]] == [True, True]
    assert figure.axes[2].get_ylabel() == "s / iteration"
    assert not figure.texts


def test_stand_in_data_are_named(steps: pd.DataFrame, time: pd.DataFrame) -> None:
    figure = implicit.fig06_vcd_steps(steps.assign(data="stand-in"), time)
    assert [text.get_text() for text in figure.texts] == ["STAND-IN DATA"]
    plt.close(figure)


def test_one_data_set_suffices(steps: pd.DataFrame, time: pd.DataFrame) -> None:
    figure = implicit.fig06_vcd_steps(steps[steps["dataset"] == "fashion_mnist"], time)
    assert [panel.get_title() for panel in figure.axes] == ["Fashion-MNIST", "Cost"]
    plt.close(figure)
