"""Figures of document implicit, each a function of its tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from elbogap.figures import style

# == density_ratio ==


# == toys ==


# == vcd_toys ==

VCD_PANELS = {
    "gaussian_1": "(a) Gaussian",
    "mixture_1": "(b) mixture",
    "banana_1": "(c) banana",
    "banana_2": "(d) banana, mixture $q_0$",
}
TARGET_LEVELS, FIT_LEVELS = 4, 3


def fig05_vcd_toys(densities: Mapping[str, np.ndarray]) -> Figure:
    """Slide 59: contours of the targets and of q_0 fitted by the standard KL and by VCD."""
    figure, axes = plt.subplots(1, len(VCD_PANELS), figsize=(style.PAGE, 2.25))
    lines = {
        "target": ("target", style.ORANGE, "-"),
        "kl": ("standard KL", style.BLUE, "--"),
        "vcd": ("VCD", style.GREEN, "-"),
    }
    for panel, (key, title) in zip(axes, VCD_PANELS.items(), strict=True):
        for name, (_, colour, dashes) in lines.items():
            _draw_contours(panel, densities, key, name, colour, dashes)
        panel.set(title=title, xlabel="$z_1$")
    axes[0].set_ylabel("$z_2$")
    handles = [Line2D([], [], color=colour, linestyle=dashes) for _, colour, dashes in lines.values()]
    figure.legend(handles, [label for label, _, _ in lines.values()], loc="outside lower center", ncols=3)
    return figure


def fig07_alpha_vcd(
    alpha: pd.DataFrame, optima: pd.DataFrame, toys: pd.DataFrame, densities: Mapping[str, np.ndarray]
) -> Figure:
    """Ours: how wide alpha-VCD makes q_0 on the Gaussian, and what it makes of the banana."""
    figure, (widths, contours, divergences) = plt.subplots(1, 3, figsize=(style.PAGE, 2.5))
    for number, (t, rows) in enumerate(alpha.groupby("t")):
        colour = f"C{number}"
        _draw_seeds(widths, rows, "deviation", colour, f"$t = {t}$", marker="o", linestyle="none")
        curve = optima[optima["t"] == t]
        widths.plot(curve["alpha"], curve["deviation"], color=colour, linewidth=0.9)
    limit = optima[np.isinf(optima["t"])]
    widths.plot(limit["alpha"], limit["deviation"], color=style.BLACK, label="$t \\to \\infty$")
    widths.set(title="(a) Gaussian: width", xlabel="$\\alpha$", ylabel="standard deviation of $q_0$")
    widths.legend(fontsize=6, labelspacing=0.2, handlelength=1.4, loc="best", ncols=2)

    banana = toys[(toys["target"] == "banana") & (toys["components"] == 1)]
    names = {0.0: "kl", 1.0: "vcd"}
    shades = mpl.colormaps["viridis"](np.linspace(0, 0.85, banana["alpha"].nunique()))
    _draw_contours(contours, densities, "banana_1", "target", style.ORANGE, "-")
    for shade, share in zip(shades, sorted(banana["alpha"].unique()), strict=True):
        name = names.get(share, f"alpha{share:g}")
        _draw_contours(contours, densities, "banana_1", name, shade, "-", [0.5])
        contours.plot([], [], color=shade, label=f"$\\alpha = {share:g}$")
    contours.set(title="(b) banana: $q_0$ at half its height", xlabel="$z_1$", ylabel="$z_2$")
    contours.legend(fontsize=6, labelspacing=0.2, handlelength=1.4, loc="lower center")

    _draw_seeds(divergences, banana, "kl_q_p", style.BLUE, "KL$(q_0 \\Vert p)$", marker="o")
    _draw_seeds(divergences, banana, "kl_p_q", style.VERMILION, "KL$(p \\Vert q_0)$", marker="s")
    divergences.set(title="(c) banana: divergences", xlabel="$\\alpha$", ylabel="nats", yscale="log")
    divergences.legend(fontsize=6, loc="best")
    return figure


def _draw_contours(
    panel: Axes,
    densities: Mapping[str, np.ndarray],
    key: str,
    name: str,
    colour: Any,
    dashes: str,
    shares: Sequence[float] | None = None,
) -> None:
    """Lines of equal density at shares of the largest value shown; by default at equal distances."""
    density = densities[f"{key}_{name}"]
    count = TARGET_LEVELS if name == "target" else FIT_LEVELS
    heights = np.arange(1, count + 1) / (count + 1) if shares is None else np.array(shares)
    panel.contour(
        densities[f"{key}_z1"], densities[f"{key}_z2"], density.T, heights * density.max(),
        colors=[colour], linestyles=dashes, linewidths=0.9,
    )  # fmt: skip


def _draw_seeds(panel: Axes, rows: pd.DataFrame, metric: str, colour: str, label: str, **looks: Any) -> None:
    """Means over seeds along alpha, with their standard deviations."""
    found = rows.groupby("alpha")[metric].agg(["mean", "std"])
    panel.errorbar(
        found.index, found["mean"], found["std"], color=colour, capsize=2, linewidth=0.9, label=label, **looks
    )


# == regression ==


# == vae ==
