"""Figures of document efvae, each a function of its tables."""

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from elbogap.figures import style

# == toy ==


# == theory ==


# == newsgroups ==

ENCODERS = {
    "e1": (style.BLUE, "o", "e1: linear, counts"),
    "e2": (style.VERMILION, "s", "e2: deep, frequencies"),
    "e3": (style.GREEN, "^", "e3: linear, frequencies"),
}
"""How an encoder's models are drawn: colour, marker, label."""
DEPTHS = {0: "linear decoder", 1: "1 hidden layer", 2: "2 hidden layers"}


def fig_newsgroups(table: pd.DataFrame) -> Figure:
    """NELBO of the text VAEs against bits; a column per depth of the decoder, a row per part."""
    depths = sorted(table["hidden"].unique())
    figure, axes = plt.subplots(
        2, len(depths), figsize=(style.PAGE, 4.2), sharex=True, sharey="row", squeeze=False
    )
    for row, part in zip(axes, ("train", "test"), strict=True):
        for panel, depth in zip(row, depths, strict=True):
            shown = table[(table["part"] == part) & (table["hidden"] == depth)]
            panel.axhline(shown["unigram"].iloc[0], color=style.GREY, linewidth=0.8, label="unigram")
            for encoder, (colour, marker, label) in ENCODERS.items():
                curve = shown[shown["encoder"] == encoder].sort_values("bits")
                panel.plot(curve["bits"], curve["nelbo"], color=colour, marker=marker, label=label)
                panel.plot(curve["bits"], curve["nelbo_last"], color=colour, linestyle=":", linewidth=0.9)
                panel.plot(curve["bits"], curve["published"], color=colour, linestyle="none", marker=marker,
                           markerfacecolor="none", markersize=6, markeredgewidth=0.8)  # fmt: skip
            panel.set_xscale("log", base=2)
            panel.set_xticks(sorted(table["bits"].unique()))
            panel.xaxis.set_major_formatter("{x:g}")
        row[0].set_ylabel(f"{part} NELBO / nats")
    for top, bottom, depth in zip(*axes, depths, strict=True):
        top.set_title(DEPTHS.get(depth, f"{depth} hidden layers"))
        bottom.set_xlabel("bits")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    handles += [
        Line2D([], [], color=style.BLACK, linestyle=":", linewidth=0.9),
        Line2D([], [], color=style.BLACK, linestyle="none", marker="o", markerfacecolor="none", markersize=6),
    ]
    figure.legend(
        handles, [*labels, "after the last epoch", "published"], loc="outside lower center", ncols=3
    )
    style.mark_stand_in(figure, table)
    return figure


# == celeba ==
