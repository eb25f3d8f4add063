"""Figures of document implicit, each a function of its tables."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from elbogap.figures import style

Arrays = Mapping[str, np.ndarray]

# == density_ratio ==


# == toys ==
TOYS = {"banana": "banana", "x_shaped": "x-shaped", "multimodal": "multimodal"}
TOY_METHODS = {"uivi": "UIVI", "sivi": "SIVI", "explicit": "explicit Gaussian"}


def fig02_uivi_toys(draws: Arrays, divergences: pd.DataFrame) -> Figure:
    """Slide 46: contours of each target and draws of the first q fitted to it; a row per method."""
    first = divergences[divergences["seed"] == 0].set_index(["method", "target"])["kl"]
    figure, axes = plt.subplots(
        len(TOY_METHODS), len(TOYS), figsize=(style.PAGE, 6.4), sharex="col", sharey="col"
    )
    for row, method in zip(axes, TOY_METHODS, strict=True):
        for panel, target in zip(row, TOYS, strict=True):
            horizontal, vertical = draws[f"horizontal_{target}"], draws[f"vertical_{target}"]
            density = draws[f"density_{target}"].T
            levels = np.linspace(0, density.max(), 9)[1:-1]
            panel.contour(horizontal, vertical, density, levels, colors=style.ORANGE, linewidths=0.9)
            points = draws[f"{method}_{target}"]
            panel.plot(*points.T, ".", color=style.BLUE, markersize=2.5, alpha=0.7)
            panel.set(xlim=(horizontal[0], horizontal[-1]), ylim=(vertical[0], vertical[-1]))
            divergence = f"$\\mathrm{{KL}}(q \\,\\Vert\\, p) = {first[method, target]:.2f}$ nats"
            panel.set_title(f"{TOYS[target]}, {TOY_METHODS[method]}\n{divergence}")
        row[0].set_ylabel("$z_2$")
    for panel in axes[-1]:
        panel.set_xlabel("$z_1$")
    handles = [
        Line2D([], [], color=style.ORANGE, linewidth=0.9, label="target $p(z)$"),
        Line2D([], [], color=style.BLUE, marker=".", linestyle="none", label="draws of $q(z)$"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


# == vcd_toys ==


# == regression ==


# == vae ==
