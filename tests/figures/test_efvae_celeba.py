"""Figures 3 and 4 of document efvae from made-up pictures."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from elbogap import style
from elbogap.papers.efvae import figures as efvae

SIDE, COUNT = 8, 5
NAMES = ("x", "decoded", "samples_ground_truth", "samples_elbo_fixed", "samples_elbo_learned")
MODELS = ("ground_truth", "elbo_fixed", "elbo_learned")
TABLE = pd.DataFrame(
    {"model": MODELS, "sigma": [0.05, 0.05, 0.1], "distance": [1.0, 20.0, 30.0], "features": "inception"}
)


@pytest.fixture
def pictures() -> dict[str, np.ndarray]:
    """Images of one grey level each: 30 times the row, and the column."""
    arrays = {
        name: np.tile(np.arange(COUNT, dtype=np.uint8)[:, None, None, None], (1, SIDE, SIDE, 3)) + 30 * row
        for row, name in enumerate(NAMES)
    }
    return {"data": np.array("real"), **{name: value.astype(np.uint8) for name, value in arrays.items()}}


@pytest.fixture(autouse=True)
def styled() -> Iterator[None]:
    with style.applied():
        yield
    plt.close("all")


def levels(figure: Figure) -> list[np.ndarray]:
    """Grey levels of each panel's tiles, `[lines, columns]`."""
    return [panel.images[0].get_array()[::SIDE, ::SIDE, 0] for panel in figure.axes]


def test_images_stand_above_their_decodings(pictures: dict[str, np.ndarray]) -> None:
    figure = efvae.fig03_redecodings(pictures)
    assert [panel.get_title().startswith("decoded") for panel in figure.axes] == [False, True]
    for row, found in enumerate(levels(figure)):
        np.testing.assert_array_equal(found, [30 * row + np.arange(COUNT)])
    assert not figure.texts


def test_samples_of_three_decoders_in_two_lines(pictures: dict[str, np.ndarray]) -> None:
    figure = efvae.fig04_samples(pictures, TABLE)
    titles = [panel.get_title() for panel in figure.axes]
    assert titles[0] == r"ground truth, $\sigma$ = 0.050, FID 1"
    assert titles[2] == r"ELBO, learned $\sigma$ = 0.100, FID 30"
    for row, found in enumerate(levels(figure), start=2):
        first = 30 * row
        expected = [[first, first + 1, first + 2], [first + 3, first + 4, 255]]
        np.testing.assert_array_equal(found, expected)


def test_stand_in_data_are_named(pictures: dict[str, np.ndarray]) -> None:
    figure = efvae.fig04_samples(pictures | {"data": np.array("stand-in")}, TABLE)
    assert [text.get_text() for text in figure.texts] == ["STAND-IN DATA"]
