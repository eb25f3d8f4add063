"""Figures of document implicit, each a function of its tables."""

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from elbogap.figures import style

# == density_ratio ==


# == toys ==


# == vcd_toys ==


# == regression ==


# == vae ==

IMAGES = {"binarized_mnist": "MNIST", "fashion_mnist": "Fashion-MNIST"}


def fig06_vcd_steps(steps: pd.DataFrame, time: pd.DataFrame) -> Figure:
    """Test likelihood of the VAE and seconds per training iteration, against the HMC iterations t of VCD."""
    datasets = [name for name in IMAGES if name in set(steps["dataset"])]
    columns = len(datasets) + 1
    figure, axes = plt.subplots(1, columns, figsize=(style.PAGE, 2.3))
    ticks = sorted(steps["refinements"].unique())
    for panel, dataset in zip(axes, datasets, strict=False):
        curve = steps[steps["dataset"] == dataset].sort_values("refinements")
        value = curve["test_loglik"]
        intervals = [value - curve["test_loglik_low"], curve["test_loglik_high"] - value]
        panel.errorbar(curve["refinements"], value, yerr=intervals, fmt="o-", capsize=2, elinewidth=0.8)
        panel.set(title=IMAGES[dataset], ylabel="test $\\log p(x)$ / nats")
    panel = axes[-1]
    time = time.sort_values("refinements")
    intervals = [time["seconds"] - time["seconds_low"], time["seconds_high"] - time["seconds"]]
    panel.plot(time["refinements"], time["line"], color=style.GREY, linewidth=0.8, label="straight line")
    panel.errorbar(
        time["refinements"], time["seconds"], yerr=intervals, fmt="o", color=style.VERMILION, capsize=2
    )
    panel.set(title="Cost", ylabel="s / iteration", ylim=(0, None))
    panel.legend(loc="upper left")
    for panel in axes:
        panel.set_xlabel("HMC iterations $t$")
        panel.set_xticks(ticks)
    style.mark_stand_in(figure, steps, time)
    return figure
