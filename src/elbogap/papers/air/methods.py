"""The methods of document air, as members of ensembles: how the encoder is regularised, and how strongly."""

from collections.abc import Iterator
from dataclasses import dataclass

from elbogap.papers.air.settings import Cell


@dataclass(frozen=True)
class Method:
    """One way to regularise the encoder, with all its strengths.

    Attributes:
        name: `plain`, `denoising` or `weight_norm`.
        alpha: share of the denoising regulariser (eq. 16); 0 without it.
        strengths: sigma for `denoising`, H for `weight_norm` (small is strong); 0 for `plain`.
    """

    name: str
    alpha: float
    strengths: tuple[float, ...]


def methods(cell: Cell) -> Iterator[Method]:
    """The methods that a cell trains; the unregularised one comes first."""
    yield Method("plain", 0.0, (0.0,))
    for alpha in cell.alphas:
        yield Method("denoising", alpha, cell.noise)
    if cell.norms:
        yield Method("weight_norm", 0.0, cell.norms)
