"""Train one method on one problem, all data sets and restarts at once (mapa, Figures 2, 3, 11 and 12)."""

from collections.abc import Sequence
from itertools import product

import numpy as np

from elbogap.ensemble import Fit, in_chunks
from elbogap.errors import refuse_too_large
from elbogap.nn.mlp import MLP
from elbogap.nn.store import Stored
from elbogap.papers.mapa.methods import Cell
from elbogap.papers.mapa.model import GroundTruth
from elbogap.papers.mapa.settings import Train as Settings
from elbogap.papers.mapa.training import Member, side_by_side, train
from elbogap.runtime import Run
from elbogap.training import Work


def run(settings: Settings, run: Run) -> dict[str, dict[str, np.ndarray]]:
    """Train the cell `cell` on the problem `problem` (keys), whose ground truth is the input `surrogate`.

    Returns:
        `models`: stored networks `decoder` and `encoder`, members ordered by draw, then restart; `bound`,
        means of the objective over each recorded stretch, in nats; `passes`, the mean number of points per
        step on which the decoder was evaluated, over the batch size.

    UserError for a minibatch larger than the training set, or an unknown cell.
    """
    refuse_too_large(settings.batch, settings.points, "mapa.train", "training points")
    truth = GroundTruth.load(run.keys["problem"], run.inputs["surrogate"])
    cell = Cell.parse(run.keys["cell"])
    members = list(product(range(settings.draws), range(settings.restarts)))

    def trained(members: Sequence[Member]) -> Fit:
        label = f"{truth.problem}-{cell.name}-{members[0][0]}.{members[0][1]}-{len(members)}"
        return train(
            settings, truth, cell, members, Work.in_module(__name__, settings, run, label), run.device
        )

    fits = in_chunks(members, side_by_side(settings, cell, run.device), trained)
    uncounted = float(cell.samples or settings.points / settings.batch)
    passes = [chunk.reported.get("passes", np.full_like(chunk.values, uncounted)).mean(1) for chunk in fits]
    draws, restarts = zip(*members, strict=True)
    models = Stored(
        {name: MLP.joined([chunk.networks[name] for chunk in fits]) for name in ("decoder", "encoder")},
        {
            "draw": np.array(draws),
            "restart": np.array(restarts),
            "bound": np.concatenate([chunk.values for chunk in fits]),
            "passes": np.concatenate(passes),
            **{name: np.array(getattr(settings, name)) for name in ("points", "batch", "seed")},
        },
    )
    return {"models": models.to_arrays()}
