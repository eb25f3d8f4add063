"""Figures of document mapa, each a function of its tables."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from elbogap.figures import style

Arrays = Mapping[str, np.ndarray]

PROBLEMS = ("absolute_value", "circle", "clusters", "figure_8", "spiral_dots")
LINEAR = 25  # nats around zero that the vertical axes of Figures 6 to 10 show linearly


def fig01_intuition(intuition: Arrays) -> Figure:
    """Figure 1: four draws, their path through two decoders with one marginal, and their posteriors."""
    figure, axes = plt.subplots(
        3,
        4,
        figsize=(style.PAGE, 4.9),
        sharex="col",
        gridspec_kw={"width_ratios": [5, 1, 5, 1], "height_ratios": [4, 2.4, 1]},
    )
    titles = ("Variant 1, $f(z) = (0.5 - z)^2$", "Variant 2, $f(z) = 0.25\\,z^2$")
    for variant, title in enumerate(titles):
        process, marginal = axes[0, 2 * variant : 2 * variant + 2]
        _draw_process(process, intuition, variant)
        process.set_title(title)
        marginal.plot(intuition["marginal"][variant], intuition["x"], color=style.BLUE)
        marginal.set(ylim=process.get_ylim(), xlim=(0, None), yticklabels=[], xticks=[], xlabel="$p(x)$")
        _draw_posteriors(axes[1, 2 * variant], intuition, variant)
        _draw_prior(axes[2, 2 * variant], intuition["z_draw"][variant])
        for below in axes[1:, 2 * variant + 1]:
            below.set_axis_off()
    axes[0, 0].set_ylabel("observation $x$")
    axes[1, 0].set_ylabel("$p(z \\mid x_i)$")
    axes[2, 0].set_ylabel("$p(z)$")
    return figure


def _draw_process(axes: Axes, intuition: Arrays, variant: int) -> None:
    z, x = intuition["z"], intuition["x"]
    z_draw, mean, x_draw = intuition["z_draw"][variant], intuition["mean_draw"][variant], intuition["x_draw"]
    joint = intuition["joint"][variant]
    axes.contour(
        z,
        x,
        joint,
        levels=np.array([0.03, 0.15, 0.4, 0.75]) * joint.max(),
        cmap="Greys",
        vmin=-joint.max(),
        linewidths=0.8,
    )
    axes.vlines(z_draw, x[0], mean, color=style.VERMILION, linestyle=":", linewidth=0.9)
    axes.vlines(z_draw, mean, x_draw, color=style.VERMILION, linewidth=1.2)
    axes.plot(z_draw, mean, "o", color="white", markeredgecolor=style.VERMILION, label="$f(z_i)$")
    axes.plot(z_draw, x_draw, "o", color=style.VERMILION, label="$x_i = f(z_i) + \\epsilon_i$")
    for number in range(len(z_draw)):
        axes.annotate(
            f"$x_{number + 1}$",
            (z_draw[number], x_draw[number]),
            (4, 2),
            textcoords="offset points",
            color=style.VERMILION,
        )
    axes.set(xlim=(0, 1), ylim=(x[0], x[-1]))
    if variant == 0:
        axes.legend(loc="upper center", handletextpad=0.2)


def _draw_posteriors(axes: Axes, intuition: Arrays, variant: int) -> None:
    z, density, z_draw = intuition["z"], intuition["posterior"][variant], intuition["z_draw"][variant]
    spacing = 1.05 * density.max()
    for number, values in enumerate(density):
        level = -spacing * number
        axes.fill_between(z, level, level + values, color=style.GREEN, alpha=0.35, linewidth=0)
        axes.plot(z, level + values, color=style.GREEN, linewidth=0.9)
        axes.plot(z_draw, level + np.interp(z_draw, z, values), "o", color=style.VERMILION, markersize=2)
        axes.annotate(
            f"$x_{number + 1}$", (1.0, level), (2, 0), textcoords="offset points", annotation_clip=False
        )
    axes.set(xlim=(0, 1), yticks=[])


def _draw_prior(axes: Axes, z_draw: np.ndarray) -> None:
    axes.plot([0, 0, 1, 1], [0, 1, 1, 0], color=style.BLACK, linewidth=0.9)
    axes.vlines(z_draw, 0, 1, color=style.VERMILION, linestyle=":", linewidth=0.9)
    axes.plot(z_draw, 0 * z_draw, "o", color=style.VERMILION, clip_on=False)
    for number, value in enumerate(z_draw):
        label, shift = f"$z_{number + 1}$", 3 if value < 0.9 else -11
        axes.annotate(label, (value, 0), (shift, 3), textcoords="offset points", color=style.VERMILION)
    axes.set(xlim=(0, 1), ylim=(0, 1.3), yticks=[0, 1], xlabel="latent $z$")


def fig04_passes_decoder(passes: pd.DataFrame) -> Figure:
    """Figure 4: network evaluations per point where the decoder's cost dominates."""
    return _passes(passes[passes["cost"] == "decoder"], "decoder passes per point")


def fig05_passes_both(passes: pd.DataFrame) -> Figure:
    """Figure 5: network evaluations per point where encoder and decoder cost the same."""
    return _passes(passes[passes["cost"] == "encoder and decoder"], "encoder and decoder\npasses per point")


def _passes(table: pd.DataFrame, label: str) -> Figure:
    """Five panels over one legend; bars are standard deviations over batches, averaged over data sets."""
    figure, axes = plt.subplots(1, len(PROBLEMS), figsize=(style.PAGE, 2.5), sharex=True, sharey=True)
    keys, metrics = ["problem", "method", "reading", "k_share", "S"], ["passes_per_point", "passes_sd"]
    mean = table.groupby(keys, dropna=False)[metrics].mean().reset_index()
    shares = sorted(table["k_share"].dropna().unique())
    looks: dict[tuple[str, float], dict[str, Any]] = {
        (reading, share): {"color": colour, "linestyle": line, "marker": marker, "markerfacecolor": face}
        for share, colour, marker in zip(shares, (style.BLUE, style.ORANGE), "os", strict=True)
        for reading, line, face in (("within", "-", colour), ("beyond", "--", "white"))
    }
    highest = table["passes_max"].max()
    for panel, problem in zip(axes, PROBLEMS, strict=True):
        rows = mean[mean["problem"] == problem]
        iwae, mapa = rows[rows["method"] == "iwae"], rows[rows["method"] == "mapa"]
        panel.plot(iwae["S"], iwae["passes_per_point"], color=style.BLACK)
        for key, curve in mapa.groupby(["reading", "k_share"]):
            panel.errorbar(
                curve["S"],
                curve["passes_per_point"],
                curve["passes_sd"],
                **looks[key],
                capsize=1.5,
                linewidth=0.9,
            )
        panel.axhline(highest, color=style.GREY, linestyle=":")
        panel.set(
            title=style.PROBLEM_TITLES[problem], xlabel="samples $S$", xlim=(0, None), ylim=(0, 2.1 * highest)
        )
    axes[0].set_ylabel(label)
    words = {"within": "within $S$", "beyond": "beyond $S$"}
    handles = [
        Line2D([], [], color=style.BLACK, label="IWAE"),
        *(
            Line2D([], [], **look, linewidth=0.9, label=f"MAPA, $k$ = {share:.0%} of $S$, {words[reading]}")
            for (reading, share), look in looks.items()
        ),
        Line2D([], [], color=style.GREY, linestyle=":", label="MAPA Max, all $N$ points"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, handlelength=3)
    return figure


def fig06_posterior_absolute_value(posteriors: Arrays, points: pd.DataFrame) -> Figure:
    """Figure 6: log-posteriors on Absolute-Value."""
    return _posteriors(posteriors, points)


def fig07_posterior_circle(posteriors: Arrays, points: pd.DataFrame) -> Figure:
    """Figure 7: log-posteriors on Circle."""
    return _posteriors(posteriors, points)


def fig08_posterior_clusters(posteriors: Arrays, points: pd.DataFrame) -> Figure:
    """Figure 8: log-posteriors on Clusters."""
    return _posteriors(posteriors, points)


def fig09_posterior_figure_8(posteriors: Arrays, points: pd.DataFrame) -> Figure:
    """Figure 9: log-posteriors on Figure-8."""
    return _posteriors(posteriors, points)


def fig10_posterior_spiral_dots(posteriors: Arrays, points: pd.DataFrame) -> Figure:
    """Figure 10: log-posteriors on Spiral-Dots."""
    return _posteriors(posteriors, points)


def _posteriors(posteriors: Arrays, points: pd.DataFrame) -> Figure:
    """One panel per chosen observation, and a legend in the last place."""
    columns = 4
    rows = -(-(len(points) + 1) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(style.PAGE, 1.9 * rows), sharex=True)
    z, grid = posteriors["z"], posteriors["grid"]
    cloud = {"linestyle": "none", "marker": ".", "markeredgewidth": 0, "rasterized": True}
    for n, panel in enumerate(axes.flat[: len(points)]):
        true = posteriors["true"][n]
        panel.plot(z, posteriors["mapa"][n], color=style.BLUE, markersize=2, alpha=0.5, **cloud)
        panel.plot(z, posteriors["empiricalised"][n], color=style.VERMILION, markersize=4, **cloud)
        panel.plot(grid, true - posteriors["prior"], color=style.YELLOW, linewidth=0.5)
        panel.plot(grid, true, color=style.BLACK, linewidth=0.9)
        panel.axvline(points["z"][n], color=style.GREY, linewidth=0.6, linestyle=":", zorder=0)
        # Linear near zero, logarithmic far below: the values fall by tens of nats here, by thousands there.
        panel.set_yscale("symlog", linthresh=LINEAR, linscale=2)
        panel.set_yticks([0, -10, -20, *(-(10.0**power) for power in range(2, 6))])
        panel.yaxis.set_major_formatter(_plain_number)
        panel.minorticks_off()
        lowest, highest = posteriors["empiricalised"][n].min(), posteriors["mapa"][n].max()
        panel.set_ylim(1.2 * lowest - 5, max(highest, true.max()) + 2)
        panel.set_title(f"$z_n = {points['z'][n]:.2f}$")
    axes.flat[columns - 1].tick_params(labelbottom=True)
    handles = [
        Line2D([], [], color=style.BLACK, label="$p(z \\mid x_n)$, true"),
        Line2D([], [], color=style.YELLOW, label="$p(z \\mid x_n) \\, / \\, p(z)$"),
        Line2D([], [], color=style.VERMILION, linestyle="none", marker="o", label="$N p(i \\mid x_n, Z)$"),
        Line2D([], [], color=style.BLUE, linestyle="none", marker="o", label="$N q(i \\mid n)$, MAPA"),
        Line2D([], [], color=style.GREY, linewidth=0.6, linestyle=":", label="$z_n$"),
    ]
    axes.flat[-1].set_axis_off()
    title = f"{style.PROBLEM_TITLES[points['problem'][0]]}\n$N$ = {len(z):,}"
    axes.flat[-1].legend(handles=handles, loc="center", title=title)
    figure.supxlabel("latent $z^{\\mathrm{GT}}$", fontsize=8)
    figure.supylabel("log-posterior / nats", fontsize=8)
    return figure


def _plain_number(value: float, position: int) -> str:
    return f"{value:,.0f}".replace("-", "\N{MINUS SIGN}")
