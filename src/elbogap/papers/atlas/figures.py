"""Figures of document atlas, each a function of its tables."""

from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.colors import LogNorm, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from elbogap import style
from elbogap.tables import Arrays

COLOURS = (style.BLUE, style.ORANGE, style.GREEN, style.VERMILION, style.SKY, style.PURPLE, style.BLACK)
MARKERS = "osD^vPX*"  # one more than the colours, so that pairs differ
WIDEST = 1.0  # of log(sd ratio), beyond which colours do not change
MARGIN = 0.25  # around the answer's draws, as a share of their width
ROW = 0.2  # inches of a row of the heat map


def words(name: str) -> str:
    """A method's or problem's name as text."""
    return name.replace("_", " ")


def fig01_heat_map(scores: pd.DataFrame) -> Figure:
    """Figure 1: how near each method comes to each problem, and whether it is too narrow or too wide."""
    problems, methods = scores["problem"].unique(), scores["method"].unique()
    means = scores.groupby(["problem", "method"])[["sliced_wasserstein", "log_sd_ratio"]].mean()
    size = (style.PAGE, 1.3 + ROW * len(problems))
    figure, axes = plt.subplots(1, 2, figsize=size, sharey=True)
    distance, ratio = (
        means[column].unstack("method").reindex(index=problems, columns=methods) for column in means
    )
    looks = (
        (distance, "distance to the answer / sd", "cividis", LogNorm(0.01, 1.0)),
        (ratio, "log of sd of $q$ over sd of $p$", "RdBu_r", TwoSlopeNorm(0.0, -WIDEST, WIDEST)),
    )
    for panel, (values, title, colours, norm) in zip(axes, looks, strict=True):
        image = panel.imshow(values, cmap=colours, norm=norm, aspect="auto", interpolation="nearest")
        panel.set_title(title)
        panel.set_xticks(
            range(len(methods)), [*map(words, methods)], rotation=60, ha="right", rotation_mode="anchor"
        )
        panel.set_yticks(range(len(problems)), [*map(words, problems)])
        panel.tick_params(length=0)
        panel.spines[:].set_visible(False)
        for (row, column), value in np.ndenumerate(values.to_numpy()):
            if np.isnan(value):
                panel.text(column, row, "×", ha="center", va="center", color=style.GREY)
        figure.colorbar(image, ax=panel, orientation="horizontal", shrink=0.8, aspect=30, extend="both")
    style.mark_stand_in(figure, scores)
    return figure


def fig02_evaluations(scores: pd.DataFrame) -> Figure:
    """Figure 2: distance to the answer against evaluations of the log-density, by kind of problem."""
    kinds = scores["kind"].unique()
    columns = min(4, len(kinds))
    rows = -(-len(kinds) // columns)
    size = (style.PAGE, 0.6 + 1.6 * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, sharex=True, sharey=True, squeeze=False)
    means = scores.groupby(["kind", "problem", "method"], sort=False)[
        ["evaluations", "sliced_wasserstein"]
    ].mean()
    ends = np.log10(means["evaluations"].agg(["min", "max"]))
    decades = 10 ** np.floor(ends["min"]), 10 ** np.ceil(ends["max"])
    looks = dict(zip(scores["method"].unique(), zip(cycle(COLOURS), cycle(MARKERS)), strict=False))
    for panel, kind in zip(axes.flat, kinds, strict=False):
        for label, values in means.loc[kind].groupby("method", sort=False):
            colour, marker = looks[label]
            panel.plot(*values.to_numpy().T, marker, color=colour, label=words(label), linestyle="none")
        panel.set(title=words(kind), xscale="log", yscale="log", xlim=decades)
        panel.xaxis.set_minor_formatter(NullFormatter())
    for panel in axes.flat[len(kinds) :]:
        panel.set_axis_off()
    handles = {
        label: line
        for panel in axes.flat
        for line, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=6)
    figure.supxlabel("points at which a derivative of the log-density was asked for", fontsize="medium")
    figure.supylabel("distance to the answer / sd", fontsize="medium")
    style.mark_stand_in(figure, scores)
    return figure


def fig03_draws(draws: Arrays, scores: pd.DataFrame) -> Figure:
    """Figure 3: draws of every method on the plane, beside draws of the answer."""
    problems = list(dict.fromkeys(name.partition(".")[0] for name in draws))
    labels = ["answer", *scores["method"].unique()]
    size = (style.PAGE, 0.3 + style.PAGE / len(labels) * len(problems))
    figure, axes = plt.subplots(len(problems), len(labels), figsize=size, squeeze=False)
    for column, label in zip(axes[0], labels, strict=True):
        column.set_title(words(label), rotation=30, ha="left", fontsize=7)
    for row, problem in zip(axes, problems, strict=True):
        answer = draws[f"{problem}.answer"]
        low, high = np.quantile(answer, [0.005, 0.995], axis=0)
        ends = np.stack([low - MARGIN * (high - low), high + MARGIN * (high - low)])
        for panel, label in zip(row, labels, strict=True):
            panel.set(xticks=[], yticks=[], xlim=ends[:, 0], ylim=ends[:, 1])
            panel.spines[:].set_visible(True)
            values = draws.get(f"{problem}.{label}")
            if values is None:
                continue
            colour = style.BLACK if label == "answer" else style.BLUE
            panel.plot(
                *values.T, ".", color=colour, markersize=2.0, markeredgewidth=0, alpha=0.6, rasterized=True
            )
        row[0].set_ylabel(words(problem), fontsize=7)
    return figure
