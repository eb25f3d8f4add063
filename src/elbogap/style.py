"""One style for every figure: column-width sizes, a colour-blind-safe palette, the same bytes each time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Before matplotlib, which cannot be imported where a notebook's backend is named and not installed.
os.environ["MPLBACKEND"] = "agg"

import matplotlib as mpl
import numpy as np
import pandas as pd
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from elbogap import __version__
from elbogap.tables import rests_on_stand_in

mpl.use("Agg")  # matplotlib may have been there before

# Okabe and Ito's palette, distinguishable under all common colour-vision deficiencies.
BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE, YELLOW, BLACK = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442", "#000000"
)  # fmt: skip
GREY = "#7F7F7F"
COLUMN, PAGE = 3.4, 7.0  # widths in inches
RING: dict[str, Any] = {
    "linestyle": "none", "marker": "o", "markersize": 3, "markerfacecolor": "white", "markeredgewidth": 0.8
}  # fmt: skip
"""How points that were found look, on the line of their formula."""

_SETTINGS: Any = {
    **dict.fromkeys(("font.size", "axes.titlesize", "axes.labelsize"), 8),
    **dict.fromkeys(("legend.fontsize", "xtick.labelsize", "ytick.labelsize"), 7),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right"), False),
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "legend.frameon": False,
    "axes.prop_cycle": cycler(color=[BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE, BLACK]),
    "figure.constrained_layout.use": True,
    "savefig.dpi": 200,
    "pdf.fonttype": 42,
    "svg.hashsalt": "elbogap",
}


@contextmanager
def applied() -> Iterator[None]:
    """Draw with the project's style on matplotlib's own defaults, whatever a matplotlibrc says."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        yield


def mosaic(panel: Axes, images: np.ndarray, title: str, **options: Any) -> None:
    """Show images `[R, C, H, W, ...]` in rows and columns."""
    rows, columns, height, width, *channels = images.shape
    panel.imshow(images.swapaxes(1, 2).reshape(rows * height, columns * width, *channels), **options)
    panel.set(title=title, xticks=[], yticks=[])
    panel.spines[:].set_visible(False)


def mark_stand_in(figure: Figure, *frames: pd.DataFrame) -> None:
    """Say STAND-IN across the figure if any table rests on stand-in data."""
    if rests_on_stand_in(*frames):
        figure.text(0.5, 0.5, "STAND-IN DATA", ha="center", va="center", fontsize=28, color=VERMILION,
                    alpha=0.35, rotation=25, zorder=10)  # fmt: skip


def save(figure: Figure, path: Path, *, source: str) -> None:
    """Write a figure without dates, so that equal figures are equal files; the metadata names its source."""
    # Place the panels once: the solver's last digits depend on where its variables lie in memory.
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        figure.set_layout_engine("none")
    for panel in figure.axes:
        panel.set_position(np.round(panel.get_position(original=True).bounds, 6).tolist())
    by = f"elbogap {__version__}"
    metadata = {
        ".pdf": {"Creator": by, "Subject": source, "CreationDate": None, "ModDate": None},
        ".png": {"Software": by, "Source": source},
    }[path.suffix]
    figure.savefig(path, metadata=metadata)
