"""Figures of document implicit, each a function of its tables."""

from typing import Any

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from elbogap.figures import style

# == density_ratio ==


# == toys ==


# == vcd_toys ==


# == regression ==


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


# == vae ==
