"""The style of all figures: matplotlib's own defaults, then the project's settings."""

import matplotlib as mpl

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
