"""Figures of document air, each a function of its tables."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from elbogap.figures import style

NOISE = "noise $\\sigma$ / units of $x$"
FOUND: dict[str, Any] = {
    "linestyle": "none", "marker": "o", "markersize": 3, "markerfacecolor": "white", "markeredgewidth": 0.8
}  # fmt: skip
"""How an optimum that was found by search looks, on the line of its formula."""


def fig_theory(
    encoder_curves: pd.DataFrame,
    posteriors: pd.DataFrame,
    encoder: pd.DataFrame,
    strength: pd.DataFrame,
    generator_curves: pd.DataFrame,
    attenuation: pd.DataFrame,
    bounds: pd.DataFrame,
) -> Figure:
    """Theorem 1 to appendix B, in panels: formulas as lines, what search or quadrature finds as rings."""
    figure, axes = plt.subplots(2, 3, figsize=(style.PAGE, 4.6))
    _draw_encoders(axes[0, 0], encoder_curves, posteriors)
    _draw_slopes(axes[0, 1], encoder)
    _draw_strength(axes[0, 2], strength)
    _draw_decoders(axes[1, 0], generator_curves)
    _draw_attenuation(axes[1, 1], attenuation)
    _draw_bounds(axes[1, 2], bounds)
    figure.get_layout_engine().set(w_pad=0.08)
    return figure


def _draw_encoders(panel: Axes, curves: pd.DataFrame, posteriors: pd.DataFrame) -> None:
    """Over the range of the observations and one unit beyond."""
    points = posteriors[posteriors["family"] == "categorical"]
    within = curves["x"].between(points["x"].min() - 1, points["x"].max() + 1)
    curves = curves[within & (curves["family"] == "categorical")]
    for number, (sigma, curve) in enumerate(curves.groupby("sigma")):
        panel.plot(curve["x"], curve["kernel_regression"], color=f"C{number}", label=f"$\\sigma = {sigma:g}$")
        _draw_found(panel, curve["x"], curve["optimised"], f"C{number}")
    panel.plot([], [], color=style.BLACK, label="optimised", **FOUND)
    panel.plot(points["x"], points["natural_1"], "o", color=style.BLACK, label="$p(z \\mid x_i)$")
    panel.set(title="(a) Theorem 1: encoder", xlabel="noisy observation $\\tilde x$")
    panel.set_ylabel("log-odds $\\eta_1$ / nats")
    _legend_above(panel)


def _draw_decoders(panel: Axes, curves: pd.DataFrame) -> None:
    """The first pixel."""
    curves = curves[curves["pixel"] == curves["pixel"].min()]
    for number, (sigma, curve) in enumerate(curves.groupby("sigma")):
        panel.plot(curve["z"], curve["formula"], color=f"C{number}", label=f"$\\sigma = {sigma:g}$")
        _draw_found(panel, curve["z"], curve["optimised"], f"C{number}")
    panel.plot([], [], color=style.BLACK, label="optimised", **FOUND)
    panel.axhline(
        curves["data_mean"].iloc[0], color=style.BLACK, linestyle=":", linewidth=0.9, label="data mean"
    )
    panel.set(title="(d) Proposition 2: decoder", xlabel="latent $z$", ylabel="pixel mean $\\mu(z)$")
    panel.set(ylim=(-0.02, 1.02), yticks=[0, 0.5, 1])
    _legend_above(panel)


def _draw_found(panel: Axes, x: pd.Series, y: pd.Series, colour: str) -> None:
    """About twenty rings, so that the line shows between them."""
    every = slice(None, None, max(1, len(x) // 20))
    panel.plot(x[every], y[every], color=colour, **FOUND)


def _draw_slopes(panel: Axes, encoder: pd.DataFrame) -> None:
    for family, colour, word in (("categorical", "C0", "categorical"), ("gaussian", "C3", "Gaussian")):
        rows = encoder[encoder["family"] == family].groupby("sigma")[["slope", "bound"]].max()
        panel.plot(rows.index, rows["bound"], "--", color=colour, label=f"{word}: bound")
        panel.plot(
            rows.index, rows["slope"], color=colour, **FOUND | {"linestyle": "-"}, label=f"{word}: steepest"
        )
    panel.set(title="(b) Theorem 1: slope", yscale="log")
    panel.set_ylabel("slope of $\\eta^*$, per unit of $x$")
    panel.set_ylim(panel.get_ylim()[0] / 60, None)  # room for the legend under the falling lines
    panel.legend(loc="lower left", handlelength=1.6, borderpad=0)
    _noise_axis(panel)


def _draw_strength(panel: Axes, strength: pd.DataFrame) -> None:
    """One line per random model of the categorical family."""
    rows = strength[(strength["family"] == "categorical") & (strength["alpha"] == 1)]
    looks: dict[str, dict[str, Any]] = {
        "any": {"color": "C0", "label": "any encoder"},
        "affine": {"color": "C3", "linestyle": "--", "label": "affine encoder"},
    }
    for encoder, look in looks.items():
        for _, line in rows[rows["encoder"] == encoder].groupby("model"):
            panel.plot(line["sigma"], line["regulariser"], linewidth=0.9, **look)
    panel.set(
        title="(c) Proposition 1",
        ylabel="regulariser $R(\\theta; \\sigma)$ / nats",
        ylim=(0, 1.3 * rows["regulariser"].max()),
    )
    panel.legend(handles=[Line2D([], [], **look) for look in looks.values()], loc="upper left")
    _noise_axis(panel)


def _draw_attenuation(panel: Axes, attenuation: pd.DataFrame) -> None:
    """One line per random model, under infinite noise and under the least."""
    least = attenuation["sigma"].min()
    looks: dict[float, dict[str, Any]] = {np.inf: {"color": "C0", "label": "$\\sigma = \\infty$"}}
    if np.isfinite(least):
        looks[least] = {"color": "C3", "linestyle": "--", "label": f"$\\sigma = {least:g}$"}
    for sigma, look in looks.items():
        for _, line in attenuation[attenuation["sigma"] == sigma].groupby("model"):
            panel.plot(line["k"], line["regulariser"], linewidth=0.9, marker=".", **look)
    panel.set(title="(e) Proposition 3", xscale="log", yscale="log", xlabel="importance samples $k$")
    panel.set_ylabel("regulariser $R(\\theta; \\sigma, k)$ / nats")
    ks = sorted(attenuation["k"].unique())
    panel.set_xticks(ks, [f"{k:g}" for k in ks])
    panel.minorticks_off()
    panel.legend(handles=[Line2D([], [], **look) for look in looks.values()], loc="upper right")


def _draw_bounds(panel: Axes, bounds: pd.DataFrame) -> None:
    difference = "$\\mathcal{L}_\\mathrm{CVAE} - \\mathcal{L}_\\mathrm{DVAE}$"
    panel.plot(bounds["sigma"], bounds["difference"], color="C0", label=difference)
    panel.plot(
        bounds["sigma"], bounds["mutual_information"], color="C3", **FOUND, label="$I(z; \\tilde x \\mid x)$"
    )
    entropy = bounds["perturbation_entropy"].iloc[0]
    panel.axhline(
        entropy, color=style.BLACK, linestyle=":", linewidth=0.9, label="$H(\\tilde x \\mid x)$", zorder=0
    )
    panel.set(title="(f) Appendix B", ylabel="difference of bounds / nats", ylim=(0, 1.08 * entropy))
    panel.legend(loc="lower right", handlelength=1.2, borderpad=0)
    _noise_axis(panel)


def _noise_axis(panel: Axes) -> None:
    panel.set(xscale="log", xlabel=NOISE)
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.xaxis.set_major_formatter("{x:g}")
    panel.xaxis.set_minor_locator(NullLocator())


def _legend_above(panel: Axes) -> None:
    """Over the curves, which leave no room among them."""
    low, high = panel.get_ylim()
    panel.set_ylim(low, high + 0.5 * (high - low))
    panel.legend(loc="upper center", ncols=2, handlelength=1.4, columnspacing=1, borderpad=0)
