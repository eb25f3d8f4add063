"""Figures of document efvae, each a function of its tables."""

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
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
    for point, label in (((0.0, 0.0), "$\\theta_\\mathrm{ML}$"), (best, "$\\theta_\\mathrm{VAE}$")):
        axes.plot(*point, "o", color=style.BLACK, markersize=4)
        axes.annotate(label, point, xytext=(4, 5), textcoords="offset points")
    axes.set(xlabel="towards the best ELBO / units of $x$", ylabel="across / units of $x$", aspect="equal")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


CODE_COLOURS = (style.YELLOW, style.BLUE, style.SKY, style.VERMILION)  # of codes 00, 01, 10 and 11


def fig02_toy(panels: Arrays) -> Figure:
    """Codes by ground truth, encoder, model and RBM as colours of the plane; the bound on a line."""
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
    panel = axes[1, 2]  # the bound is largest not where the likelihood is, but where the gap is smaller
    step, loglik, elbo = (panels[name] for name in ("step", "loglik", "elbo"))
    panel.fill_between(step, elbo, loglik, color=style.GREY, alpha=0.2, linewidth=0, label="KL gap")
    panel.plot(step, loglik, color=style.BLUE, label="log-likelihood")
    panel.plot(step, elbo, color=style.VERMILION, linestyle="--", label="ELBO")
    for decoder in (0, 1):
        panel.axvline(decoder, color=style.GREY, linewidth=0.6, linestyle=":")
    panel.set_xticks([0, 1], ["ground\ntruth", "best\nELBO"])
    panel.set(title="(f) on the line between decoders", ylabel="nats", xlim=(step[0], step[-1]))
    panel.legend(loc="lower center")
    return figure


ENCODERS = {
    "e1": (style.BLUE, "o", "e1: linear, counts"),
    "e2": (style.VERMILION, "s", "e2: deep, frequencies"),
    "e3": (style.GREEN, "^", "e3: linear, frequencies"),
}
"""How an encoder's models are drawn: colour, marker, label."""
DEPTHS = {0: "linear decoder", 1: "1 hidden layer", 2: "2 hidden layers"}
LAST: dict[str, Any] = {"linestyle": ":", "linewidth": 0.9}
PUBLISHED: dict[str, Any] = {"linestyle": "", "fillstyle": "none", "markersize": 6, "markeredgewidth": 0.8}


def fig_newsgroups(table: pd.DataFrame) -> Figure:
    """NELBO of the text VAEs against bits; a column per depth of the decoder, a row per part."""
    depths = sorted(table["hidden"].unique())
    size = max(style.PAGE, 1.8 * len(depths)), 4.2
    figure, axes = plt.subplots(2, len(depths), figsize=size, sharex=True, sharey="row", squeeze=False)
    for panel, (part, depth) in zip(axes.flat, product(("train", "test"), depths), strict=True):
        shown = table[(table["part"] == part) & (table["hidden"] == depth)].sort_values("bits")
        panel.axhline(shown["unigram"].iloc[0], color=style.GREY, linewidth=0.8, label="unigram")
        for encoder, (colour, marker, label) in ENCODERS.items():
            curve = shown[shown["encoder"] == encoder]
            panel.plot(curve["bits"], curve["nelbo"], color=colour, marker=marker, label=label)
            panel.plot(curve["bits"], curve["nelbo_last"], color=colour, **LAST)
            panel.plot(curve["bits"], curve["published"], color=colour, marker=marker, **PUBLISHED)
        panel.set_xscale("log", base=2)
        panel.set_xticks(sorted(table["bits"].unique()))
        panel.xaxis.set_major_formatter("{x:g}")
        panel.set(xlabel="bits", ylabel=f"{part} NELBO / nats")
        panel.label_outer()
    for panel, depth in zip(axes[0], depths, strict=True):
        panel.set_title(DEPTHS.get(depth, f"{depth} hidden layers"))
    handles, _ = axes[0, 0].get_legend_handles_labels()
    handles.append(Line2D([], [], color=style.BLACK, label="after the last epoch", **LAST))
    handles.append(Line2D([], [], color=style.BLACK, marker="o", label="published", **PUBLISHED))
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    style.mark_stand_in(figure, table)
    return figure


def fig03_redecodings(pictures: Arrays) -> Figure:
    """Figure 3: images of the ground truth, and what the pre-trained encoder makes of them, decoded again."""
    means, draws = (f"decoded {kind} of $q(z \\mid x)$" for kind in ("mean", "draw"))
    return _strips(pictures, 1, {"$x$": "x", means: "decoded_mean", draws: "decoded_draw"})


def fig04_samples(pictures: Arrays) -> Figure:
    """Figure 4: samples of the ground truth and of both decoders that the ELBO trained, from the same z."""
    models = {f"ELBO, {sigma} $\\sigma$": f"samples_elbo_{sigma}" for sigma in ("fixed", "learned")}
    return _strips(pictures, 2, {"ground truth": "samples_ground_truth", **models})


LARGEST_IMAGE = 1.0  # inches


def _strips(pictures: Arrays, height: int, rows: Mapping[str, str]) -> Figure:
    """A titled strip of images for each name, in `height` lines."""
    count = len(pictures[next(iter(rows.values()))])
    columns = -(-count // height)
    inches = height * min(style.PAGE / columns, LARGEST_IMAGE) + 0.25
    figure, axes = plt.subplots(len(rows), 1, figsize=(style.PAGE, len(rows) * inches))
    for panel, (title, name) in zip(axes, rows.items(), strict=True):
        full = np.pad(pictures[name], ((0, height * columns - count), *[(0, 0)] * 3), constant_values=255)
        style.mosaic(panel, full.reshape(height, columns, *full.shape[1:]), title)
    style.mark_stand_in(figure, pd.DataFrame({"data": [str(pictures["data"])]}))
    return figure
