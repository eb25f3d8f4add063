"""The methods of document air, named here alone: how the encoder is regularised, and how strongly."""

from collections.abc import Iterator
from typing import NamedTuple

from elbogap.papers.air.settings import Cell


class Regulariser(NamedTuple):
    """A way to keep the encoder smooth, as tables and figures show it."""

    parameter: str  # what sets its strength, in tables
    axis: str  # the same in figures
    none: str  # the tick of no regularisation there
    rising: bool  # whether a larger parameter is stronger
    label: str  # of a line in figures; takes `alpha`


PLAIN, DENOISING, WEIGHT_NORM = "plain", "denoising", "weight_norm"
REGULARISERS = {
    DENOISING: Regulariser(
        "sigma", "noise $\\sigma$ / pixel value", "0", True, "denoising, $\\alpha = {alpha:g}$"
    ),
    WEIGHT_NORM: Regulariser("H", "norm bound $H$", "$\\infty$", False, "weight norm"),
}


class Method(NamedTuple):
    """No regularisation, or one way with all its strengths."""

    name: str  # `plain`, or one of the regularisers
    alpha: float  # weight of the denoising term (eq. 16); 0 without it
    strengths: tuple[float, ...]  # sigma for `denoising`, H for `weight_norm`; 0 for `plain`


def methods(cell: Cell) -> Iterator[Method]:
    """The methods that a cell trains; the unregularised one comes first."""
    yield Method(PLAIN, 0.0, (0.0,))
    for alpha in cell.alphas:
        yield Method(DENOISING, alpha, cell.noise)
    if cell.norms:
        yield Method(WEIGHT_NORM, 0.0, cell.norms)
