"""Figures of document qiw, each a function of its tables."""

from itertools import product

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from elbogap import style
from elbogap.tables import Arrays

LEVELS = 12
SIDE = 28


def fig01_posterior_2d(density: Arrays) -> Figure:
    """Figure 1: the target, and q_IW for up to three k."""
    axis, target = density["axis"], density["target"]
    order = density["k"].argsort()
    log_ks = np.log(density["k"][order])
    middle = abs(2 * log_ks - log_ks[0] - log_ks[-1]).argmin()
    shown = order[sorted({0, int(middle), len(order) - 1})]  # the smallest, middle and largest k
    densities = density["q_iw"][shown]
    levels = np.linspace(0, max(target.max(), densities.max()), LEVELS)
    width = style.PAGE * (1 + len(shown)) / 4
    figure, axes = plt.subplots(1, 1 + len(shown), figsize=(width, 2.0), sharex=True, sharey=True)
    titles = [f"$q_{{\\mathrm{{IW}}}}(z \\mid x)$, $k = {k}$" for k in density["k"][shown]]
    titles = ["true posterior $p(z \\mid x)$", *titles]
    for panel, title, values in zip(axes, titles, [target, *densities], strict=True):
        filled = panel.contourf(axis, axis, values.T, levels, cmap="Blues")
        panel.set_title(title)
        panel.set(aspect="equal", xticks=[], yticks=[])
        panel.spines[:].set_visible(True)
    figure.supxlabel(f"latent variables $z$, each panel $[-{axis[-1]:g}, {axis[-1]:g}]^2$", fontsize="medium")
    looks = {"shrink": 0.8, "aspect": 14, "pad": 0.01, "ticks": levels[:: LEVELS // 3], "format": "%.2f"}
    figure.colorbar(filled, ax=axes, label="density", **looks)
    return figure


def fig02_mnist_reconstructions(images: Arrays, reconstruction: pd.DataFrame) -> Figure:
    """Figure 2: test digits, pixel means decoded from draws of q and q_IW, and the averages of Table 2."""
    measured = reconstruction.groupby("method")[["mean_log_p_x_given_z", "digit_agreement"]].mean()
    samples = images["q"].shape[1]
    widths = {"width_ratios": [max(1, samples / 10), samples, samples]}
    figure, axes = plt.subplots(1, 3, figsize=(style.PAGE, 2.25), gridspec_kw=widths)
    for panel, name, title in zip(
        axes, ("real", "q", "q_iw"), ("image", "q", "q_{\\mathrm{IW}}"), strict=True
    ):
        if name != "real":
            title = f"decoded draws of ${title}(z \\mid x)$"
            log_likelihood, agreement = measured.loc[name]
            panel.set_xlabel(f"$\\log p(x \\mid z) = {log_likelihood:.1f}$ nats, same digit {agreement:.1%}")
        tiles = images[name].reshape(len(images["real"]), -1, SIDE, SIDE)
        style.mosaic(panel, tiles, title, cmap="gray_r", vmin=0, vmax=1)
    figure.get_layout_engine().set(wspace=0.04)
    style.mark_stand_in(figure, reconstruction)
    return figure


def fig03_posterior_1d(density: pd.DataFrame, histogram: pd.DataFrame) -> Figure:
    """Figure 3: target, fitted q, exact q_IW, and a histogram of resampled draws, for two fits of q."""
    ks = sorted(density["k"].unique())
    size = (max(style.PAGE, 1.6 * len(ks)), 3.4)
    figure, axes = plt.subplots(2, len(ks), figsize=size, sharex=True, sharey=True, squeeze=False)
    looks = {
        "target": (style.BLUE, "-", "target $p(z \\mid x)$"),
        "q": (style.GREEN, "--", "fitted $q(z \\mid x)$"),
        "q_iw": (style.BLACK, ":", "exact $q_{\\mathrm{IW}}(z \\mid x)$"),
    }
    for panel, (training, k) in zip(axes.flat, product(("svi", "iw-svi"), ks), strict=True):
        if k == 1 and training == "iw-svi":  # the same as SVI
            panel.set_axis_off()
            panel.legend(*axes[0, 0].get_legend_handles_labels(), loc="center")
            continue
        bars, curves = (
            table[(table["training"] == training) & (table["k"] == k)] for table in (histogram, density)
        )
        edges, label = [*bars["left"], bars["right"].iloc[-1]], "resampled draws"
        panel.stairs(bars["density"], edges, fill=True, color=style.VERMILION, alpha=0.4, label=label)
        for column, (colour, line, label) in looks.items():
            panel.plot(curves["z"], curves[column], line, color=colour, label=label)
        fit = "SVI and IW-SVI" if k == 1 else training.upper()
        panel.set(title=f"{fit}, $K = {k}$", xlabel="latent variable $z$", ylabel="density")
        panel.set(xlim=(curves["z"].min(), curves["z"].max()), ylim=(0, None))
        first = int(training == "iw-svi" and ks[0] == 1)  # column that has a panel
        panel.tick_params(labelleft=k == ks[first], labelbottom=training == "iw-svi" or k == 1)
        panel.xaxis.label.set_visible(training == "iw-svi" or k == 1)
        panel.yaxis.label.set_visible(k == ks[first])
    if ks[0] != 1:
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure
