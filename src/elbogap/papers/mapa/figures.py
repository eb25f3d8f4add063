"""Figures of document mapa, each a function of its tables."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any, get_args

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from elbogap import style
from elbogap.data import synthetic
from elbogap.papers.mapa.intervals import half_interval
from elbogap.papers.mapa.methods import METHODS, SMOOTHED_MAP, STANDARD, Reading
from elbogap.tables import Arrays

Look = dict[str, Any]

LEAST = 1e-3  # test divergences below, in nats, are shown linearly: estimates near zero can be negative

_LOOKS: Mapping[str, Look] = {
    "vae": {"color": style.PURPLE, "linestyle": (0, (4, 1.5))},
    "iwae": {"color": style.BLACK, "marker": "s"},
    "mapa_naive": {"color": style.VERMILION, "marker": "v"},
    "mapa_gt": {"color": style.GREEN, "marker": "^"},
    "mapa_within": {"color": style.ORANGE, "marker": "D"},
    "mapa": {"color": style.BLUE, "marker": "o"},
    "mapa_exact": {"color": style.SKY, "linestyle": (0, (1, 1))},
}
LOOKS = {name: {"label": METHODS[name].label, **look} for name, look in _LOOKS.items()}
"""How the methods of Figures 2 and 3 look. Those without a marker do not depend on S: horizontal lines."""

FRACTION_COLOURS = (style.BLUE, style.ORANGE, style.GREEN, style.VERMILION)


def fig01_intuition(intuition: Arrays) -> Figure:
    """Figure 1: four draws, their path through two decoders with one marginal, and their posteriors."""
    ratios = {"width_ratios": [5, 1, 5, 1], "height_ratios": [4, 2.4, 1]}
    figure, axes = plt.subplots(3, 4, figsize=(style.PAGE, 4.9), sharex="col", gridspec_kw=ratios)
    z, x, x_draw = (intuition[name] for name in ("z", "x", "x_draw"))
    for variant, title in enumerate(("Variant 1, $f(z) = (0.5 - z)^2$", "Variant 2, $f(z) = 0.25\\,z^2$")):
        (process, posteriors, prior), (marginal, *unused) = axes[:, 2 * variant : 2 * variant + 2].T
        joint, z_draw, mean = (intuition[name][variant] for name in ("joint", "z_draw", "mean_draw"))

        levels = np.array([0.03, 0.15, 0.4, 0.75]) * joint.max()
        process.contour(z, x, joint, levels=levels, cmap="Greys", vmin=-joint.max(), linewidths=0.8)
        process.vlines(z_draw, x[0], mean, color=style.VERMILION, linestyle=":", linewidth=0.9)
        process.vlines(z_draw, mean, x_draw, color=style.VERMILION, linewidth=1.2)
        process.plot(z_draw, mean, "o", color="white", markeredgecolor=style.VERMILION, label="$f(z_i)$")
        process.plot(z_draw, x_draw, "o", color=style.VERMILION, label="$x_i = f(z_i) + \\epsilon_i$")
        for number, position in enumerate(zip(z_draw, x_draw, strict=True), 1):
            _annotate(process, f"$x_{number}$", position, (4, 2), color=style.VERMILION)
        process.set(xlim=(0, 1), ylim=(x[0], x[-1]), title=title)
        if variant == 0:
            process.legend(loc="upper center", handletextpad=0.2)

        marginal.plot(intuition["marginal"][variant], x, color=style.BLUE)
        marginal.set(ylim=process.get_ylim(), xlim=(0, None), yticklabels=[], xticks=[], xlabel="$p(x)$")
        for below in unused:
            below.set_axis_off()

        density = intuition["posterior"][variant]
        for number, values in enumerate(density):
            level = -1.05 * density.max() * number
            posteriors.fill_between(z, level, level + values, color=style.GREEN, alpha=0.35, linewidth=0)
            posteriors.plot(z, level + values, color=style.GREEN, linewidth=0.9)
            at_draws = level + np.interp(z_draw, z, values)
            posteriors.plot(z_draw, at_draws, "o", color=style.VERMILION, markersize=2)
            _annotate(posteriors, f"$x_{number + 1}$", (1.0, level), (2, 0), annotation_clip=False)
        posteriors.set(xlim=(0, 1), yticks=[])

        prior.plot([0, 0, 1, 1], [0, 1, 1, 0], color=style.BLACK, linewidth=0.9)
        prior.vlines(z_draw, 0, 1, color=style.VERMILION, linestyle=":", linewidth=0.9)
        prior.plot(z_draw, 0 * z_draw, "o", color=style.VERMILION, clip_on=False)
        for number, value in enumerate(z_draw, 1):
            shift = (3 if value < 0.9 else -11, 3)
            _annotate(prior, f"$z_{number}$", (value, 0), shift, color=style.VERMILION)
        prior.set(xlim=(0, 1), ylim=(0, 1.3), yticks=[0, 1], xlabel="latent $z$")
    for panel, label in zip(axes[:, 0], ("observation $x$", "$p(z \\mid x_i)$", "$p(z)$"), strict=True):
        panel.set_ylabel(label)
    return figure


def _annotate(panel: Axes, text: str, at: tuple[float, float], shift: tuple[int, int], **look: Any) -> None:
    panel.annotate(text, at, shift, textcoords="offset points", **look)


DIVERGENCE = "test divergence $\\mathrm{KL}(p_\\mathrm{GT} \\,\\|\\, p_\\theta)$ / nats"


def fig02_summary(density: pd.DataFrame, passes: pd.DataFrame) -> Figure:
    """Figure 2: test divergence on two problems (a), and decoder passes on one of them (b)."""
    figure, axes = plt.subplots(1, 3, figsize=(style.PAGE, 2.9))
    for panel, problem in zip(axes[:2], ("absolute_value", "spiral_dots"), strict=True):
        _draw_density(panel, density, problem, "(a) ")
    axes[0].set_ylabel("test divergence / nats")
    rows = passes[(passes["problem"] == "absolute_value") & (passes["cost"] == "decoder")]
    of_passes = _pass_looks(rows, [METHODS["mapa"].reading])
    _draw_passes(axes[2], rows, of_passes)
    title = f"(b) {synthetic.PROBLEMS['absolute_value'].title}"
    axes[2].set(title=title, ylabel="decoder passes per point")
    of_mapa = [look for (kind, _), look in of_passes.items() if kind != "iwae"]
    handles = _handles(*_looks(density).values(), *of_mapa)
    figure.legend(handles=handles, loc="outside lower center", ncols=4, handlelength=2.5)
    return figure


def fig03_density(density: pd.DataFrame) -> Figure:
    """Figure 3: test divergence against the number of samples."""
    figure, axes = plt.subplots(2, 3, figsize=(style.PAGE, 4.6))
    for panel, problem in zip(axes.flat, synthetic.PROBLEMS, strict=True):
        _draw_density(panel, density, problem)
    figure.supylabel(DIVERGENCE, fontsize=8)
    handles = _handles(*_looks(density).values())
    figure.legend(handles=handles, loc="outside lower center", ncols=4, handlelength=3)
    return figure


def fig_budget(density: pd.DataFrame) -> Figure:
    """Ours: test divergence against what a training step costs, by two measures."""
    figure, axes = plt.subplots(2, len(synthetic.PROBLEMS), figsize=(style.PAGE, 4.4), sharey="col")
    for column, problem in zip(axes.T, synthetic.PROBLEMS, strict=True):
        rows = density[(density["problem"] == problem) & density["prior"].isin([STANDARD, SMOOTHED_MAP])]
        rows = rows[rows["method"].isin(LOOKS)]
        for panel, cost, factor in zip(
            column, ("passes_per_point", "seconds_per_step"), (1, 1e3), strict=True
        ):
            for (method, _), own in rows.groupby(["method", "S"], dropna=False):
                look, mean = {"marker": "_", **LOOKS[method]}, own["test_kl"].mean()
                at = factor * own[cost].mean()
                panel.errorbar(at, mean, half_interval(own["test_kl"]), **_faced(look, own))
            panel.set_xscale("log")
            panel.margins(x=0.15)
            _scale_divergence(panel, rows)
            low, high = panel.get_xlim()
            ticks = _ticks(low, high, most=3)
            panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        column[0].set_title(synthetic.PROBLEMS[problem].title.replace(" (", "\n("))
    for row, label in zip(axes, ("decoder passes per point", "milliseconds per step"), strict=True):
        row[0].set_ylabel("test divergence / nats")
        row[len(row) // 2].set_xlabel(label, x=0, ha="center")
    handles = _handles(*({"marker": "_", **look, "linestyle": "none"} for look in _looks(density).values()))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, handletextpad=0.2)
    return figure


def _handles(*looks: Look) -> list[Line2D]:
    """What a legend shows."""
    return [Line2D([], [], **look) for look in looks]


def _looks(density: pd.DataFrame) -> dict[str, Look]:
    """Those of the methods that are there."""
    there = set(density["method"])
    return {method: look for method, look in LOOKS.items() if method in there}


def _draw_density(panel: Axes, density: pd.DataFrame, problem: str, part: str = "") -> None:
    """Means over data sets with 95 % intervals, data sets as dots; horizontal lines have a band over these.

    Hollow symbols: the objective still changed.
    """
    rows = density[(density["problem"] == problem) & density["prior"].isin([STANDARD, SMOOTHED_MAP])]
    rows = rows[rows["method"].isin(LOOKS)]
    looks = _looks(rows)
    at_samples = [method for method, look in looks.items() if "marker" in look]
    for method, look in looks.items():
        own = rows[rows["method"] == method]
        values, colour = own["test_kl"], look["color"]
        if "marker" not in look:
            panel.axhspan(values.min(), values.max(), color=colour, alpha=0.2, linewidth=0)
            panel.axhline(values.mean(), **look)
            continue
        # so that the dots of two methods do not hide each other
        beside = 1.04 ** (at_samples.index(method) - (len(at_samples) - 1) / 2)
        panel.plot(beside * own["S"], values, ".", color=colour, alpha=0.5, markeredgewidth=0)
        by_samples = own.groupby("S")
        mean = by_samples["test_kl"].mean()
        panel.plot(beside * mean.index, mean, **{**look, "marker": "none"})
        for count, of_count in by_samples:
            half = half_interval(of_count["test_kl"])
            panel.errorbar(beside * count, mean[count], half, **_faced(look, of_count))
    samples = sorted(rows.loc[rows["method"].isin(at_samples), "S"].unique())
    panel.set(xscale="log", xlabel="samples $S$", title=part + synthetic.PROBLEMS[problem].title)
    panel.set_xticks(samples, [f"{count:.0f}" for count in samples])
    if samples:  # methods that are horizontal lines have none
        panel.set_xlim(samples[0] / 1.3, samples[-1] * 1.3)
    _scale_divergence(panel, rows)


def _faced(look: Look, rows: pd.DataFrame) -> Look:
    """The look of one symbol, hollow unless most models have converged."""
    face = look["color"] if rows["converged"].mean() > 0.5 else "white"
    return {**look, "linestyle": "none", "markerfacecolor": face, "elinewidth": 0.7, "capsize": 1.5}


def _scale_divergence(panel: Axes, rows: pd.DataFrame) -> None:
    """A vertical axis of test divergences: logarithmic, and linear around zero where some are negative."""
    values = rows["test_kl"]
    if (values > 0).all():
        panel.set_yscale("log")
    else:
        panel.set_yscale("symlog", linthresh=LEAST, linscale=0.5)
    if len(values):  # intervals may reach further
        panel.set_ylim(min(values.min() / 1.3, 1.3 * values.min()), 1.3 * values.max())
    panel.set_yticks(_ticks(*panel.get_ylim()))
    panel.yaxis.set_major_formatter("{x:g}")
    panel.minorticks_off()


def _ticks(low: float, high: float, most: int = 7) -> list[float]:
    """Decimal ticks of a logarithmic axis, or one that is linear around zero, as dense as `most` allows."""
    least = LEAST if low <= 0 else low
    for digits in ((1, 2, 5), (1, 3), (1,)):
        sizes = [digit * 10.0**power for power in range(-5, 4) for digit in digits]
        ticks = [value for value in (-LEAST, 0.0, *sizes) if low <= value <= high and not 0 < value < least]
        if len(ticks) <= most:
            break
    return ticks


def fig04_passes_decoder(passes: pd.DataFrame) -> Figure:
    """Figure 4: network evaluations per point where the decoder's cost dominates."""
    return _passes(passes[passes["cost"] == "decoder"], "decoder passes per point")


def fig05_passes_both(passes: pd.DataFrame) -> Figure:
    """Figure 5: network evaluations per point where encoder and decoder cost the same."""
    return _passes(passes[passes["cost"] == "encoder and decoder"], "encoder and decoder\npasses per point")


def _passes(table: pd.DataFrame, label: str) -> Figure:
    """A panel per problem over one legend."""
    looks = _pass_looks(table)
    size = (style.PAGE, 2.2 + 0.15 * -(-len(looks) // 3))  # three columns of the legend
    figure, axes = plt.subplots(1, len(synthetic.PRINTED), figsize=size, sharex=True, sharey=True)
    for panel, problem in zip(axes, synthetic.PRINTED, strict=True):
        _draw_passes(panel, table[table["problem"] == problem], looks)
        panel.set_title(synthetic.PROBLEMS[problem].title)
    axes[0].set_ylabel(label)
    figure.legend(handles=_handles(*looks.values()), loc="outside lower center", ncols=3, handlelength=3)
    return figure


PassLooks = Mapping[tuple[str, float | None], Look]
"""By reading of k and fraction k / S, or by `iwae` and `max` without one."""


def _pass_looks(table: pd.DataFrame, readings: Sequence[str] = get_args(Reading)) -> PassLooks:
    """Colours and markers tell fractions apart, dashes and hollow markers readings."""
    fractions = sorted(table["k_share"].dropna().unique())
    dashes = dict(zip(get_args(Reading), (("-", 1), ("--", 0)), strict=True))
    looks: dict[tuple[str, float | None], Look] = {("iwae", None): {"color": style.BLACK, "label": "IWAE"}}
    for fraction, colour, marker in zip(fractions, cycle(FRACTION_COLOURS), cycle("os^v"), strict=False):
        for reading in readings:
            line, filled = dashes[reading]
            looks[reading, fraction] = {
                "color": colour,
                "linestyle": line,
                "marker": marker,
                "markerfacecolor": colour if filled else "white",
                "linewidth": 0.9,
                "label": f"MAPA, $k$ = {fraction:.0%} of $S$, {reading} $S$",
            }
    looks["max", None] = {"color": style.GREY, "linestyle": ":", "label": "MAPA Max, all $N$ points"}
    return looks


def _draw_passes(panel: Axes, rows: pd.DataFrame, looks: PassLooks) -> None:
    """Means over data sets; bars are standard deviations over batches, averaged over data sets."""
    keys, metrics = ["reading", "k_share", "S"], ["passes_per_point", "passes_sd"]
    iwae = rows[rows["method"] == "iwae"].groupby("S")["passes_per_point"].mean()
    panel.plot(iwae, **looks["iwae", None])
    mean = rows.groupby(keys)[metrics].mean().reset_index()
    for key, curve in mean.groupby(["reading", "k_share"]):
        if key in looks:
            panel.errorbar("S", "passes_per_point", "passes_sd", data=curve, capsize=1.5, **looks[key])
    panel.axhline(rows["passes_max"].max(), **looks["max", None])
    panel.set(xlabel="samples $S$", xlim=(0, None), yscale="log")
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_major_formatter("{x:g}")
    panel.yaxis.set_minor_locator(NullLocator())


def log_posteriors(posteriors: Arrays, points: pd.DataFrame) -> Figure:
    """Figures 6 to 10: one panel per chosen observation, and a legend in the last place."""
    rows = -(-(len(points) + 1) // 4)
    columns = -(-(len(points) + 1) // rows)
    size = (style.PAGE * columns / 4, 1.9 * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, sharex=True, sharey=True, squeeze=False)
    for n, (panel, z_n) in enumerate(zip(axes.flat, points["z"], strict=False)):
        _draw_posterior(panel, posteriors, n, z_n)
        panel.set_title(f"$z_n = {z_n:.2f}$")
        panel.tick_params(labelbottom=n + columns >= len(points))  # nothing is drawn below
    axes[0, 0].set_ylim(_limits(posteriors))
    for panel in axes.flat[len(points) :]:
        panel.set_axis_off()
    title = f"{synthetic.PROBLEMS[points['problem'][0]].title}\n$N$ = {len(posteriors['z']):,}"
    axes.flat[-1].legend(handles=_handles(*POSTERIOR_LEGEND), loc="center", title=title)
    figure.supxlabel("latent $z^{\\mathrm{GT}}$", fontsize=8)
    figure.supylabel("log-posterior / nats", fontsize=8)
    return figure


fig06_posterior_absolute_value = fig07_posterior_circle = fig08_posterior_clusters = log_posteriors
fig09_posterior_figure_8 = fig10_posterior_spiral_dots = log_posteriors

LOWEST = -30  # nats: densities below, e^-30, are cut off
RINGS = 30
POSTERIOR_LEGEND: tuple[Look, ...] = (
    {"color": style.BLACK, "label": "$p(z \\mid x_n)$, true"},
    {"color": style.VERMILION, "label": "$p(z \\mid x_n) \\, / \\, p(z)$"},
    {**style.RING, "color": style.VERMILION, "label": "$N p(i \\mid x_n, Z)$"},
    {"color": style.BLUE, "linestyle": "none", "marker": "o", "label": "$N q(i \\mid n)$, MAPA"},
    {"color": style.GREY, "linewidth": 0.6, "linestyle": ":", "label": "$z_n$"},
)


def _draw_posterior(panel: Axes, posteriors: Arrays, n: int, z_n: float) -> None:
    """The three log-posteriors of the n-th chosen observation, whose own latent value is `z_n`."""
    z, grid, true = posteriors["z"], posteriors["grid"], posteriors["true"][n]
    order = z.argsort()
    apart = order[np.unique(np.searchsorted(z[order], np.linspace(z.min(), z.max(), RINGS)))]
    cloud: Look = {"linestyle": "none", "marker": ".", "markeredgewidth": 0, "rasterized": True}
    panel.plot(z, posteriors["mapa"][n], color=style.BLUE, markersize=2, alpha=0.5, **cloud)
    panel.plot(grid, true - posteriors["prior"], color=style.VERMILION, linewidth=0.9)
    panel.plot(z[apart], posteriors["empiricalised"][n][apart], color=style.VERMILION, **style.RING)
    panel.plot(grid, true, color=style.BLACK, linewidth=0.9)
    panel.axvline(z_n, color=style.GREY, linewidth=0.6, linestyle=":", zorder=0)


def _limits(posteriors: Arrays) -> tuple[float, float]:
    """Of the vertical axes of all panels."""
    return LOWEST, 1 + max(float(posteriors[name].max()) for name in ("mapa", "empiricalised", "true"))


CODES = ("ground truth", "mean-field mean")  # of the two variants, as the document chose them


def nonidentifiability(curves: Arrays, points: pd.DataFrame) -> Figure:
    """Figures 11 and 12: two variants under one MAPA, a column each with its decoder above posteriors."""
    shown = curves["true"].shape[1]
    size, ratios = (style.PAGE, 1.6 + 1.15 * shown), {"height_ratios": [1.3, *[1] * shown]}
    figure, axes = plt.subplots(1 + shown, 2, figsize=size, sharex=True, gridspec_kw=ratios)
    coordinates: tuple[Look, ...] = (
        {"color": style.GREY, "label": "$f(z)$, first coordinate"},
        {"color": style.GREY, "linestyle": "--", "label": "second"},
    )
    variants = (
        ("Variant 1, ground truth", "z_n", "latent $z^{\\mathrm{GT}}$"),
        ("Variant 2, trained VAE", "\\mu(x_n)", "mean-field posterior mean $\\mu(x)$"),
    )
    for variant, (name, code, label) in enumerate(variants):
        top, *column = axes[:, variant]
        for values, look in zip(curves["decoder"][variant].T, coordinates, strict=True):
            top.plot(curves["grid"], values, **look)
        top.sharey(axes[0, 0])
        own = {name: curves[name][variant] for name in ("z", "true", "empiricalised")}
        own |= {name: curves[name] for name in ("grid", "prior", "mapa")}
        kl = points[points["codes"] == CODES[variant]].set_index("observation")["kl_p_to_q"]
        top.set_title(f"{name}: mean KL = {kl['mean']:.2f} nats")
        for n, (panel, kl_n) in enumerate(zip(column, kl.drop("mean"), strict=True)):
            z_n = curves["z_shown"][variant, n]
            _draw_posterior(panel, own, n, z_n)
            panel.set_ylim(_limits(curves))
            panel.set_title(f"${code} = {z_n:.2f}$,  KL = {kl_n:.2f} nats", fontsize=7, pad=3)
        column[-1].set_xlabel(label)
    axes[0, 0].set_ylabel("decoder $f(z)$")
    figure.supylabel("log-posterior / nats", fontsize=8)
    handles = _handles(*coordinates, *POSTERIOR_LEGEND)
    figure.legend(handles=handles, loc="outside lower center", ncols=7, columnspacing=1)
    return figure


fig11_nonident_absolute_value = fig_nonident_absolute_value_folded = nonidentifiability
fig12_nonident_circle = nonidentifiability

GAPS: Mapping[str, Look] = {
    "bound_gap": {"label": "bound", "color": style.BLACK, "marker": "o"},
    "inference_gap": {"label": "inference", "color": style.VERMILION, "marker": "D"},
    "amortisation_gap": {"label": "amortisation", "color": style.BLUE, "marker": "<"},
    "approximation_gap": {"label": "approximation", "color": style.GREEN, "marker": ">"},
}
"""The gaps of a method, from the top of its row to the bottom."""


def fig_gaps(gaps: pd.DataFrame) -> Figure:
    """Ours: what each bound loses against the likelihood; means over data sets, on lines of their range."""
    cells = gaps.drop_duplicates("cell")
    size = (style.PAGE, 1.1 + 0.27 * len(cells))
    figure, axes = plt.subplots(1, len(synthetic.PROBLEMS), figsize=size, sharex=True, sharey=True)
    beside = np.linspace(-0.27, 0.27, len(GAPS))  # so that the gaps of a method do not hide each other
    for panel, problem in zip(axes, synthetic.PROBLEMS, strict=True):
        rows = gaps[gaps["problem"] == problem]
        for number, cell in enumerate(cells["cell"]):
            if number % 2:
                panel.axhspan(number - 0.5, number + 0.5, color=style.GREY, alpha=0.12, linewidth=0)
            for (gap, look), shift in zip(GAPS.items(), beside, strict=True):
                values, height = rows.loc[rows["cell"] == cell, gap].dropna(), number + shift
                if len(values):
                    panel.hlines(height, values.min(), values.max(), color=look["color"], linewidth=0.9)
                    panel.plot(values.mean(), height, linestyle="none", markersize=2.8, **look)
        panel.set_xscale("symlog", linthresh=LEAST, linscale=0.3)
        panel.set_title(synthetic.PROBLEMS[problem].title.replace(" (", "\n("))
        panel.minorticks_off()
        panel.tick_params(axis="y", length=0)
    highest = np.ceil(np.log10(max(1.0, gaps[list(GAPS)].max(axis=None))))
    ticks = {0.0: "0"} | {10.0**power: f"$10^{{{power}}}$" for power in range(0, int(highest) + 1, 2)}
    axes[0].set(xlim=(-LEAST / 2, 2 * 10**highest), ylim=(len(cells) - 0.5, -0.5))
    axes[0].set_xticks([*ticks], [*ticks.values()])
    fractions = cells["k_share"].dropna().unique()
    labels = [_cell_label(cell, len(fractions) > 1) for _, cell in cells.iterrows()]
    axes[0].set_yticks(range(len(cells)), labels)
    same = f" ($k$ = {fractions[0]:.0%} of $S$)" if len(fractions) == 1 else ""
    figure.supxlabel(f"gap / nats{same}", fontsize=8)
    handles = _handles(*({"linestyle": "none", **look} for look in GAPS.values()))
    figure.legend(handles=handles, loc="outside upper center", ncols=len(GAPS), handletextpad=0.2)
    return figure


def _cell_label(cell: pd.Series, with_fraction: bool) -> str:
    """E.g. `MAPA, S = 50`, with k where not all methods have the same fraction of S."""
    method = METHODS[cell["method"]]
    samples = "" if method.budget == "none" else f", $S$ = {cell['S']:.0f}"
    with_k = with_fraction and method.budget == "S and k"
    return method.label + samples + (f", $k$ = {cell['k_share']:.0%}" if with_k else "")


PROPOSALS: Mapping[str, tuple[str, str, Look]] = {
    "document": ("kl", "scale_one", {"color": style.VERMILION, "marker": "o"}),
    "$c$ by likelihood": ("kl_own", "chosen_by_likelihood", {"color": style.ORANGE, "marker": "s"}),
    "$c$ by bootstrap": ("kl_own", "chosen", {"color": style.BLUE, "marker": "^"}),
    "$c$ by bootstrap, floor": ("kl_floor", "chosen", {"color": style.SKY, "marker": "v"}),
    "best $c$": ("kl_own", "best", {"color": style.GREEN, "marker": "d", "linestyle": "--"}),
    "uniform": ("kl_uniform", "best", {"color": style.GREY, "linestyle": ":"}),
}
"""Column, marked rows and look of each way to take the kernel."""


def fig_dimensions(dimensions: pd.DataFrame) -> Figure:
    """Ours: divergence of MAPA from the posterior by the dimension of x, for several kernels."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(style.PAGE, 2.9))
    marked = dimensions.assign(scale_one=dimensions["scale"] == 1)
    for label, (column, which, look) in PROPOSALS.items():
        _mean_and_range(left, marked[marked[which]], "dimensions", column, label=label, **look)
    for label in ("$c$ by likelihood", "$c$ by bootstrap", "best $c$"):
        _, which, look = PROPOSALS[label]
        _mean_and_range(right, marked[marked[which]], "dimensions", "scale", **look)
    left.set(title="(a) divergence", ylabel="KL$(p \\,\\|\\, q)$ / nats", yscale="log")
    right.set(title="(b) scale of the kernel", ylabel="scale $c$", yscale="log")
    for panel in (left, right):
        panel.set(xlabel="dimension $D$ of $x$", xscale="log")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def fig_scaling(scaling: pd.DataFrame, truncation: pd.DataFrame, batches: pd.DataFrame) -> Figure:
    """Ours: what MAPA costs for N points, what truncation loses, and what near batches save."""
    figure, axes = plt.subplots(2, 3, figsize=(style.PAGE, 4.2))
    for kind, colour in (("exact", style.VERMILION), ("neighbours", style.BLUE)):
        rows = scaling[scaling["kind"] == kind]
        axes[0, 0].plot(rows["points"], rows["proposal_s"], "o-", color=colour, label=f"proposal, {kind}")
        axes[0, 1].plot(rows["points"], rows["proposal_mib"], "o-", color=colour, label=kind)
    timed = scaling.dropna(subset="epoch_s")
    axes[0, 0].plot(timed["points"], timed["epoch_s"], "s--", color=style.BLUE, label="one epoch, neighbours")
    for column, label, colour in (
        ("dropped", "rest dropped", style.VERMILION),
        ("sampled", f"rest sampled, $S$ = {truncation['samples'].iloc[0]}", style.BLUE),
    ):
        _mean_and_range(axes[0, 2], truncation, "neighbours", column, label=label, color=colour, marker="o")
    for panel, column in zip(axes[1], ("passes_per_point", "variance", "test_loglik"), strict=True):
        _mean_and_range(panel, batches, "leaf_size", column, color=style.BLUE, marker="o")
        panel.set(xlabel="near points per group", xscale="log")
        panel.set_xticks(sizes := batches["leaf_size"].unique(), sizes)
        panel.minorticks_off()
    passes = batches["decoder_passes"].mean()
    for panel, title, label in (
        (axes[0, 0], "(a) time", "seconds of one core"),
        (axes[0, 1], "(b) memory", "proposal / MiB"),
        (axes[0, 2], "(c) truncation", "bound below $\\log p(x)$ / nats"),
        (axes[1, 0], "(d) sharing", "decoder passes per point"),
        (axes[1, 1], "(e) noise of a step", "variance / mean$^2$"),
        (axes[1, 2], f"(f) after {passes:.0f} passes per point", "test log-likelihood / nats"),
    ):
        panel.set(title=title, ylabel=label)
    for panel in axes[0]:
        panel.set(xscale="log", yscale="log", xlabel="points $N$")
        panel.legend(fontsize=6)
    axes[0, 2].set(xlabel="neighbours $K$")
    axes[1, 1].set(yscale="log")
    return figure


IMAGE_MODELS = {"vae": "VAE", "iwae": "IWAE", "mapa": "MAPA", "mapa_scale_one": "MAPA, $c$ = 1"}


def fig_images(samples: Arrays, table: pd.DataFrame) -> Figure:
    """Ours: images that the models of binarised MNIST generate, with their test likelihoods."""
    shape = table["latent"].unique(), table["method"].unique()
    figure, axes = plt.subplots(len(shape[0]), len(shape[1]), figsize=(style.PAGE, 1.1 * len(shape[0])))
    for row, latent in zip(axes, shape[0], strict=True):
        for panel, method, images in zip(
            row, shape[1], samples["images"][[*shape[0]].index(latent)], strict=True
        ):
            values = table.loc[(table["latent"] == latent) & (table["method"] == method), "test_loglik"]
            title = f"{IMAGE_MODELS[method]}, {latent} dimensions:\n{values.mean():.1f} nats"
            shown = images[: len(images) // 2 * 2]
            style.mosaic(panel, shown.reshape(2, -1, *shown.shape[1:]), title, cmap="gray_r")
    style.mark_stand_in(figure, table)
    return figure


def _mean_and_range(panel: Axes, rows: pd.DataFrame, along: str, column: str, **look: Any) -> None:
    by_level = rows.groupby(along)[column]
    low, mean, high = by_level.min(), by_level.mean(), by_level.max()
    panel.errorbar(mean.index, mean, (mean - low, high - mean), capsize=2, **look)
