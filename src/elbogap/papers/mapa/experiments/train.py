"""Train one method on one problem, all data sets and restarts at once (mapa, Figures 2, 3, 11 and 12)."""

from collections.abc import Sequence
from functools import partial
from itertools import product

import numpy as np

from elbogap.ensemble import Fit, fit, in_chunks, members_at_once
from elbogap.errors import refuse_too_large
from elbogap.nn.mlp import MLP
from elbogap.nn.store import Stored
from elbogap.papers.mapa.methods import Cell
from elbogap.papers.mapa.model import GroundTruth
from elbogap.papers.mapa.settings import Train as Settings
from elbogap.papers.mapa.training import encoder_outputs, objective
from elbogap.runtime import Run, torch_generator
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
    rows = settings.batch * (cell.samples or settings.points)  # of one member's network per step
    if not cell.method.posterior:  # MAPA's runs once on each point
        rows = min(rows, settings.points)
    size = members_at_once(settings.rows, rows, run.device)
    fits = in_chunks(members, size, partial(_train, settings, run, truth, cell))
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


def _train(
    settings: Settings, run: Run, truth: GroundTruth, cell: Cell, members: Sequence[tuple[int, int]]
) -> Fit:
    sizes = {"decoder": [1, *settings.hidden, 2], "encoder": [2, *settings.hidden, encoder_outputs(cell)]}
    seeded = partial(torch_generator, settings.seed, "mapa.train", truth.problem)  # alike in all methods
    schedule = settings.exceptions.get(truth.problem, settings.schedule)
    networks = {
        name: MLP.independent(widths, schedule.activation, [seeded(name, *member) for member in members])
        for name, widths in sizes.items()
    }
    label = f"{truth.problem}-{cell.name}-{members[0][0]}.{members[0][1]}-{len(members)}"
    return fit(
        objective(settings, truth, cell, members, run.device),
        networks,
        epochs=schedule.epochs,
        learning_rate=schedule.learning_rate,
        final_fraction=schedule.final_share,
        record_epochs=settings.record_epochs,
        work=Work.in_module(__name__, settings, run, label),
        device=run.device,
    )
