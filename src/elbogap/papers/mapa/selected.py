"""The models of a cell that validation chose, one per data draw, with their standard normal prior."""

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd
from torch import Tensor

from elbogap.errors import UserError
from elbogap.evaluation.pushforward import log_evidence
from elbogap.evaluation.quadrature import Decoder
from elbogap.inference.prior_recovery import MonotoneMap, quantile_map
from elbogap.papers.mapa.cells import Cell
from elbogap.papers.mapa.ground_truth import GroundTruth
from elbogap.papers.mapa.models import Models
from elbogap.papers.mapa.priors import QUANTILE_MAP, STANDARD


@dataclass(frozen=True)
class Selected:
    """One of the members of a cell.

    Attributes:
        models: the members of the cell.
        member: which one.
        law: h, under which N(0, 1) becomes the law of the codes; None for methods with q(z|x).
        train: the model's training set z `[N, 1]` and x `[N, 2]`.
    """

    models: Models
    member: int
    law: MonotoneMap | None
    train: tuple[Tensor, Tensor]

    @property
    def draw(self) -> int:
        """Number of its data set."""
        return int(self.models.draw[self.member])

    @property
    def restart(self) -> int:
        """Number of its restart."""
        return int(self.models.restart[self.member])

    @property
    def decode(self) -> Decoder:
        """f, `[..., 1]` to `[..., 2]`."""
        return self.models.decode(self.member)

    @property
    def encode(self) -> Decoder:
        """g or the heads of q(z|x), `[..., 2]` to `[..., 1]` or `[..., 2]`."""
        return self.models.encode(self.member)

    def log_evidence(self, truth: GroundTruth, x: Tensor) -> Tensor:
        """log p(x) by quadrature, `[N, 2]` to `[N]`, in nats."""
        return log_evidence(self.decode, truth.log_likelihood, x, self.law)


def selected(
    truth: GroundTruth, density: pd.DataFrame, name: str, models: Models, draws: Iterable[int] | None = None
) -> list[Selected]:
    """The best restarts of cell `name` by validation likelihood, in the order of the data draws.

    Where the prior is recovered, it is by the exact quantile map.

    Args:
        truth: the ground truth of the problem.
        density: table of experiment `mapa.density`.
        name: name of the cell.
        models: its members.
        draws: the data draws wanted; all if none are named.

    Raises:
        UserError: the table has no selected model of the cell and draw, or names a model that there is not.
    """
    prior = STANDARD if Cell.parse(name).has_encoder else QUANTILE_MAP
    rows = density[(density["cell"] == name) & (density["prior"] == prior) & density["selected"]]
    restarts = rows.set_index("draw")["restart"]
    places = {
        pair: m for m, pair in enumerate(zip(models.draw.tolist(), models.restart.tolist(), strict=True))
    }
    chosen = []
    for draw in sorted(set(models.draw.tolist())) if draws is None else draws:
        member = places.get((draw, restarts.get(draw)))
        if member is None:
            raise UserError(
                f"no selected model of {name} on data set {draw} of {truth.name}; rebuild the table of "
                "densities, or ask for fewer draws"
            )
        train = truth.data_set(models.points, models.seed, draw)
        law = quantile_map(models.encode(member)(train[1])[:, 0]) if prior == QUANTILE_MAP else None
        chosen.append(Selected(models, member, law, train))
    return chosen
