"""Kind I: settings that validate and are computed, and then cannot be drawn.

Promise: every figure takes its levels from its tables and draws one of them as well as many, legibly;
settings that would leave a figure empty are refused when they are loaded, in one line.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from elbogap import style
from elbogap.data import synthetic
from elbogap.errors import UserError
from elbogap.papers.air import figures as air
from elbogap.papers.efvae import figures as efvae
from elbogap.papers.implicit import figures as implicit
from elbogap.papers.mapa import figures as mapa
from elbogap.papers.qiw import figures as qiw
from elbogap.papers.qiw.experiments import posterior_2d
from elbogap.papers.qiw.settings import Posterior2D
from elbogap.runtime import Run
from elbogap.scales import load

CONFIG = Path(__file__).parents[2] / "config"


def table(rows: Sequence[dict[str, Any]], *metrics: str) -> pd.DataFrame:
    """A row per key, with metrics between 0.5 and 1.5."""
    values = np.random.default_rng(0).uniform(0.5, 1.5, (len(rows), len(metrics)))
    return pd.DataFrame(rows).assign(**dict(zip(metrics, values.T, strict=True)))


def keys(**levels: Sequence[Any]) -> list[dict[str, Any]]:
    """All combinations of the levels."""
    return [dict(zip(levels, values, strict=True)) for values in product(*levels.values())]


def spread(count: int, low: float = 1, high: float = 100) -> list[int]:
    """Whole numbers, evenly spaced in the logarithm."""
    return sorted({round(value) for value in np.geomspace(low, high, count)})


@pytest.fixture(autouse=True)
def styled() -> Iterator[None]:
    with style.applied():
        yield
    plt.close("all")


def assert_legible(figure: Figure) -> None:
    """All text lies in the figure, and neither titles nor labels nor ticks of a row of panels overlap."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()

    def boxes(texts: Sequence[Any]) -> list[Any]:
        return [text.get_window_extent(renderer) for text in texts if text.get_visible() and text.get_text()]

    panels = [panel for panel in figure.axes if panel.axison]
    titles, labels = boxes([panel.title for panel in panels]), boxes([panel.xaxis.label for panel in panels])
    for panel in panels:
        low, high = panel.bbox.intervalx
        ticks = [
            box
            for box in boxes(panel.get_xticklabels(which="both"))
            if low - 1 <= (box.x0 + box.x1) / 2 <= high + 1
        ]
        labels += ticks
    for box in [*titles, *labels, *boxes([panel.yaxis.label for panel in panels])]:
        assert -1 <= box.x0 <= box.x1 <= figure.bbox.width + 1
        assert -1 <= box.y0 <= box.y1 <= figure.bbox.height + 1
    for row in (titles, labels):
        for left, right in combinations([box.padded(-1) for box in row], 2):
            assert not left.overlaps(right)


def density_2d(ks: Sequence[int]) -> dict[str, np.ndarray]:
    axis = np.linspace(-6, 6, 21)
    bump = np.exp(-0.5 * (axis[:, None] ** 2 + axis**2)) / (2 * np.pi)
    heights = np.linspace(0.3, 1, len(ks))
    return {"axis": axis, "target": bump, "k": np.array(ks), "q_iw": heights[:, None, None] * bump}


@pytest.mark.parametrize(
    ("ks", "shown"),
    [
        ((7,), (7,)),
        ((1, 100), (1, 100)),
        ((1, 3, 30), (1, 3, 30)),
        ((100, 10, 5, 2, 1), (1, 10, 100)),
        ((2, 3, 4, 5, 64), (2, 5, 64)),  # 11.3 is nearest to 5
    ],
)
def test_qiw_figure_1_shows_the_ends_and_the_middle_of_any_k(
    ks: tuple[int, ...], shown: tuple[int, ...]
) -> None:
    density = density_2d(ks)
    figure = qiw.fig01_posterior_2d(density)
    assert_legible(figure)
    titles = [panel.get_title() for panel in figure.axes[1 : 1 + len(shown)]]
    assert [title.partition("k = ")[2].strip("$") for title in titles] == [str(k) for k in shown]
    for panel, k in zip(figure.axes[1:], shown, strict=False):
        height = density["q_iw"][ks.index(k)].max()
        assert panel.collections[0].zmax == pytest.approx(height)


def test_qiw_figure_1_of_its_experiment_with_other_numbers_of_draws() -> None:
    settings = Posterior2D(
        ks=(1, 3, 30),
        figure_half_width=6.0,
        figure_points=15,
        half_width=10.0,
        points=41,
        batches=4,
        batch_seeds=2,
        seed=0,
    )
    figure = qiw.fig01_posterior_2d(posterior_2d.run(settings, Run("smoke"))["density"])
    assert [panel.get_title()[-4:] for panel in figure.axes[1:4]] == ["= 1$", "= 3$", "= 30$"[-4:]]


@pytest.mark.parametrize(("images", "samples"), [(1, 1), (1, 12), (6, 2), (9, 25)])
def test_qiw_figure_2_shows_any_number_of_images_and_samples(images: int, samples: int) -> None:
    pictures = {"real": np.zeros((images, 784)), "q": np.zeros((images, samples, 784))}
    pictures["q_iw"] = pictures["q"]
    measured = table(keys(method=("q", "q_iw"), data=("real",)), "mean_log_p_x_given_z", "digit_agreement")
    assert_legible(qiw.fig02_mnist_reconstructions(pictures, measured))


@pytest.mark.parametrize("ks", [(4,), tuple(spread(9))])
def test_qiw_figure_3_has_a_column_per_k(ks: tuple[int, ...]) -> None:
    trainings, places = ("svi", "iw-svi"), np.linspace(-7, 7, 8)
    curves = table(keys(training=trainings, k=ks, z=places), "target", "q", "q_iw")
    bars = table(keys(training=trainings, k=ks, left=places), "density").assign(
        right=lambda own: own["left"] + 2
    )
    figure = qiw.fig03_posterior_1d(curves, bars)
    assert len(figure.axes) == 2 * len(ks)
    assert_legible(figure)


MAPA_CELLS = {
    "one": ("mapa_S10_k25",),
    "no budget": ("vae", "mapa_exact"),
    "hidden": ("iwae_plain_S10",),
    "without MAPA": ("vae", "iwae_S5", "iwae_S500"),
    "many": (
        *("vae", "mapa_exact"),
        *(f"iwae_S{samples}" for samples in (5, 20, 100)),
        *(
            f"{method}_S{samples}_k{share}"
            for method in ("mapa", "mapa_gt", "mapa_naive", "mapa_within")
            for samples in (5, 20, 100)
            for share in (5, 50)
        ),
    ),
}


def mapa_keys(cells: Sequence[str], seeds: int) -> list[dict[str, Any]]:
    from elbogap.papers.mapa.methods import Cell

    return [
        {
            "problem": problem,
            "draw": draw,
            "cell": cell,
            "prior": "standard",
            "converged": True,
            **Cell.parse(cell).key(),
        }
        for problem, draw, cell in product(synthetic.PROBLEMS, range(seeds), cells)
    ]


@pytest.mark.parametrize("cells", MAPA_CELLS.values(), ids=MAPA_CELLS)
@pytest.mark.parametrize("seeds", [1, 12])
def test_mapa_figure_3_shows_the_methods_and_budgets_that_are_there(
    cells: tuple[str, ...], seeds: int
) -> None:
    density = table(mapa_keys(cells, seeds), "test_kl").astype({"S": float})
    figure = mapa.fig03_density(density)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    methods = set(density["method"])
    assert legend == [look["label"] for name, look in mapa.LOOKS.items() if name in methods]
    assert_legible(figure)


@pytest.mark.parametrize("method", mapa.LOOKS)
def test_mapa_methods_lie_beside_each_other_around_their_budget(method: str) -> None:
    """One method alone is not moved aside, and those that are horizontal lines take no place."""
    cells = [f"{method}_S10" if method == "iwae" else f"{method}_S10_k10", "vae", "mapa_exact"]
    if method in cells:
        cells = ["vae", "mapa_exact", "iwae_S10"]
    panel = mapa.fig03_density(table(mapa_keys(cells, 1), "test_kl").astype({"S": float})).axes[0]
    marked = [line for line in panel.lines if line.get_marker() in ("s", "v", "^", "o", "D")]
    assert [line.get_xdata().tolist() for line in marked] == [[10.0]]


def passes(shares: Sequence[float], budgets: Sequence[int]) -> pd.DataFrame:
    key = {
        "problem": synthetic.PRINTED,
        "draw": (0,),
        "cost": ("decoder", "encoder and decoder"),
        "S": budgets,
    }
    iwae = keys(**key, method=("iwae",))
    own = keys(**key, method=("mapa",), reading=("within", "beyond"), k_share=shares)
    return table([*iwae, *own], "passes_per_point", "passes_sd").assign(passes_max=50.0)


PASSES = [((0.25,), (10,)), ((0.05, 0.2, 0.5, 0.95), (1, 10, 100, 1000))]


@pytest.mark.parametrize(("shares", "budgets"), PASSES)
@pytest.mark.parametrize("draw", [mapa.fig04_passes_decoder, mapa.fig05_passes_both])
def test_mapa_passes_have_a_line_per_share(
    draw: Callable[[pd.DataFrame], Figure], shares: tuple[float, ...], budgets: tuple[int, ...]
) -> None:
    figure = draw(passes(shares, budgets))
    assert len(figure.axes[0].containers) == 2 * len(shares)
    assert len(figure.legends[0].get_texts()) == 2 + 2 * len(shares)
    assert_legible(figure)


@pytest.mark.parametrize(("shares", "budgets"), PASSES)
def test_mapa_figure_2_shows_the_shares_of_one_reading(
    shares: tuple[float, ...], budgets: tuple[int, ...]
) -> None:
    density = table(mapa_keys(MAPA_CELLS["one"], 2), "test_kl").astype({"S": float})
    figure = mapa.fig02_summary(density, passes(shares, budgets))
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert sum("beyond" in label for label in labels) == len(shares)
    assert not any("within" in label for label in labels)
    assert_legible(figure)


@pytest.mark.parametrize("count", [1, 3, 4, 11])
def test_mapa_log_posteriors_of_any_number_of_observations(count: int) -> None:
    z, grid, size = np.linspace(-2, 2, 30), np.linspace(-2, 2, 50), np.arange(1, count + 1)
    posteriors = {
        "z": z, "grid": grid, "prior": -0.5 * grid**2, "true": -np.outer(size, grid**2),
        "empiricalised": -np.outer(size, z**2), "mapa": -np.outer(size, z**2) - 1,
    }  # fmt: skip
    points = pd.DataFrame({"problem": "circle", "z": np.linspace(-1, 1, count)})
    figure = mapa.fig07_posterior_circle(posteriors, points)
    assert [panel.axison for panel in figure.axes] == [n < count for n in range(len(figure.axes))]
    columns = {1: 2, 3: 4, 4: 3, 11: 4}[count]
    figure.canvas.draw()
    for n, panel in enumerate(figure.axes[:count]):
        labelled = any(label.get_visible() and label.get_text() for label in panel.get_xticklabels())
        assert labelled == (n + columns >= count)  # where no panel stands below
    assert_legible(figure)


@pytest.mark.parametrize("shown", [1, 8])
def test_mapa_non_identifiability_of_any_number_of_observations(shown: int) -> None:
    z, grid = np.tile(np.linspace(-2, 2, 30), (2, 1)), np.linspace(-2, 2, 50)
    size = np.arange(1, shown + 1)
    curves = {
        "z": z, "z_shown": np.tile(np.linspace(-1, 1, shown), (2, 1)), "grid": grid, "prior": -0.5 * grid**2,
        "decoder": np.tile(grid[:, None], (2, 1, 2)), "true": -np.tile(np.outer(size, grid**2), (2, 1, 1)),
        "mapa": -np.outer(size, z[0] ** 2), "empiricalised": -np.tile(np.outer(size, z[0] ** 2), (2, 1, 1)),
    }  # fmt: skip
    points = table(keys(codes=mapa.CODES, observation=[*map(str, size), "mean"]), "kl_p_to_q")
    figure = mapa.fig12_nonident_circle(curves, points)
    assert len(figure.axes) == 2 * (1 + shown)
    assert_legible(figure)


@pytest.mark.parametrize("name", ["one", "no budget", "many"])
def test_mapa_gaps_name_the_share_of_each_method_where_they_differ(name: str) -> None:
    cells = MAPA_CELLS[name]
    gaps = table(mapa_keys(cells, 2), *mapa.GAPS).astype({"S": float, "k_share": float})
    figure = mapa.fig_gaps(gaps)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len(set(labels)) == len(cells)
    assert ("25%" in figure.get_supxlabel()) == (name == "one")
    assert_legible(figure)


@pytest.mark.parametrize("draws", [1, 9])
def test_mapa_figure_1_shows_any_number_of_draws(draws: int) -> None:
    z = np.linspace(0, 1, 20)
    values = np.linspace(0.05, 0.85, draws)
    both = np.stack([values, values])
    intuition = {
        "z": z, "x": z, "joint": np.tile(np.exp(-((z[:, None] - z) ** 2)), (2, 1, 1)),
        "marginal": np.ones((2, 20)), "posterior": np.ones((2, draws, 20)),
        "z_draw": both, "mean_draw": both, "x_draw": values,
    }  # fmt: skip
    assert_legible(mapa.fig01_intuition(intuition))


AIR = {
    "one": ({"weight_norm": (0.0,)}, (2.0,), (1,), ("omniglot",)),
    "many": (
        {"denoising": (0.1, 0.3, 0.7), "weight_norm": (0.0,)},
        (0.1, 0.2, 0.4, 0.8, 1.6),
        (1, 2, 4, 16, 256),
        ("binarized_mnist", "caltech_silhouettes"),
    ),
}


def strengths(name: str) -> pd.DataFrame:
    methods, levels, ks, datasets = AIR[name]
    key = {"dataset": datasets, "k": ks, "m": (1,), "encoder": ("standard",), "data": ("real",)}
    rows = keys(**key, method=("plain",), alpha=(0.0,), strength=(0.0,))
    for method, alphas in methods.items():
        rows += keys(**key, method=(method,), alpha=alphas, strength=levels)
    found = table(rows, "test_loglik", "gain")
    return found.assign(
        gain_low=found["gain"] - 0.1, gain_high=found["gain"] + 0.1, chosen=found["strength"] == 0.4
    )


@pytest.mark.parametrize("name", AIR)
def test_air_figures_1_and_2_have_the_methods_and_alphas_that_were_trained(name: str) -> None:
    found = strengths(name)
    methods, _, ks, datasets = AIR[name]
    first, second = air.fig01_strength(found), air.fig02_strength_by_k(found)
    assert len(first.axes) == len(methods) * len(datasets)
    drawn = [label for panel in first.axes for label in panel.get_legend_handles_labels()[1]]
    assert len(drawn) == len(datasets) * sum(map(len, methods.values()))
    assert len(second.axes) == len(datasets) * sum(map(len, methods.values()))
    assert all(len(panel.containers) == len(ks) for panel in second.axes)
    for figure in (first, second):
        assert_legible(figure)


def test_air_figure_1_leaves_a_data_set_without_regularisation_empty() -> None:
    found = strengths("many")
    found = found[(found["dataset"] == "binarized_mnist") | (found["method"] == "plain")]
    figure = air.fig01_strength(found)
    assert [bool(panel.containers) for panel in figure.axes] == [True, False, True, False]
    assert_legible(figure)


PLAIN = (("plain", 0.0, 0.0),)
REGULARISED = (("denoising", 0.3, 0.7), ("denoising", 1.0, 0.7), ("weight_norm", 0.0, 3.0))


@pytest.mark.parametrize(("methods", "ms"), [(PLAIN, (1, 3)), ((*PLAIN, *REGULARISED), tuple(range(1, 9)))])
def test_air_figure_4_has_a_panel_per_method(
    methods: Sequence[tuple[str, float, float]], ms: Sequence[int]
) -> None:
    rows = [
        {"dataset": "omniglot", "data": "real", "method": method, "alpha": alpha, "strength": strength, **key}
        for method, alpha, strength in methods
        for key in keys(m=ms, passes=(1.0, 2.0))
    ]
    figure = air.fig04_gradient_samples(table(rows, "test_bound"))
    assert len(figure.axes) == len(methods)
    assert all(len(panel.lines) == len(ms) for panel in figure.axes)
    assert_legible(figure)


@pytest.mark.parametrize(
    ("sigmas", "shown", "ks", "alphas"),
    [
        ((0.5, 2.0), (2.0,), (1, 30), (0.4,)),
        (tuple(np.geomspace(0.1, 10, 9)), (0.1, 1.0, 10.0), tuple(spread(9)), (0.2, 1.0)),
    ],
)
def test_air_theory_takes_its_levels_from_the_tables(
    sigmas: Sequence[float], shown: Sequence[float], ks: Sequence[int], alphas: Sequence[float]
) -> None:
    families, x = ("categorical", "gaussian"), np.linspace(-3, 3, 9)
    strength = keys(encoder=("any",), family=families, model=(0,), alpha=(1.0,), sigma=sigmas)
    strength += keys(encoder=("affine",), family=families, model=(0,), alpha=alphas, sigma=sigmas)
    figure = air.fig_theory(
        table(keys(family=families, sigma=shown, x=x), "optimised", "kernel_regression"),
        table(keys(family=families, x=(-1.0, 0.0)), "natural_1"),
        table(keys(family=families, sigma=sigmas), "slope", "bound"),
        table(strength, "regulariser"),
        table(keys(sigma=shown, pixel=(0,), z=x), "formula", "optimised", "data_mean"),
        table(keys(model=(0,), sigma=(np.inf, *shown), k=ks), "regulariser"),
        table(keys(sigma=sigmas), "difference", "mutual_information", "perturbation_entropy"),
    )
    assert len(figure.axes[2].get_legend().get_texts()) == 1 + (1.0 in alphas)
    assert_legible(figure)


@pytest.mark.parametrize(
    ("encoders", "bits", "hidden"),
    [(("e3",), (8,), (1,)), (("e1", "e2", "e3_scaled"), (2, 8, 64, 256), (0, 1, 2, 3, 5))],
)
def test_efvae_newsgroups_have_a_panel_per_length_and_depth(
    encoders: Sequence[str], bits: Sequence[int], hidden: Sequence[int]
) -> None:
    rows = keys(part=("test",), encoder=encoders, bits=bits, hidden=hidden, data=("real",), epoch=(1, 2))
    figure = efvae.fig_newsgroups(table(rows, "nelbo", "unigram").assign(published=np.nan))
    assert len(figure.axes) == len(bits) * len(hidden)
    assert_legible(figure)


@pytest.mark.parametrize("count", [1, 2, 23])
def test_efvae_strips_show_any_number_of_images(count: int) -> None:
    names = (
        "x",
        "decoded",
        "samples_ground_truth",
        "samples_elbo_fixed",
        "samples_elbo_learned",
    )
    pictures: dict[str, np.ndarray] = {name: np.zeros((count, 8, 8, 3), np.uint8) for name in names}
    pictures["data"] = np.array("real")
    models = table(
        keys(model=("ground_truth", "elbo_fixed", "elbo_learned"), features=("inception",)), "sigma"
    )
    distances = models.assign(distance=[0.1, 100, 2000])
    for figure in (efvae.fig03_redecodings(pictures), efvae.fig04_samples(pictures, distances)):
        assert figure.get_size_inches()[1] < 10
        assert_legible(figure)


@pytest.mark.parametrize(("counts", "dimensions"), [((2, 3), (1, 7)), (tuple(spread(6)), tuple(spread(9)))])
def test_implicit_figure_1_has_the_numbers_of_steps_and_dimensions_that_were_run(
    counts: Sequence[int], dimensions: Sequence[int]
) -> None:
    axis = np.linspace(-3, 3, 15)
    samples = {
        "axis": axis, "posterior": np.exp(-(axis[:, None] ** 2) - axis**2), "log_evidence": np.array(1.0),
        "discriminator_steps": np.array(counts), "z": np.zeros((len(counts), 5, 2)),
    }  # fmt: skip
    curves = table(keys(discriminator_steps=counts, seed=range(9), step=(10, 20)), "elbo", "elbo_estimate")
    parts = table(
        keys(dimension=dimensions, part=tuple(implicit.PARTS), seed=range(9)),
        "kl_estimate",
        "certain",
        "accuracy",
    )
    exact = pd.DataFrame({"kl": [1.0], "exact_certain": [0.1], "exact_accuracy": [0.8]})
    figure = implicit.fig01_density_ratio(curves, samples, parts, exact)
    assert f"{counts[0]} step" in figure.axes[0].get_title()
    assert f"{counts[-1]} step" in figure.axes[1].get_title()
    assert_legible(figure)


def test_implicit_figure_2_has_the_mean_over_seeds_whatever_their_numbers() -> None:
    axis = np.linspace(-3, 3, 9)
    draws = {
        f"{method}_{target}": np.zeros((3, 2)) for method in implicit.TOY_METHODS for target in implicit.TOYS
    }
    for target in implicit.TOYS:
        draws |= {f"horizontal_{target}": axis, f"vertical_{target}": axis}
        draws[f"density_{target}"] = np.exp(-(axis[:, None] ** 2) - axis**2)
    divergences = table(keys(seed=(5, 6), method=tuple(implicit.TOY_METHODS), target=tuple(implicit.TOYS)))
    divergences["kl"] = divergences["seed"] / 4
    figure = implicit.fig02_uivi_toys(draws, divergences)
    assert all("= 1.38 \\pm 0.18$" in panel.get_title() for panel in figure.axes)
    assert_legible(figure)


@pytest.mark.parametrize(("iterations", "seeds"), [((3,), 1), (tuple(spread(8)), 15)])
def test_implicit_regressions_with_any_number_of_seeds_and_chains(
    iterations: Sequence[int], seeds: int
) -> None:
    steps = tuple(range(100, 1100, 100))
    key = {
        "seed": range(seeds),
        "iteration": steps,
        "dataset": ("mnist",),
        "variant": ("original",),
        "data": ("real",),
    }
    chains = table(keys(**key, method=("uivi",), hmc_iterations=iterations), "elbo")
    figure = implicit.fig04_hmc_iterations(chains)
    assert len(figure.axes[0].lines) == len(iterations)
    assert_legible(figure)
    methods = tuple(implicit.REGRESSION_METHODS)
    both = key | {"dataset": ("mnist", "hapt")}
    curves = table(keys(**both, cell=methods), "elbo", "test_loglik", "seconds_per_iteration")
    assert_legible(implicit.fig03_softmax_regression(curves))


@pytest.mark.parametrize(
    ("datasets", "ts"), [(("fashion_mnist",), (3, 4)), (tuple(implicit.IMAGES), (1, 2, 3, 5, 8, 13, 21, 34))]
)
def test_implicit_figure_6_has_a_panel_per_data_set(datasets: Sequence[str], ts: Sequence[int]) -> None:
    steps = table(keys(dataset=datasets, data=("real",), refinements=ts), "test_loglik")
    steps["test_loglik_seed_sd"] = 1.0
    time = table(keys(refinements=ts, data=("real",)), "seconds", "line").assign(
        seconds_low=0, seconds_high=2
    )
    figure = implicit.fig06_vcd_steps(steps, time)
    assert len(figure.axes) == len(datasets) + 1
    assert_legible(figure)


@pytest.mark.parametrize("ts", [(2, 7), tuple(spread(6))])
def test_implicit_figure_7_has_the_numbers_of_iterations_that_were_fitted(ts: Sequence[int]) -> None:
    alpha = table(keys(t=ts, alpha=(0.0, 0.3, 1.0), seed=(0, 1)), "deviation")
    optima = table(keys(t=(*map(float, ts), np.inf), alpha=(0.0, 0.5, 1.0)), "deviation")
    figure = implicit.fig07_alpha_vcd(alpha, optima)
    assert len(figure.axes[0].get_legend().get_texts()) == 1 + len(ts)
    assert_legible(figure)


def refused(tmp_path: Path, document: str, change: Callable[[dict[str, Any]], None]) -> str:
    """What loading the smoke scale says after a change in the settings of a document."""
    values = yaml.safe_load((CONFIG / "smoke.yaml").read_text(encoding="utf-8"))
    change(values[document])
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.raises(UserError) as refusal:
        load(tmp_path / "mine.yaml")
    return str(refusal.value)


def kept(*names: str) -> Callable[[dict[str, Any]], None]:
    """Train these cells of air alone."""

    def change(settings: dict[str, Any]) -> None:
        settings["train"]["cells"] = {name: settings["train"]["cells"][name] for name in names}
        settings["saturation"]["cells"] = [names[0]]

    return change


@pytest.mark.parametrize(
    ("cells", "word"),
    [
        (("k8", "m8"), "no regularised cell with k = 1 and m = 1, which Figure 1 shows"),
        (("large_k1", "m8"), "no regularised cell with k = 1 and m = 1, which Figure 1 shows"),
        (("k1", "k8"), "no cell with k = 1 and m > 1, which Figure 4 shows"),
    ],
)
def test_a_training_of_air_that_leaves_a_figure_empty_is_refused(
    tmp_path: Path, cells: Sequence[str], word: str
) -> None:
    message = refused(tmp_path, "air", kept(*cells))
    assert word in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("table_name", "where"), [("uivi", "Table 1"), ("vcd", "Table 2"), ("steps", "Figure 6")]
)
def test_a_training_of_implicit_that_leaves_a_table_empty_is_refused(
    tmp_path: Path, table_name: str, where: str
) -> None:
    def change(settings: dict[str, Any]) -> None:
        cells = settings["vae_train"]["cells"]
        for name, cell in list(cells.items()):
            cell["tables"] = [shown for shown in cell["tables"] if shown != table_name]
            if not cell["tables"]:
                del cells[name]

    message = refused(tmp_path, "implicit", change)
    assert f"no cell with '{table_name}' among its tables, for {where}" in message
    assert "\n" not in message


def test_more_shares_than_the_figures_tell_apart_are_refused(tmp_path: Path) -> None:
    def change(settings: dict[str, Any]) -> None:
        settings["passes"]["shares"] = [0.1, 0.2, 0.3, 0.4, 0.5]

    message = refused(tmp_path, "mapa", change)
    assert "mapa.passes.shares" in message
    assert "at most 4" in message
    assert "\n" not in message
