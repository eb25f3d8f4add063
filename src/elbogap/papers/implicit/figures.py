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

from elbogap import style

Arrays = Mapping[str, np.ndarray]


PARTS = {
    "training": (style.VERMILION, "o", "training sample"),
    "held-out": (style.BLUE, "s", "held-out points"),
}
"""How the points on which a discriminator is looked at are drawn: colour, marker, label."""


def fig01_density_ratio(
    curves: pd.DataFrame, samples: Mapping[str, np.ndarray], dimensions: pd.DataFrame, table: pd.DataFrame
) -> Figure:
    """Draws of q and its ELBO in training, above; a discriminator in many dimensions, below."""
    figure, axes = plt.subplots(2, 3, figsize=(style.PAGE, 4.8))
    counts = samples["discriminator_steps"]
    ends = int(counts.argmin()), int(counts.argmax())
    for panel, letter, number in zip(axes[0], "ab", ends, strict=False):
        _draw_samples(panel, samples, number)
        panel.set_title(f"({letter}) {_steps(counts[number])} per step of $q$")
    _draw_elbo(axes[0, 2], curves, float(samples["log_evidence"]))
    truths = {
        "kl_estimate": table["kl"],
        "certain": table["exact_certain"],
        "accuracy": table["exact_accuracy"],
    }
    labels = ("$\\mathrm{KL}(q\\,\\|\\,p)$ / nats", "share of points", "share of points")
    titles = ("(d) estimated KL", "(e) $D$ outside $[0.01, 0.99]$", "(f) points on the right side")
    for panel, title, label, (metric, truth) in zip(axes[1], titles, labels, truths.items(), strict=True):
        _draw_dimensions(panel, dimensions, metric)
        panel.axhline(truth.iloc[0], color=style.BLACK, linestyle="--", linewidth=0.9, label="exact $D^*$")
        panel.set(title=title, ylabel=label)
    axes[1, 0].legend(loc="upper left")
    axes[1, 0].set_ylim(bottom=0)
    axes[1, 1].set_ylim(-0.03, 1.03)
    return figure


def _steps(count: int) -> str:
    return f"{count} step{'s' if count > 1 else ''} of $D$"


def _draw_samples(panel: Axes, samples: Mapping[str, np.ndarray], number: int) -> None:
    """Draws beyond the panel, which is where the posterior is, are not shown."""
    axis, density = samples["axis"], samples["posterior"]
    levels = density.max() * np.array([0.05, 0.2, 0.4, 0.6, 0.8])
    panel.plot(*samples["z"][number].T, ".", color=style.BLUE, markersize=2, alpha=0.6, markeredgewidth=0)
    panel.contour(axis, axis, density.T, levels, colors=style.ORANGE, linewidths=0.9)
    inside = density > 0.002 * density.max()
    for which, places in (("x", inside.any(1)), ("y", inside.any(0))):
        panel.set(**{f"{which}lim": (axis[places][0], axis[places][-1])})
    panel.set(xlabel="$z_1$", ylabel="$z_2$")


def _draw_elbo(panel: Axes, curves: pd.DataFrame, log_evidence: float) -> None:
    """Medians over seeds, bands from the lowest to the highest; the axis fits the last half of training."""
    counts = sorted(curves["discriminator_steps"].unique())
    for number, count in enumerate(counts):
        own = curves[curves["discriminator_steps"] == count].groupby("step")
        for metric, line, shade in (("elbo", "-", 0.25), ("elbo_estimate", ":", 0.12)):
            values = own[metric]
            panel.fill_between(
                values.min().index, values.min(), values.max(), color=f"C{number}", alpha=shade, linewidth=0
            )
            panel.plot(values.median(), line, color=f"C{number}")
    panel.axhline(log_evidence, color=style.BLACK, linestyle="--", linewidth=0.9)
    last = curves[curves["step"] > curves["step"].max() / 2]
    low, high = last["elbo"].quantile(0.05), last["elbo_estimate"].quantile(0.95)
    panel.set_ylim(low - 0.1 * (high - low), max(high, log_evidence) + 0.75 * (high - low))
    handles = [
        *(Line2D([], [], color=f"C{number}", label=str(count)) for number, count in enumerate(counts)),
        Line2D([], [], color=style.GREY, label="true"),
        Line2D([], [], color=style.GREY, linestyle=":", label="estimate"),
        Line2D([], [], color=style.BLACK, linestyle="--", linewidth=0.9, label="$\\log p(x)$"),
    ]
    panel.legend(
        handles=handles, loc="upper right", ncols=3, columnspacing=0.8, handlelength=1.2, handletextpad=0.4,
        title="steps of $D$ per step of $q$", frameon=True, framealpha=0.9, edgecolor="none",
    )  # fmt: skip
    panel.set(title="(c) in training", xlabel="steps of $q$", ylabel="ELBO / nats")


def _draw_dimensions(panel: Axes, dimensions: pd.DataFrame, metric: str) -> None:
    """Means over seeds, with bars from the lowest to the highest."""
    for place, (part, (colour, marker, label)) in enumerate(PARTS.items()):
        values = dimensions[dimensions["part"] == part].groupby("dimension")[metric]
        mean = values.mean()
        beside = mean.index * 1.05 ** (2 * place - 1)  # so that the bars of two parts do not hide each other
        ends = [(mean - values.min()).clip(lower=0), (values.max() - mean).clip(lower=0)]  # against rounding
        panel.errorbar(
            beside, mean, yerr=ends, marker=marker, color=colour,
            capsize=2, elinewidth=0.8, label=label,
        )  # fmt: skip
    ticks = sorted(dimensions["dimension"].unique())
    panel.set_xscale("log")
    panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    panel.minorticks_off()
    panel.set_xlabel("dimension of $z$")


TOYS = {"banana": "banana", "x_shaped": "x-shaped", "multimodal": "multimodal"}
TOY_METHODS = {"uivi": "UIVI", "sivi": "SIVI", "explicit": "explicit Gaussian"}


def fig02_uivi_toys(draws: Arrays, divergences: pd.DataFrame) -> Figure:
    """Slide 46: contours of each target and draws of the first q fitted to it; a row per method."""
    first = divergences[divergences["seed"] == divergences["seed"].min()].set_index(["method", "target"])[
        "kl"
    ]
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


def fig03_softmax_regression(
    curves_mnist: pd.DataFrame,
    curves_hapt: pd.DataFrame,
    timing_mnist: pd.DataFrame,
    timing_hapt: pd.DataFrame,
) -> Figure:
    """ELBO and test log-likelihood of softmax regression against time and iterations."""
    figure, axes = plt.subplots(2, 4, figsize=(style.PAGE, 4.1), sharex="col")
    metrics = {"elbo": "ELBO / nats", "test_loglik": "test $\\log p$ per point / nats"}
    pairs = ((curves_mnist, timing_mnist), (curves_hapt, timing_hapt))
    for number, (curves, timing) in enumerate(pairs):
        title = _regression_title(curves)
        seconds = timing.set_index("method")["seconds_per_iteration"]
        unit, length = ("min", 60) if seconds.max() * curves["iteration"].max() > 600 else ("s", 1)
        for column, wall_clock in ((2 * number, True), (2 * number + 1, False)):
            for row, (metric, label) in enumerate(metrics.items()):
                panel = axes[row, column]
                for method, (name, colour) in REGRESSION_METHODS.items():
                    scale = seconds[method] / length if wall_clock else 1
                    own = curves[curves["method"] == method]
                    _draw_band(panel, own, metric, {"color": colour, "label": name}, scale)
                _settled(panel, curves, metric)
                if wall_clock:
                    panel.set_ylabel(label)
            axes[0, column].set_title(title)
            axes[1, column].set_xlabel(f"time / {unit}" if wall_clock else "iteration")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    style.mark_stand_in(figure, curves_mnist, curves_hapt)
    return figure


def fig04_hmc_iterations(curves: pd.DataFrame) -> Figure:
    """The ELBO of UIVI on MNIST in training with several numbers of HMC iterations."""
    figure, panel = plt.subplots(figsize=(style.COLUMN, 2.4))
    for number, (iterations, own) in enumerate(curves.groupby("hmc_iterations")):
        _draw_band(panel, own, "elbo", {"color": f"C{number}", "label": str(iterations)})
    _settled(panel, curves, "elbo")
    panel.set(title=_regression_title(curves), xlabel="iteration", ylabel="ELBO / nats")
    panel.legend(loc="lower right", title="HMC iterations", ncols=2)
    style.mark_stand_in(figure, curves)
    return figure


REGRESSION_METHODS = {
    "uivi": ("UIVI", style.BLUE),
    "sivi": ("SIVI", style.VERMILION),
    "explicit": ("mean field", style.GREY),
}


def _regression_title(curves: pd.DataFrame) -> str:
    name = {"mnist": "MNIST", "hapt": "HAPT"}[curves["dataset"].iloc[0]]
    recomputed = name == "HAPT" and (curves["variant"] == "mirror").any()
    return f"{name},\nfeatures recomputed" if recomputed else name


def _draw_band(
    panel: Axes, curves: pd.DataFrame, metric: str, look: dict[str, Any], scale: float = 1
) -> None:
    """The mean over seeds, and the range over seeds."""
    values = curves.groupby("iteration")[metric].agg(["mean", "min", "max"])
    x = values.index.to_numpy() * scale
    panel.plot(x, values["mean"], **look)
    panel.fill_between(x, values["min"], values["max"], color=look["color"], alpha=0.25, linewidth=0)


def _settled(panel: Axes, curves: pd.DataFrame, metric: str) -> None:
    """Leave out the steep rise in the first fifth of the iterations."""
    later = curves.loc[curves["iteration"] > 0.2 * curves["iteration"].max(), metric]
    margin = 0.1 * (later.max() - later.min())
    panel.set_ylim(later.min() - margin, later.max() + margin)


IMAGES = {"binarized_mnist": "MNIST", "fashion_mnist": "Fashion-MNIST"}


def fig06_vcd_steps(steps: pd.DataFrame, time: pd.DataFrame) -> Figure:
    """Test likelihood of the VAE and seconds per training iteration, against the HMC iterations t of VCD."""
    datasets = [name for name in IMAGES if name in set(steps["dataset"])]
    figure, axes = plt.subplots(1, len(datasets) + 1, figsize=(style.PAGE, 2.3))
    for panel, dataset in zip(axes, datasets, strict=False):
        curve = steps[steps["dataset"] == dataset].sort_values("refinements")
        value = curve["test_loglik"]
        intervals = [value - curve["seed_low"], curve["seed_high"] - value]
        panel.errorbar(curve["refinements"], value, yerr=intervals, fmt="o-", capsize=2, elinewidth=0.8)
        panel.set(title=IMAGES[dataset], ylabel="test $\\log p(x)$ / nats", xticks=curve["refinements"])
    panel = axes[-1]
    time = time.sort_values("refinements")
    intervals = [time["seconds"] - time["seconds_low"], time["seconds_high"] - time["seconds"]]
    panel.plot(time["refinements"], time["line"], color=style.GREY, linewidth=0.8, label="straight line")
    panel.errorbar(
        time["refinements"], time["seconds"], yerr=intervals, fmt="o", color=style.VERMILION, capsize=2
    )
    panel.set(title="Cost", ylabel="s / iteration", ylim=(0, None))
    panel.legend(loc="upper left")
    panel.set_xticks(time["refinements"])
    for panel in axes:
        panel.set_xlabel("HMC iterations $t$")
    style.mark_stand_in(figure, steps, time)
    return figure
