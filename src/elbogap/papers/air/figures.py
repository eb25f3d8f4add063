"""Figures of document air, each a function of its tables."""

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from elbogap import style
from elbogap.papers.air.datasets import DATASETS
from elbogap.papers.air.methods import PLAIN, REGULARISERS

ORDINARY = "m == 1 and encoder == 'standard'"  # the models of Figures 1 and 2
DOTTED: dict[str, Any] = {"color": style.BLACK, "linestyle": ":", "linewidth": 0.9}


def fig01_strength(strengths: pd.DataFrame) -> Figure:
    """Gain in log-likelihood over the unregularised model against strength, k = 1; a column per data set."""
    shown = strengths[strengths["k"] == 1].query(ORDINARY)
    methods = _methods(shown)
    rows = dict.fromkeys((method for method, _ in methods), "gain in $\\log p(x)$ / nats")
    figure, panels = _grid(shown, rows, 1.9)
    for panel, own, name in panels:
        own = own[own["method"] == name]
        levels = _strength_axis(panel, own, name)
        for alpha, curve in own.groupby("alpha"):
            _draw_gains(panel, curve, levels, methods.index((name, alpha)), _label(name, alpha))
    _legend_below(figure)
    return figure


def fig02_strength_by_k(strengths: pd.DataFrame) -> Figure:
    """The same for several k; a row per method."""
    shown = strengths.query(ORDINARY)
    ks = sorted(shown["k"].unique())
    rows = {method: f"{_label(*method)}\ngain in $\\log p(x)$ / nats" for method in _methods(shown)}
    figure, panels = _grid(shown, rows, 1.8)
    for panel, own, (method, alpha) in panels:
        own = own[(own["method"] == method) & (own["alpha"] == alpha)]
        levels = _strength_axis(panel, own, method)
        for k, curve in own.groupby("k"):
            _draw_gains(panel, curve, levels, ks.index(k), f"$k = {k}$")
    _legend_below(figure)
    return figure


def _legend_below(figure: Figure) -> None:
    """One legend for what any panel shows."""
    shown = [panel.get_legend_handles_labels() for panel in figure.axes]
    labels = {label: handle for pair in shown for handle, label in zip(*pair, strict=True)}
    order = sorted(labels, key=lambda label: (len(label), label))  # k = 8 before k = 64
    handles = [labels[label] for label in order]
    figure.legend(handles, order, loc="outside lower center", ncols=len(order))


def _draw_gains(panel: Axes, curve: pd.DataFrame, levels: list[float], number: int, label: str) -> None:
    """From the unregularised model on, with intervals over seeds; a ring around the chosen strength."""
    curve = curve.set_index(curve["strength"].map(levels.index)).sort_index()
    gain, color, at = curve["gain"], f"C{number}", 0.06 * (number - 1)  # bars side by side
    half = (curve["gain_high"] - gain).fillna(0)  # a single seed has no interval
    look: dict[str, Any] = {"fmt": f"{'osv'[number % 3]}-", "markersize": 4, "capsize": 2, "color": color}
    panel.errorbar([0, *(gain.index + at)], [0, *gain], yerr=[0, *half], label=label, **look)
    chosen = gain[curve["chosen"].astype(bool)]
    panel.plot(chosen.index + at, chosen, "o", markersize=9, markerfacecolor="none", color=color)


def fig04_gradient_samples(curves: pd.DataFrame) -> Figure:
    """The amortised test ELBO in training with m samples per gradient, mean and range over seeds."""
    parts = list(curves.groupby(["dataset", "method", "alpha", "strength"]))
    parts.sort(key=lambda part: (part[0][0], part[0][1] != PLAIN))
    size = (2.4 * len(parts) + 0.6, 2.4)
    figure, axes = plt.subplots(1, len(parts), figsize=size, sharey=True, squeeze=False)
    for panel, ((dataset, method, alpha, strength), own) in zip(axes[0], parts, strict=True):
        for number, (m, curve) in enumerate(own.groupby("m")):
            bounds = curve.groupby("passes")["test_bound"].agg(["mean", "min", "max"])
            panel.plot(bounds["mean"], color=f"C{number}", label=f"$m = {m}$")
            panel.fill_between(bounds.index, bounds["min"], bounds["max"], color=f"C{number}", alpha=0.2)
        title = "VAE" if method == PLAIN else f"DVAE, $\\alpha = {alpha:g}$, $\\sigma = {strength:g}$"
        panel.set(title=f"{DATASETS[dataset].title}: {title}", xlabel="passes over the training images")
    late = curves[curves["passes"] > curves["passes"].max() / 2]["test_bound"]  # the rise begins far below
    axes[0, 0].set(ylabel="test ELBO / nats", ylim=(late.min() - 2, late.max() + 2))
    _legend_below(figure)
    style.mark_stand_in(figure, curves)
    return figure


def _grid(
    shown: pd.DataFrame, rows: Mapping[Any, str], height: float
) -> tuple[Figure, list[tuple[Axes, pd.DataFrame, Any]]]:
    """Columns of data sets, labelled rows; each panel with the data set's part of the table and its row."""
    datasets = [name for name in DATASETS if name in set(shown["dataset"])]
    size = (style.PAGE, height * len(rows))
    figure, axes = plt.subplots(len(rows), len(datasets), figsize=size, squeeze=False)
    for panel, name in zip(axes[0], datasets, strict=True):
        panel.set_title(DATASETS[name].title)
    for panel, label in zip(axes[:, 0], rows.values(), strict=True):
        panel.set_ylabel(label)
    style.mark_stand_in(figure, shown)
    contents = product(rows, [shown[shown["dataset"] == name] for name in datasets])
    return figure, [(panel, own, row) for panel, (row, own) in zip(axes.flat, contents, strict=True)]


def _methods(shown: pd.DataFrame) -> list[tuple[str, float]]:
    """The regularised methods with their alpha: denoising by alpha, then weight normalisation."""
    regularised = shown[shown["method"] != PLAIN]
    return sorted(set(zip(regularised["method"], regularised["alpha"], strict=True)))


def _label(method: str, alpha: float) -> str:
    return REGULARISERS[method].label.format(alpha=alpha)


def _strength_axis(panel: Axes, own: pd.DataFrame, method: str) -> list[float]:
    """The strengths from weak to strong as ticks, no regularisation (0) first."""
    kind = REGULARISERS[method]
    levels = sorted(own["strength"].unique(), reverse=not kind.rising)
    panel.axhline(0, color=style.GREY, linewidth=0.8, zorder=0)
    panel.set_xticks(range(len(levels) + 1), [kind.none, *(f"{level:g}" for level in levels)])
    panel.set(xlabel=kind.axis, xlim=(-0.3, len(levels) + 0.3))
    return [0.0, *levels]


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
    _draw_search(panel, curves, "x", "kernel_regression")
    panel.plot(points["x"], points["natural_1"], "o", color=style.BLACK, label="$p(z \\mid x_i)$")
    panel.set(title="(a) Theorem 1: encoder", xlabel="noisy observation $\\tilde x$")
    panel.set_ylabel("log-odds $\\eta_1$ / nats")
    _legend_above(panel)


def _draw_decoders(panel: Axes, curves: pd.DataFrame) -> None:
    """The first pixel."""
    curves = curves[curves["pixel"] == curves["pixel"].min()]
    _draw_search(panel, curves, "z", "formula")
    panel.axhline(curves["data_mean"].iloc[0], **DOTTED, label="data mean")
    panel.set(title="(d) Proposition 2: decoder", xlabel="latent $z$", ylabel="pixel mean $\\mu(z)$")
    panel.set(ylim=(-0.02, 1.02), yticks=[0, 0.5, 1])
    _legend_above(panel)


def _draw_search(panel: Axes, curves: pd.DataFrame, along: str, formula: str) -> None:
    """The formula as a line and the search as about twenty rings, so that the line shows between them."""
    for number, (sigma, curve) in enumerate(curves.groupby("sigma")):
        panel.plot(curve[along], curve[formula], color=f"C{number}", label=f"$\\sigma = {sigma:g}$")
        every = slice(None, None, max(1, len(curve) // 20))
        panel.plot(curve[along][every], curve["optimised"][every], color=f"C{number}", **style.RING)
    panel.plot([], [], color=style.BLACK, label="optimised", **style.RING)


def _draw_slopes(panel: Axes, encoder: pd.DataFrame) -> None:
    for family, colour, word in (("categorical", "C0", "categorical"), ("gaussian", "C3", "Gaussian")):
        rows = encoder[encoder["family"] == family].groupby("sigma")[["slope", "bound"]].max()
        panel.plot(rows["bound"], "--", color=colour, label=f"{word}: bound")
        panel.plot(rows["slope"], color=colour, **style.RING | {"linestyle": "-"}, label=f"{word}: steepest")
    panel.set(title="(b) Theorem 1: slope", yscale="log")
    panel.set_ylabel("slope of $\\eta^*$, per unit of $x$")
    panel.set_ylim(panel.get_ylim()[0] / 60, None)  # room for the legend under the falling lines
    panel.legend(loc="lower left", handlelength=1.6, borderpad=0)
    _noise_axis(panel)


def _draw_strength(panel: Axes, strength: pd.DataFrame) -> None:
    """Of the categorical family."""
    rows = strength[(strength["family"] == "categorical") & (strength["alpha"] == 1)]
    _draw_models(panel, rows, "sigma", "encoder", {"any": "any encoder", "affine": "affine encoder"})
    panel.set(title="(c) Proposition 1", ylim=(0, 1.3 * rows["regulariser"].max()))
    panel.set_ylabel("regulariser $R(\\theta; \\sigma)$ / nats")
    panel.legend(loc="upper left")
    _noise_axis(panel)


def _draw_attenuation(panel: Axes, attenuation: pd.DataFrame) -> None:
    """Under infinite noise and under the least."""
    least = attenuation["sigma"].min()
    labels = {np.inf: "$\\sigma = \\infty$"}
    labels.setdefault(least, f"$\\sigma = {least:g}$")
    _draw_models(panel, attenuation, "k", "sigma", labels, marker=".")
    panel.set(title="(e) Proposition 3", xscale="log", yscale="log", xlabel="importance samples $k$")
    panel.set_ylabel("regulariser $R(\\theta; \\sigma, k)$ / nats")
    ks = sorted(attenuation["k"].unique())
    panel.set_xticks(ks, [f"{k:g}" for k in ks])
    panel.minorticks_off()
    panel.legend(loc="upper right")


def _draw_models(
    panel: Axes, rows: pd.DataFrame, along: str, kind: str, labels: Mapping[Any, str], **look: Any
) -> None:
    """The regulariser along a column, a line per random model; those of each kind look alike."""
    for (value, label), line in zip(labels.items(), ("C0-", "C3--"), strict=False):
        models = rows[rows[kind] == value].pivot(index=along, columns="model", values="regulariser")
        if models.size:  # the alphas of affine encoders are a setting, which may leave 1 out
            panel.plot(models, line, linewidth=0.9, label=[label, *["_"] * (models.shape[1] - 1)], **look)


def _draw_bounds(panel: Axes, bounds: pd.DataFrame) -> None:
    bounds = bounds.set_index("sigma")
    difference = "$\\mathcal{L}_\\mathrm{CVAE} - \\mathcal{L}_\\mathrm{DVAE}$"
    panel.plot(bounds["difference"], color="C0", label=difference)
    panel.plot(bounds["mutual_information"], color="C3", **style.RING, label="$I(z; \\tilde x \\mid x)$")
    entropy = bounds["perturbation_entropy"].iloc[0]
    panel.axhline(entropy, **DOTTED, label="$H(\\tilde x \\mid x)$", zorder=0)
    panel.set(title="(f) Appendix B", ylabel="difference of bounds / nats", ylim=(0, 1.08 * entropy))
    panel.legend(loc="lower right", handlelength=1.2, borderpad=0)
    _noise_axis(panel)


def _noise_axis(panel: Axes) -> None:
    panel.set(xscale="log", xlabel="noise $\\sigma$ / units of $x$")
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.xaxis.set_major_formatter("{x:g}")
    panel.xaxis.set_minor_locator(NullLocator())


def _legend_above(panel: Axes) -> None:
    """Over the curves, which leave no room among them."""
    low, high = panel.get_ylim()
    panel.set_ylim(low, high + 0.5 * (high - low))
    panel.legend(loc="upper center", ncols=2, handlelength=1.4, columnspacing=1, borderpad=0)
