"""Figures of document efvae, each a function of its tables."""

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from elbogap import style
from elbogap.tables import Arrays


def fig01_balance(plane: Arrays) -> Figure:
    """Likelihood and gap over a plane of decoders; at the best ELBO their gradients are equal."""
    figure, axes = plt.subplots(figsize=(0.62 * style.PAGE, 3.2))
    along, across, best = plane["along"], plane["across"], plane["best"]
    shades = axes.contourf(along, across, plane["gap"].T, levels=8, cmap="Greys", alpha=0.6)
    figure.colorbar(shades, ax=axes, label="gap / nats")
    lines = axes.contour(
        along, across, plane["loglik"].T, levels=8, colors=style.BLUE, linewidths=0.9, linestyles="solid"
    )
    axes.clabel(lines, fontsize=6, fmt="$%.2f$")
    length = 0.5 / np.linalg.norm(plane["of_loglik"])
    for name, sign, colour, label in (
        ("of_loglik", 1, style.BLUE, "gradient of the likelihood"),
        ("of_gap", -1, style.VERMILION, "minus gradient of the gap"),
    ):
        end = best + sign * length * plane[name]
        axes.annotate("", end, best, arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1.6})
        axes.plot([], [], color=colour, label=label)
    marked = {"ML": np.zeros(2), "VAE": best, "consistent": plane["consistent"]}
    for name, point in marked.items():
        axes.plot(*point, "o", color=style.BLACK, markersize=4)
        label = f"$\\theta_\\mathrm{{{name}}}$"
        axes.annotate(label, point, xytext=(4, 5), textcoords="offset points")
    axes.set(xlabel="towards the best ELBO / units of $x$", ylabel="across / units of $x$", aspect="equal")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


HOLLOW: dict[str, Any] = {"fillstyle": "none", "markersize": 5, "markeredgewidth": 0.8}
CODE_COLOURS = (style.YELLOW, style.BLUE, style.SKY, style.VERMILION)  # of codes 00, 01, 10 and 11


def fig02_toy(panels: Arrays) -> Figure:
    """Codes by ground truth, encoder, model and RBM as colours of the plane."""
    figure, axes = plt.subplots(2, 3, figsize=(style.PAGE, 4.9))
    colours = np.array([to_rgb(colour) for colour in CODE_COLOURS])
    decided = {name: colours[panels[name]] for name in ("ground_truth", "encoder", "posterior", "rbm")}
    axis = panels["axis"]
    half = (axis[1] - axis[0]) / 2
    ends = (axis[0] - half, axis[-1] + half)
    for panel, title, image, model in (
        (axes[0, 0], "(a) ground truth $p^*(z\\,|\\,x)$", panels["probabilities"] @ colours, "ground_truth"),
        (axes[0, 1], "(b) decisions by $p^*(z\\,|\\,x)$", decided["ground_truth"], "ground_truth"),
        (axes[0, 2], "(c) encoder $q_\\phi(z\\,|\\,x)$", decided["encoder"], "joint"),
        (axes[1, 0], "(d) model posterior $p_\\theta(z\\,|\\,x)$", decided["posterior"], "joint"),
        (axes[1, 1], "(e) RBM", decided["rbm"], "rbm"),
    ):
        panel.imshow(image.swapaxes(0, 1), origin="lower", extent=(*ends, *ends), interpolation="nearest")
        for number, mean in enumerate(panels[f"means_{model}"]):
            panel.plot(*mean, "o", color=style.BLACK, markersize=3)
            panel.annotate(
                f"{number:02b}", mean, xytext=(3, 3), textcoords="offset points", fontsize=7,
                color=style.BLACK, bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.6},
            )  # fmt: skip
        panel.set(title=title, xlabel="$x_1$", ylabel="$x_2$", xlim=ends, ylim=ends)
    axes[1, 2].remove()
    return figure


ENCODERS = {
    "e1": (style.BLUE, "e1: linear, counts"),
    "e2": (style.VERMILION, "e2: deep, frequencies"),
    "e3": (style.GREEN, "e3: linear, frequencies"),
    "e2_scaled": (style.ORANGE, "e2, scaled frequencies"),
    "e3_scaled": (style.SKY, "e3, scaled frequencies"),
}
"""How an encoder's models are drawn: colour and label."""
DEPTHS = {0: "linear decoder", 1: "1 hidden layer", 2: "2 hidden layers"}


def fig_newsgroups(curves: pd.DataFrame) -> Figure:
    """Test NELBO of the text VAEs by epoch, mean and range over seeds; a column per depth, a row per bits."""
    levels = [sorted(curves[name].unique()) for name in ("bits", "hidden")]
    size = max(style.PAGE, 1.8 * len(levels[1])), 0.8 + 1.8 * len(levels[0])
    shape = [len(values) for values in levels]
    figure, axes = plt.subplots(*shape, figsize=size, sharex=True, sharey=True, squeeze=False)
    entries: dict[str, Any] = {}
    for panel, (bits, depth) in zip(axes.flat, product(*levels), strict=True):
        cell = curves[(curves["bits"] == bits) & (curves["hidden"] == depth) & (curves["part"] == "test")]
        for encoder, (colour, label) in ENCODERS.items():
            rows = cell[cell["encoder"] == encoder]
            if rows.empty:
                continue
            by_epoch = rows.groupby("epoch")["nelbo"]
            low, mean, high = by_epoch.min(), by_epoch.mean(), by_epoch.max()
            (entries[label],) = panel.plot(mean.index, mean, color=colour, marker=".", label=label)
            panel.fill_between(mean.index, low, high, color=colour, alpha=0.2, linewidth=0)
            panel.plot(mean.index[-1], rows["published"].iloc[0], "o", color=colour, **HOLLOW)
        panel.axhline(
            curves.loc[curves["part"] == "test", "unigram"].iloc[0], color=style.GREY, linewidth=0.8
        )
        panel.set_title(f"{bits} bits, {DEPTHS.get(depth, f'{depth} hidden layers')}")
        panel.set(xlabel="epoch", ylabel="test NELBO / nats")
        panel.label_outer()
    handles = [entries[label] for _, label in ENCODERS.values() if label in entries]
    handles.append(Line2D([], [], color=style.GREY, label="unigram"))
    handles.append(Line2D([], [], marker="o", linestyle="", color=style.BLACK, label="published", **HOLLOW))
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    style.mark_stand_in(figure, curves)
    return figure


def fig_theorems(
    consistent: pd.DataFrame,
    bound: pd.DataFrame,
    flow: pd.DataFrame,
    encoder: pd.DataFrame,
    documents: pd.DataFrame,
) -> Figure:
    """The theorems on small models: when the gap is zero, and what a small one says."""
    figure, axes = plt.subplots(2, 2, figsize=(style.PAGE, 4.8))
    panel = axes[0, 0]
    for family, of_family in consistent.groupby("family"):
        colour = None
        for (codes, rows), line in zip(of_family.groupby("codes"), ("-", "--"), strict=True):
            label = f"{str(family).capitalize()} $x$, {codes}"
            colour = _range(panel, rows, "bend", "best_gap", label=label, linestyle=line, color=colour)
    panel.set_ylim(top=1.5 * consistent["best_gap"].max())  # for the legend
    panel.set(title="(a) Theorem 1", xlabel="bend of the decoder", ylabel="least gap / nats")
    panel = axes[0, 1]
    bent = bound[bound["bend"] > 0]
    panel.loglog(bent["epsilon"], bent["distance"], "o", color=style.BLUE, label="random models")
    panel.loglog(flow["epsilon"], flow["distance"], "s-", color=style.VERMILION, label="a sharper flow (A.1)")
    panel.set(title="(b) Theorem 2", xlabel="gap / nats", ylabel="distance$^2$ from harmoniums / nats$^2$")
    panel = axes[1, 0]
    for decoder, rows in encoder.groupby("decoder"):
        label = f"{decoder} (least gap {rows['best_gap'].iloc[0]:.3f})".replace("_", " ").replace(
            "elbo", "ELBO"
        )
        _range(panel, rows.assign(rest=rows["gap"] - rows["best_gap"]), "width", "rest", label=label)
    panel.set(xscale="log", yscale="log", xticks=(widths := encoder["width"].unique()), xticklabels=widths)
    panel.minorticks_off()
    panel.set(
        title="(c) Corollary 1", xlabel="units of each hidden layer", ylabel="gap above the least / nats"
    )
    panel = axes[1, 1]
    for prior, rows in documents.groupby("prior"):
        label, dashes = f"{prior} prior", {"linestyle": "--"}
        colour = _range(panel, rows, "interaction", "counts_gap", label=f"counts, {label}")
        _range(
            panel,
            rows,
            "interaction",
            "frequencies_gap",
            label=f"frequencies, {label}",
            color=colour,
            **dashes,
        )
    panel.set(title="(d) Section 3.1", xlabel="interaction of codes and words", ylabel="least gap / nats")
    for panel in axes.flat:
        panel.legend(fontsize=6, ncols=2 if panel is axes[0, 0] else 1)
    return figure


def _range(panel: Axes, rows: pd.DataFrame, along: str, value: str, **options: Any) -> Any:
    """Mean over models or seeds, and their range; returns the colour."""
    by_level = rows.groupby(along)[value]
    low, mean, high = by_level.min(), by_level.mean(), by_level.max()
    (line,) = panel.plot(mean.index, mean, marker=".", **options)
    panel.fill_between(mean.index, low, high, color=line.get_color(), alpha=0.1, linewidth=0)
    return line.get_color()


def fig03_redecodings(pictures: Arrays) -> Figure:
    """Figure 3: images of the ground truth, and what the pre-trained encoder makes of them, decoded again."""
    return _strips(pictures, 1, {"$x$": "x", "decoded mean of $q(z \\mid x)$": "decoded"})


def fig04_samples(pictures: Arrays, table: pd.DataFrame) -> Figure:
    """Figure 4: samples of the ground truth and of both decoders that the ELBO trained, from the same z."""
    names = {"ground_truth": "ground truth,", "elbo_fixed": "ELBO, fixed", "elbo_learned": "ELBO, learned"}
    rows = {}
    for row in table.itertuples():
        distance = f"{'FID' if row.features == 'inception' else 'distance'} {row.distance:.3g}"
        rows[f"{names[row.model]} $\\sigma$ = {row.sigma:.3f}, {distance}"] = f"samples_{row.model}"
    return _strips(pictures, 2, rows)


def _strips(pictures: Arrays, height: int, rows: Mapping[str, str]) -> Figure:
    """A titled strip of images for each name, in `height` lines."""
    count = len(pictures[next(iter(rows.values()))])
    columns = -(-count // height)
    inches = height * min(style.PAGE / columns, 1.0) + 0.25
    figure, axes = plt.subplots(len(rows), 1, figsize=(style.PAGE, len(rows) * inches))
    for panel, (title, name) in zip(axes, rows.items(), strict=True):
        full = np.pad(pictures[name], ((0, height * columns - count), *[(0, 0)] * 3), constant_values=255)
        style.mosaic(panel, full.reshape(height, columns, *full.shape[1:]), title)
    style.mark_stand_in(figure, pd.DataFrame({"data": [str(pictures["data"])]}))
    return figure
