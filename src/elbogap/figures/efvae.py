"""Figures of document efvae, each a function of its tables."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from elbogap.figures import style

Arrays = Mapping[str, np.ndarray]

# == toy ==


# == theory ==


# == newsgroups ==


# == celeba ==


def fig03_redecodings(pictures: Arrays) -> Figure:
    """Figure 3: images of the ground truth, and what the pre-trained encoder makes of them, decoded again."""
    rows = {
        "$x$": "x",
        "decoded mean of $q(z \\mid x)$": "decoded_mean",
        "decoded draw of $q(z \\mid x)$": "decoded_draw",
    }
    return _strips(pictures, rows, height=1)


def fig04_samples(pictures: Arrays) -> Figure:
    """Figure 4: samples of the ground truth and of both decoders that the ELBO trained, from the same z."""
    rows = {
        "ground truth": "samples_ground_truth",
        "ELBO, fixed $\\sigma$": "samples_elbo_fixed",
        "ELBO, learned $\\sigma$": "samples_elbo_learned",
    }
    return _strips(pictures, rows, height=2)


def _strips(pictures: Arrays, rows: Mapping[str, str], height: int) -> Figure:
    """A titled strip of images for each name, in `height` lines."""
    count = len(pictures[next(iter(rows.values()))])
    columns = -(-count // height)
    inches = height * style.PAGE / columns + 0.25
    figure, axes = plt.subplots(len(rows), 1, figsize=(style.PAGE, len(rows) * inches))
    for panel, (title, name) in zip(axes, rows.items(), strict=True):
        images = pictures[name]
        side = images.shape[1]
        canvas = np.full((height * columns, *images.shape[1:]), 255, dtype=np.uint8)
        canvas[:count] = images
        tiles = canvas.reshape(height, columns, side, side, 3).transpose(0, 2, 1, 3, 4)
        panel.imshow(tiles.reshape(height * side, columns * side, 3))
        panel.set(title=title, xticks=[], yticks=[])
        panel.spines[:].set_visible(False)
    style.mark_stand_in(figure, pd.DataFrame({"data": [str(pictures["data"])]}))
    return figure
