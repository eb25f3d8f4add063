"""Figures of document implicit, each a function of its tables."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from elbogap import style
from elbogap.papers.implicit.names import IMAGES, KL, OF_Q, REGRESSION_DATA, VCD
from elbogap.tables import Arrays

PARTS = {
    "training": (style.VERMILION, "o", "training sample"),
    "held-out": (style.BLUE, "s", "held-out points"),
}
"""How the points on which a discriminator is looked at are drawn: colour, marker, label."""
THIN = 0.9  # width of lines that are not data over time
DASHED: Any = {"color": style.BLACK, "linestyle": "--", "linewidth": THIN}


def fig01_density_ratio(
    curves: pd.DataFrame, samples: Arrays, dimensions: pd.DataFrame, table: pd.DataFrame
) -> Figure:
    """Draws of q and its ELBO in training, above; a discriminator in many dimensions, below."""
    figure, (above, below) = plt.subplots(2, 3, figsize=(style.PAGE, 4.8))
    counts = samples["discriminator_steps"]
    for panel, letter, number in zip(above, "ab", (int(counts.argmin()), int(counts.argmax())), strict=False):
        _draw_samples(panel, samples, number)
        steps = f"{counts[number]} step{'s' if counts[number] > 1 else ''}"
        panel.set_title(f"({letter}) {steps} of $D$ per step of $q$")
    _draw_elbo(above[2], curves, float(samples["log_evidence"]))
    panels = {
        "kl_estimate": ("kl", "(d) estimated KL", "$\\mathrm{KL}(q\\,\\|\\,p)$ / nats"),
        "certain": ("exact_certain", "(e) $D$ outside $[0.01, 0.99]$", "fraction of points"),
        "accuracy": ("exact_accuracy", "(f) points on the right side", "fraction of points"),
    }
    ticks = sorted(dimensions["dimension"].unique())
    for panel, (metric, (exact, title, label)) in zip(below, panels.items(), strict=True):
        for i, (part, (colour, marker, name)) in enumerate(PARTS.items()):
            own = (
                dimensions[dimensions["part"] == part]
                .groupby("dimension")[metric]
                .agg(["mean", "min", "max"])
            )
            x = own.index * 1.05 ** (2 * i - 1)  # so that bars of two parts do not hide each other
            look = {"marker": marker, "color": colour, "elinewidth": 0.8, "label": name}
            _draw_bars(panel, x, own["mean"], own["min"], own["max"], **look)
        panel.axhline(table[exact].iloc[0], label="exact $D^*$", **DASHED)
        panel.set_xscale("log")
        panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        panel.minorticks_off()
        panel.set(title=title, xlabel="dimension of $z$", ylabel=label)
    below[0].legend(loc="upper left")
    below[0].set_ylim(bottom=0)
    below[1].set_ylim(-0.03, 1.03)
    return figure


def _draw_samples(panel: Axes, samples: Arrays, number: int) -> None:
    """Draws beyond the panel, which is where the posterior is, are not shown."""
    axis, density = samples["axis"], samples["posterior"]
    levels = density.max() * np.array([0.05, 0.2, 0.4, 0.6, 0.8])
    panel.plot(*samples["z"][number].T, ".", color=style.BLUE, markersize=2, alpha=0.6, markeredgewidth=0)
    panel.contour(axis, axis, density.T, levels, colors=style.ORANGE, linewidths=THIN)
    x, y = (axis[(density > 0.002 * density.max()).any(other)] for other in (1, 0))
    panel.set(xlabel="$z_1$", ylabel="$z_2$", xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))


def _draw_elbo(panel: Axes, curves: pd.DataFrame, log_evidence: float) -> None:
    """Medians over seeds, bands from the lowest to the highest; the axis fits the last half of training."""
    handles = []
    for number, (count, own) in enumerate(curves.groupby("discriminator_steps")):
        colour = f"C{number}"
        for metric, line, shade in (("elbo", "-", 0.25), ("elbo_estimate", ":", 0.12)):
            _draw_band(panel, own.groupby("step")[metric], colour, "median", shade, linestyle=line)
        handles.append(Line2D([], [], color=colour, label=str(count)))
    panel.axhline(log_evidence, **DASHED)
    last = curves[curves["step"] > curves["step"].max() / 2]
    low, high = last["elbo"].quantile(0.05), last["elbo_estimate"].quantile(0.95)
    handles += [
        Line2D([], [], color=style.GREY, label="true"),
        Line2D([], [], color=style.GREY, linestyle=":", label="estimate"),
        Line2D([], [], label="$\\log p(x)$", **DASHED),
    ]
    panel.legend(
        handles=handles, loc="upper right", ncols=3, columnspacing=0.8, handlelength=1.2, handletextpad=0.4,
        title="steps of $D$ per step of $q$", frameon=True, framealpha=0.9, edgecolor="none",
    )  # fmt: skip
    limits = low - 0.1 * (high - low), max(high, log_evidence) + 0.75 * (high - low)
    panel.set(title="(c) in training", xlabel="steps of $q$", ylabel="ELBO / nats", ylim=limits)


TOYS = ("banana", "x_shaped", "multimodal")
TOY_METHODS = {name: method.label for name, method in reversed(OF_Q.items())}


def fig02_uivi_toys(draws: Arrays, divergences: pd.DataFrame) -> Figure:
    """Slide 46: contours of each target and draws of the first q fitted to it; a row per method."""
    kl = divergences.groupby(["method", "target"])["kl"].agg(["mean", "std"])
    size = len(TOY_METHODS), len(TOYS)
    figure, axes = plt.subplots(*size, figsize=(style.PAGE, 6.4), sharex="col", sharey="col")
    for row, (method, label) in zip(axes, TOY_METHODS.items(), strict=True):
        for panel, target in zip(row, TOYS, strict=True):
            z1, z2, density = (draws[f"{name}_{target}"] for name in ("horizontal", "vertical", "density"))
            _draw_contours(panel, (z1, z2, density), 7, style.ORANGE)
            panel.plot(*draws[f"{method}_{target}"].T, ".", color=style.BLUE, markersize=2.5, alpha=0.7)
            panel.set(xlim=(z1[0], z1[-1]), ylim=(z2[0], z2[-1]))
            mean, spread = kl.loc[(method, target)]
            divergence = f"$\\mathrm{{KL}}(q \\,\\Vert\\, p) = {mean:.2f} \\pm {spread:.2f}$ nats"
            panel.set_title(f"{target.replace('_', '-')}, {label}\n{divergence}")
        row[0].set_ylabel("$z_2$")
    for panel in axes[-1]:
        panel.set_xlabel("$z_1$")
    handles = [
        Line2D([], [], color=style.ORANGE, linewidth=THIN, label="target $p(z)$"),
        Line2D([], [], color=style.BLUE, marker=".", linestyle="none", label="draws of $q(z)$"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


VCD_PANELS = {
    "gaussian_1": "(a) Gaussian",
    "mixture_1": "(b) mixture",
    "banana_1": "(c) banana",
    "banana_2": "(d) banana, mixture $q_0$",
}
VCD_LOOKS = {
    "target": ("target", 4, style.ORANGE, "-"),
    KL.name: (KL.label, 3, style.BLUE, "--"),
    VCD.name: (VCD.label, 3, style.GREEN, "-"),
}
"""How densities are drawn: label, number of contours, colour, line."""


def fig05_vcd_toys(densities: Arrays, toys: pd.DataFrame) -> Figure:
    """Slide 59: contours of the targets and of q_0 fitted by the standard KL and by VCD; its variance."""
    figure, (axes, below) = plt.subplots(2, len(VCD_PANELS), figsize=(style.PAGE, 3.6), height_ratios=(3, 1))
    for panel, strip, (key, title) in zip(axes, below, VCD_PANELS.items(), strict=True):
        for name, (label, count, colour, line) in VCD_LOOKS.items():
            _draw_contours(panel, _density(densities, key, name), count, colour, line)
            panel.plot([], [], color=colour, linestyle=line, label=label)
        panel.set(title=title, xlabel="$z_1$")
        target, components = key.rsplit("_", 1)
        own = toys[(toys["target"] == target) & (toys["components"] == int(components))]
        variance = own.groupby("method")["variance"]
        for height, method in enumerate((VCD.name, KL.name)):
            found = variance.get_group(method)
            strip.plot(found, np.full(len(found), height), ".", color=VCD_LOOKS[method][2])
        strip.set(xlabel="variance of $q_0$", ylim=(-0.6, 1.6), yticks=[], xlim=(0, None))
    axes[0].set_ylabel("$z_2$")
    below[0].set_yticks([0, 1], [VCD.label, "KL"])
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def fig07_alpha_vcd(alpha: pd.DataFrame, optima: pd.DataFrame) -> Figure:
    """Ours: how wide alpha-VCD makes q_0 on the Gaussian."""
    figure, widths = plt.subplots(figsize=(style.COLUMN, 2.5))
    for number, (t, rows) in enumerate(alpha.groupby("t")):
        colour = f"C{number}"
        found = rows.groupby("alpha")["deviation"].agg(["mean", "std"])
        look = {"color": colour, "capsize": 2, "linewidth": THIN, "label": f"$t = {t}$"}
        widths.errorbar(found.index, found["mean"], found["std"], marker="o", linestyle="none", **look)
        curve = optima[optima["t"] == t]
        widths.plot(curve["alpha"], curve["deviation"], color=colour, linewidth=THIN)
    limit = optima[np.isinf(optima["t"])]
    widths.plot(limit["alpha"], limit["deviation"], color=style.BLACK, label="$t \\to \\infty$")
    widths.set(xlabel="$\\alpha$", ylabel="standard deviation of $q_0$")
    widths.legend(fontsize=6, labelspacing=0.2, handlelength=1.4, loc="best", ncols=2)
    return figure


REGRESSION_METHODS = {
    "uivi": (OF_Q["uivi"].label, style.BLUE),
    "sivi": (OF_Q["sivi"].label, style.VERMILION),
    "explicit": ("mean field", style.GREY),
}


def fig03_softmax_regression(curves: pd.DataFrame) -> Figure:
    """ELBO and test log-likelihood of softmax regression against time and iterations."""
    figure, axes = plt.subplots(2, 4, figsize=(style.PAGE, 4.1), sharex="col")
    metrics = {"elbo": "ELBO / nats", "test_loglik": "test $\\log p$ per point / nats"}
    for number, dataset in enumerate(REGRESSION_DATA):
        own_curves = curves[curves["dataset"] == dataset]
        time = own_curves["iteration"] * own_curves["seconds_per_iteration"]
        unit, length = ("min", 60) if time.max() > 600 else ("s", 1)
        for column, label in ((2 * number, f"time / {unit}"), (2 * number + 1, "iteration")):
            for panel, metric in zip(axes[:, column], metrics, strict=True):
                for method, (name, colour) in REGRESSION_METHODS.items():
                    own = own_curves[own_curves["cell"] == method]
                    x = own["iteration"] if label == "iteration" else time[own.index] / length
                    _draw_band(panel, own.groupby(x)[metric], colour, label=name)
                _settled(panel, own_curves, metric)
                panel.set_ylabel("" if label == "iteration" else metrics[metric])
            axes[0, column].set_title(_regression_title(own_curves))
            axes[1, column].set_xlabel(label)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    style.mark_stand_in(figure, curves)
    return figure


def fig04_hmc_iterations(curves: pd.DataFrame) -> Figure:
    """The ELBO of UIVI on MNIST in training with several numbers of HMC iterations."""
    figure, panel = plt.subplots(figsize=(style.COLUMN, 2.4))
    curves = curves[(curves["dataset"] == "mnist") & (curves["method"] == "uivi")]
    for number, (iterations, own) in enumerate(curves.groupby("hmc_iterations")):
        _draw_band(panel, own.groupby("iteration")["elbo"], f"C{number}", label=str(iterations))
    _settled(panel, curves, "elbo")
    panel.set(title=_regression_title(curves), xlabel="iteration", ylabel="ELBO / nats")
    panel.legend(loc="lower right", title="HMC iterations", ncols=2)
    style.mark_stand_in(figure, curves)
    return figure


def _regression_title(curves: pd.DataFrame) -> str:
    dataset, variant = curves.iloc[0][["dataset", "variant"]]
    recomputed = dataset == "hapt" and variant == "mirror"
    return f"{REGRESSION_DATA[dataset]},\nfeatures recomputed" if recomputed else REGRESSION_DATA[dataset]


def _settled(panel: Axes, curves: pd.DataFrame, metric: str) -> None:
    """Leave out the steep rise in the first fifth of the iterations."""
    later = curves.loc[curves["iteration"] > 0.2 * curves["iteration"].max(), metric]
    margin = 0.1 * (later.max() - later.min())
    panel.set_ylim(later.min() - margin, later.max() + margin)


def fig06_vcd_steps(steps: pd.DataFrame, time: pd.DataFrame) -> Figure:
    """Test likelihood of the VAE and seconds per training iteration, against the HMC iterations t of VCD."""
    datasets = [name for name in IMAGES if name in set(steps["dataset"])]
    figure, (*panels, cost) = plt.subplots(1, len(datasets) + 1, figsize=(style.PAGE, 2.3))
    for panel, dataset in zip(panels, datasets, strict=True):
        curve = steps[steps["dataset"] == dataset].sort_values("refinements")
        t, spread = curve["refinements"], curve["test_loglik_seed_sd"]
        panel.errorbar(t, curve["test_loglik"], spread, fmt="o-", elinewidth=0.8, capsize=2)
        panel.set(title=IMAGES[dataset], ylabel="test $\\log p(x)$ / nats", xticks=t)
    time = time.sort_values("refinements")
    t, columns = time["refinements"], ["seconds", "seconds_low", "seconds_high"]
    cost.plot(t, time["line"], color=style.GREY, linewidth=0.8, label="straight line")
    _draw_bars(cost, t, *time[columns].to_numpy().T, fmt="o", color=style.VERMILION)
    cost.set(title="Cost", ylabel="s / iteration", ylim=(0, None), xticks=t)
    cost.legend(loc="upper left")
    for panel in (*panels, cost):
        panel.set_xlabel("HMC iterations $t$")
    style.mark_stand_in(figure, steps, time)
    return figure


def _density(densities: Arrays, key: str, name: str) -> list[np.ndarray]:
    return [densities[f"{key}_{part}"] for part in ("z1", "z2", name)]


def _draw_contours(
    panel: Axes, shown: Sequence[np.ndarray], count: int, colour: Any, line: str = "-"
) -> None:
    """Lines of equal density over z_1 and z_2, at equal distances below the largest value shown."""
    z1, z2, density = shown
    levels = np.arange(1, count + 1) / (count + 1) * density.max()
    panel.contour(z1, z2, density.T, levels, colors=[colour], linestyles=line, linewidths=THIN)


def _draw_band(
    panel: Axes, groups: Any, colour: str, centre: str = "mean", shade: float = 0.25, **look: Any
) -> None:
    """The mean or median of each group and its range, along the groups' keys."""
    values = groups.agg([centre, "min", "max"])
    panel.plot(values[centre], color=colour, **look)
    panel.fill_between(values.index, values["min"], values["max"], color=colour, alpha=shade, linewidth=0)


def _draw_bars(panel: Axes, x: Any, value: Any, low: Any, high: Any, **look: Any) -> None:
    """Values with bars from low to high."""
    ends = [(value - low).clip(0), (high - value).clip(0)]  # against rounding
    panel.errorbar(x, value, yerr=ends, capsize=2, **look)
