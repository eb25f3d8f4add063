"""Figures of document efvae, each a function of its tables."""

from collections.abc import Mapping

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from elbogap.figures import style

Arrays = Mapping[str, np.ndarray]

# == toy ==
CODE_COLOURS = (style.YELLOW, style.BLUE, style.SKY, style.VERMILION)  # of codes 00, 01, 10 and 11
TOY_MAPS = {
    "ground_truth": ("(b) decisions by $p^*(z\\,|\\,x)$", "ground_truth"),
    "encoder": ("(c) encoder $q_\\phi(z\\,|\\,x)$", "joint"),
    "posterior": ("(d) model posterior $p_\\theta(z\\,|\\,x)$", "joint"),
    "rbm": ("(e) RBM", "rbm"),
}
"""Title of each decision map, and the model whose means it shows."""


def fig02_toy(panels: Arrays) -> Figure:
    """Codes by ground truth, encoder, model and RBM as colours of the plane; the bound on a line."""
    figure, axes = plt.subplots(2, 3, figsize=(style.PAGE, 4.9))
    flat = axes.flatten()
    colours = np.array([to_rgb(colour) for colour in CODE_COLOURS])
    _draw_plane(flat[0], panels, panels["probabilities"] @ colours, "ground_truth")
    flat[0].set_title("(a) ground truth $p^*(z\\,|\\,x)$")
    for panel, (name, (title, model)) in zip(flat[1:], TOY_MAPS.items(), strict=False):
        _draw_plane(panel, panels, colours[panels[name]], model)
        panel.set_title(title)
    _draw_line(flat[5], panels)
    return figure


def _draw_plane(panel: Axes, panels: Arrays, image: np.ndarray, model: str) -> None:
    """Colours `[P, P, 3]`, x_1 along the first axis, and the model's means with their codes."""
    axis = panels["axis"]
    half = (axis[1] - axis[0]) / 2
    ends = (axis[0] - half, axis[-1] + half)
    panel.imshow(image.swapaxes(0, 1), origin="lower", extent=(*ends, *ends), interpolation="nearest")
    for number, mean in enumerate(panels[f"means_{model}"]):
        panel.plot(*mean, "o", color=style.BLACK, markersize=3)
        panel.annotate(
            f"{number:02b}", mean, xytext=(3, 3), textcoords="offset points", fontsize=7, color=style.BLACK,
            bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.6},
        )  # fmt: skip
    panel.set(xlabel="$x_1$", ylabel="$x_2$", xlim=ends, ylim=ends)


def _draw_line(panel: Axes, panels: Arrays) -> None:
    """The bound's maximum is not that of the likelihood, but where the gap is smaller."""
    step, loglik, elbo = (panels[name] for name in ("step", "loglik", "elbo"))
    panel.fill_between(step, elbo, loglik, color=style.GREY, alpha=0.2, linewidth=0, label="KL gap")
    panel.plot(step, loglik, color=style.BLUE, label="log-likelihood")
    panel.plot(step, elbo, color=style.VERMILION, linestyle="--", label="ELBO")
    for place in (0, 1):
        panel.axvline(place, color=style.GREY, linewidth=0.6, linestyle=":")
    panel.set_xticks([0, 1], ["ground\ntruth", "best\nELBO"])
    panel.set(title="(f) on the line between decoders", ylabel="nats", xlim=(step[0], step[-1]))
    panel.legend(loc="lower center")


# == theory ==


# == newsgroups ==


# == celeba ==
