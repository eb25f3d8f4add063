from collections.abc import Callable
from itertools import product

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from elbogap import style
from elbogap.data import synthetic
from elbogap.papers.mapa import figures as mapa


@pytest.fixture
def passes() -> pd.DataFrame:
    """Two data sets; every MAPA value is the mean over them plus or minus 1."""
    rows = []
    for problem, draw, cost in product(synthetic.PRINTED, (0, 1), ("decoder", "encoder and decoder")):
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
        synthetic.PROBLEMS[name].title for name in synthetic.PRINTED
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
        blue, ratio, rings, black, _ = (line.get_ydata() for line in panel.lines)
        np.testing.assert_array_equal(blue, posteriors["mapa"][n])
        np.testing.assert_array_equal(rings, posteriors["empiricalised"][n])  # as many as rings: all of them
        np.testing.assert_array_equal(ratio, posteriors["true"][n] - posteriors["prior"])
        np.testing.assert_array_equal(black, posteriors["true"][n])
        assert panel.get_ylim() == pytest.approx((mapa.LOWEST, 1), abs=0.01)
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


@pytest.fixture
def density() -> pd.DataFrame:
    """Two data sets: divergences are the places of methods in LOOKS on the first, 3 more on the second."""
    rows = []
    for (place, method), problem, draw in product(enumerate(mapa.LOOKS, 1), synthetic.PROBLEMS, (0, 1)):
        samples = {"vae": [1.0], "mapa_exact": [np.nan]}.get(method, [10.0, 50.0])
        prior = "smoothed map" if method.startswith("mapa") else "standard"
        key = {"problem": problem, "method": method, "draw": draw, "test_kl": place + 3.0 * draw}
        rows += [{**key, "S": S, "prior": prior} for S in samples]
    table = pd.DataFrame(rows)
    table["converged"] = table["method"] != "mapa_gt"
    distilled = table[table["prior"] == "smoothed map"].assign(prior="network", test_kl=1e3)
    plain = table[table["method"] == "iwae"].assign(method="iwae_plain", test_kl=1e3)
    return pd.concat([table, distilled, plain], ignore_index=True)


def test_figure_3_has_the_mean_over_data_sets_of_every_method(density: pd.DataFrame) -> None:
    with style.applied():
        figure = mapa.fig03_density(density)
    assert [panel.get_title() for panel in figure.axes] == [
        synthetic.PROBLEMS[name].title for name in synthetic.PROBLEMS
    ]
    for panel in figure.axes:
        lines = {line.get_label(): line for line in panel.lines if line.get_linestyle() != "None"}
        assert list(lines) == [look["label"] for look in mapa.LOOKS.values()]
        for place, line in enumerate(lines.values(), 1):
            assert set(line.get_ydata()) == {place + 1.5}
        dots = [line.get_ydata() for line in panel.lines if line.get_marker() == "."]
        assert [sorted(set(values)) for values in dots] == [[place, place + 3] for place in (2, 3, 4, 5, 6)]
        half = 3 / 2**0.5 / 2**0.5 * 12.7062  # Student's factor of one degree of freedom
        for container in panel.containers:
            (bar,), symbol = container.lines[2], container.lines[0]
            assert np.ptp(bar.get_segments()[0][:, 1]) == pytest.approx(2 * half, rel=1e-4)
            hollow = symbol.get_markerfacecolor() == "white"
            assert hollow == (symbol.get_color() == mapa.LOOKS["mapa_gt"]["color"])
        assert panel.get_yscale() == "log"
        assert panel.get_ylim()[1] < 20  # neither the distilled networks nor plain gradients are drawn
        assert [tick.get_text() for tick in panel.get_xticklabels()] == ["10", "50"]


def test_divergences_at_or_below_zero_are_shown(density: pd.DataFrame) -> None:
    density.loc[density["method"] == "mapa_exact", "test_kl"] = -0.0004
    with style.applied():
        panel = mapa.fig03_density(density).axes[0]
    assert panel.get_yscale() == "symlog"
    assert panel.get_ylim()[0] < -0.0004
    assert 0 in panel.get_yticks()


@pytest.mark.parametrize(("low", "high"), [(0.9, 30.0), (1e-4, 5e3), (-0.002, 0.01), (0.012, 0.019)])
def test_ticks_lie_within_and_are_few(low: float, high: float) -> None:
    ticks = mapa._ticks(low, high)
    assert ticks == sorted(set(ticks))
    assert all(low <= tick <= high for tick in ticks)
    assert len(ticks) <= 8
    assert not any(0 < tick < mapa.LEAST for tick in ticks) or low > 0


def test_the_budget_figure_has_every_model_at_what_it_costs(density: pd.DataFrame) -> None:
    density = density.assign(passes_per_point=density["S"].fillna(100.0), seconds_per_step=0.002)
    with style.applied():
        figure = mapa.fig_budget(density)
    passes, seconds = np.array(figure.axes).reshape(2, 6)
    for panel in passes:
        places = sorted(container.lines[0].get_xdata()[0] for container in panel.containers)
        assert places == [1, *[10] * 5, *[50] * 5, 100]
    for panel in seconds:
        assert {container.lines[0].get_xdata()[0] for container in panel.containers} == {2.0}
    assert [panel.get_title() for panel in passes] == [
        problem.title.replace(" (", "\n(") for problem in synthetic.PROBLEMS.values()
    ]


def test_figure_2_draws_passes_with_k_beyond_the_samples(density: pd.DataFrame, passes: pd.DataFrame) -> None:
    passes.loc[passes["reading"] == "within", "passes_per_point"] = 1.0
    with style.applied():
        figure = mapa.fig02_summary(density, passes)
    left, middle, right = figure.axes
    assert ["Absolute-Value" in left.get_title(), "Spiral-Dots" in middle.get_title()] == [True, True]
    assert right.lines[0].get_ydata().tolist() == [10, 50]  # IWAE
    assert [container.lines[0].get_ydata().tolist() for container in right.containers] == [[9.0, 9.0]] * 2
    assert right.lines[-1].get_ydata()[0] == 50


def test_rings_are_spread_evenly_over_the_latent_values() -> None:
    z, grid = np.random.default_rng(0).normal(size=2000), np.linspace(-2, 2, 50)
    posteriors = {
        "z": z, "grid": grid, "prior": -0.5 * grid**2, "true": -(grid**2)[None],
        "empiricalised": -(z**2)[None], "mapa": -(z**2)[None],
    }  # fmt: skip
    with style.applied():
        figure = mapa.fig07_posterior_circle(posteriors, pd.DataFrame({"problem": "circle", "z": [0.0]}))
    rings = figure.axes[0].lines[2]
    at = rings.get_xdata()
    np.testing.assert_array_equal(rings.get_ydata(), -(at**2))
    assert np.all(np.diff(at) > 0)
    assert len(at) > mapa.RINGS / 2
    apart = np.ptp(z) / (mapa.RINGS - 1)
    assert np.diff(at[np.abs(at) < 2]).max() / apart < 1.5


def test_non_identifiability_has_a_column_per_variant_and_a_row_per_observation() -> None:
    z, grid = np.stack([np.linspace(-2, 2, 30), np.linspace(-1, 1, 30)]), np.linspace(-2, 2, 50)
    curves = {
        "z": z, "z_shown": z[:, [5, 20]], "grid": grid, "prior": -0.5 * grid**2,
        "decoder": np.stack([np.stack([grid, grid**2], 1), np.stack([grid**3, grid], 1)]),
        "true": -np.multiply.outer([[1, 2], [3, 4]], grid**2), "mapa": -np.outer([1, 2], z[0] ** 2) - 1,
        "empiricalised": -np.array([[1], [2]])[:, :, None] * (z**2)[:, None] * np.ones((1, 2, 1)),
    }  # fmt: skip
    names = (*mapa.CODES, "posterior draw")
    points = pd.DataFrame(
        [
            {"codes": codes, "observation": observation, "kl_p_to_q": 10.0 * place + number}
            for place, codes in enumerate(names, 1)
            for number, observation in enumerate(("rank 0.2", "rank 0.7", "mean"), 1)
        ]
    )
    with style.applied():
        figure = mapa.fig12_nonident_circle(curves, points)
    axes = np.array(figure.axes).reshape(3, 2)
    for variant in (0, 1):
        first, second = (line.get_ydata() for line in axes[0, variant].lines)
        np.testing.assert_array_equal(np.stack([first, second], 1), curves["decoder"][variant])
        assert axes[0, variant].get_title().endswith(f"mean KL = {10 * (variant + 1) + 3}.00 nats")
        for n, panel in enumerate(axes[1:, variant]):
            blue, _, rings, black, _ = (line.get_ydata() for line in panel.lines)
            np.testing.assert_array_equal(blue, curves["mapa"][n])
            np.testing.assert_array_equal(rings, curves["empiricalised"][variant, n])
            np.testing.assert_array_equal(black, curves["true"][variant, n])
            assert panel.lines[-1].get_xdata()[0] == curves["z_shown"][variant, n]
            assert panel.get_title().endswith(f"KL = {10 * (variant + 1) + n + 1}.00 nats")


def test_gaps_are_means_over_data_sets_and_rows_are_methods() -> None:
    rows = []
    for problem, draw in product(synthetic.PROBLEMS, (0, 1)):
        key = {"problem": problem, "draw": draw, "k_share": np.nan, "S": 1}
        values = {"bound_gap": 2.0 + draw, "inference_gap": 2.0 + draw, "amortisation_gap": 1.5 + draw}
        rows.append(key | values | {"cell": "vae", "method": "vae", "approximation_gap": 0.5})
        key |= {"cell": "mapa_S50_k90", "method": "mapa", "S": 50, "k_share": 0.9}
        rows.append(key | {"bound_gap": 0.1, "inference_gap": 4.0 + draw})
    with style.applied():
        figure = mapa.fig_gaps(pd.DataFrame(rows))
        figure.canvas.draw()
    assert [panel.get_title() for panel in figure.axes] == [
        synthetic.PROBLEMS[name].title.replace(" (", "\n(") for name in synthetic.PROBLEMS
    ]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        "VAE",
        "MAPA, $S$ = 50",
    ]
    assert figure.get_supxlabel() == "gap / nats ($k$ = 90% of $S$)"  # of all, so that it stands once
    for panel in figure.axes:
        # MAPA has neither of the last two gaps.
        assert [line.get_xdata().tolist() for line in panel.lines] == [
            [2.5],
            [2.5],
            [2.0],
            [0.5],
            [0.1],
            [4.5],
        ]
        heights = [float(line.get_ydata()[0]) for line in panel.lines]
        assert [round(height) for height in heights] == [0, 0, 0, 0, 1, 1]
        assert panel.get_ylim() == (1.5, -0.5)
