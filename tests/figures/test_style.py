"""The style of all figures: matplotlib's own defaults, then the project's settings."""

from itertools import count
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from elbogap import style

SERIF = {"font.family": ["serif"], "text.usetex": True, "axes.grid": True, "savefig.bbox": "tight"}


def test_a_users_settings_do_not_reach_the_figures_and_come_back() -> None:
    with mpl.rc_context(SERIF):
        with style.applied():
            inside = dict(mpl.rcParams)
        assert {name: mpl.rcParams[name] for name in SERIF} == SERIF
    left = {name for name, value in mpl.rcParamsDefault.items() if inside[name] != value}
    assert left <= {*style._SETTINGS, "backend", "backend_fallback"}
    assert {name: inside[name] for name in style._SETTINGS} == style._SETTINGS
    assert inside["backend"] == "Agg"


def test_the_last_digits_of_the_layout_change_no_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The solver orders its variables by where they lie in memory: a step of zero gets either sign."""
    solve, calls = ConstrainedLayoutEngine.execute, count()

    def execute(engine: ConstrainedLayoutEngine, figure: Figure) -> None:
        solve(engine, figure)
        shift = 1e-13 * next(calls)
        for panel in figure.axes:
            panel.set_position([value + shift for value in panel.get_position().bounds])

    monkeypatch.setattr(ConstrainedLayoutEngine, "execute", execute)
    contents = set()
    for _ in range(10):
        with style.applied():
            figure, panel = plt.subplots()
            panel.plot([0.1, 0.3, 0.8], [0.7, 0.7, 0.1], "o")
            style.save(figure, tmp_path / "a.pdf", source="a test")
            contents.add((tmp_path / "a.pdf").read_bytes())
            plt.close(figure)
    assert len(contents) == 1
