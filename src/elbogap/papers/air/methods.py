"""The methods of document air, named here alone: how the encoder is regularised, and how strongly."""

from collections.abc import Iterator
from dataclasses import dataclass

from elbogap.papers.air.settings import Cell


@dataclass(frozen=True)
class Regulariser:
    """A way to keep the encoder smooth, as tables and figures show it.

    Attributes:
        parameter: what sets its strength, in tables.
        axis: the same in figures.
        none: the tick of no regularisation there.
        rising: whether a larger parameter is stronger.
        label: of a line in figures; takes `alpha`.
    """

    parameter: str
    axis: str
    none: str
    rising: bool
    label: str


PLAIN, DENOISING, WEIGHT_NORM = "plain", "denoising", "weight_norm"
REGULARISERS = {
    DENOISING: Regulariser(
        "sigma", "noise $\\sigma$ / pixel value", "0", True, "denoising, $\\alpha = {alpha:g}$"
    ),
    WEIGHT_NORM: Regulariser("H", "norm bound $H$", "$\\infty$", False, "weight norm"),
}


@dataclass(frozen=True)
class Method:
    """No regularisation, or one way with all its strengths.

    Attributes:
        name: `plain`, or one of the regularisers.
        alpha: weight of the denoising term (eq. 16); 0 without it.
        strengths: sigma for `denoising`, H for `weight_norm`; 0 for `plain`.
    """

    name: str
    alpha: float
    strengths: tuple[float, ...]


def methods(cell: Cell) -> Iterator[Method]:
    """The methods that a cell trains; the unregularised one comes first."""
    yield Method(PLAIN, 0.0, (0.0,))
    for alpha in cell.alphas:
        yield Method(DENOISING, alpha, cell.noise)
    if cell.norms:
        yield Method(WEIGHT_NORM, 0.0, cell.norms)
