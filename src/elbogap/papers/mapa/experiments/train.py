"""Train one method on one problem, all data sets and restarts at once (mapa, Figures 2, 3, 11 and 12).

The document states neither N nor the activation. IWAE has doubly reparameterised gradients, since the text
asks for a specialised estimator without naming one; `iwae_plain` has the plain ones. Where q is uniform
(MAPA-naive), the k largest terms are k random ones. The last incomplete minibatch of an epoch is left out.
"""

import math
from collections.abc import Sequence
from functools import partial
from itertools import product

import numpy as np
import torch
from torch import Tensor

from elbogap import provenance
from elbogap.ensemble import Fit, Objective, fit, in_chunks
from elbogap.errors import UserError
from elbogap.inference.empirical import Proposal, index_log_posterior
from elbogap.nn.mlp import MLP
from elbogap.papers.mapa.cells import Cell
from elbogap.papers.mapa.ground_truth import GroundTruth
from elbogap.papers.mapa.models import Models
from elbogap.papers.mapa.objectives import EncoderObjective, ExactMapaObjective, MapaObjective, terms_of
from elbogap.papers.mapa.settings import Train as Settings
from elbogap.runtime import Run, torch_generator
from elbogap.training import Work

Member = tuple[int, int]
"""A data draw and a restart."""


def run(settings: Settings, run: Run) -> dict[str, dict[str, np.ndarray]]:
    """Train the cell `cell` on the problem `problem` (keys), whose ground truth is the input `surrogate`.

    Returns:
        `models`: see :class:`elbogap.papers.mapa.models.Models`.

    Raises:
        UserError: a minibatch larger than the training set, or a cell that is none.
        OutOfTime: the time budget is spent.
    """
    if settings.batch > settings.points:
        raise UserError(f"mapa.train: batch {settings.batch} exceeds the {settings.points} training points")
    truth = GroundTruth.load(run.keys["problem"], run.inputs["surrogate"])
    cell = Cell.parse(run.keys["cell"])
    members = list(product(range(settings.draws), range(settings.restarts)))
    size = max(1, settings.rows // rows_per_step(cell, settings))
    chunks = in_chunks(members, size, partial(_train, settings, run, truth, cell))
    fits: list[Fit] = [one for one, _ in chunks]
    return {
        "models": Models(
            draw=np.array([draw for draw, _ in members]),
            restart=np.array([restart for _, restart in members]),
            decoder=MLP.joined([one.networks["decoder"] for one in fits]),
            encoder=MLP.joined([one.networks["encoder"] for one in fits]),
            bound=np.concatenate([one.values for one in fits]),
            passes=np.concatenate([passes for _, passes in chunks]),
            points=settings.points,
            batch=settings.batch,
            seed=settings.seed,
        ).to_arrays()
    }


def rows_per_step(cell: Cell, settings: Settings) -> int:
    """Rows that one member's network takes per step: S per observation, for MAPA at most all points."""
    asked = settings.batch * (cell.samples or settings.points)
    return asked if cell.has_encoder else min(asked, settings.points)


def _train(
    settings: Settings, run: Run, truth: GroundTruth, cell: Cell, members: Sequence[Member]
) -> tuple[Fit, np.ndarray]:
    """Train some of the members; gives them and their decoder's passes per observation."""
    name = f"{truth.name}-{run.keys['cell']}-{members[0][0]}.{members[0][1]}-{len(members)}"
    result = fit(
        objective(settings, truth, cell, members, run.device),
        initial_networks(settings, truth.name, cell, members),
        epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        final_share=settings.final_share,
        record_epochs=settings.record_epochs,
        work=Work.of(run, name, provenance.identity(__name__, settings, run), settings.checkpoint_seconds),
        device=run.device,
    )
    everything = settings.points / settings.batch
    constant = np.full(len(members), float(cell.samples) if cell.samples else everything)
    return result, result.reported["passes"].mean(1) if "passes" in result.reported else constant


def initial_networks(settings: Settings, name: str, cell: Cell, members: Sequence[Member]) -> dict[str, MLP]:
    """Decoder 1 to 2 and encoder 2 to (mean, log-variance) or a code; decoders start alike in all methods."""
    outputs = {"decoder": [1, *settings.hidden, 2], "encoder": [2, *settings.hidden, 1 + cell.has_encoder]}
    return {
        network: MLP.independent(
            sizes,
            settings.activation,
            [torch_generator(settings.seed, "mapa.train", name, network, *member) for member in members],
        )
        for network, sizes in outputs.items()
    }


def objective(
    settings: Settings, truth: GroundTruth, cell: Cell, members: Sequence[Member], device: str
) -> Objective:
    """The cell's objective on the members' data sets."""
    sets = {draw: truth.data_set(settings.points, settings.seed, draw) for draw, _ in members}
    data = torch.stack([sets[draw][1].float() for draw, _ in members]).to(device)
    streams = [
        partial(torch_generator, settings.seed, "mapa.train", truth.name, "epoch", *member, device=device)
        for member in members
    ]
    if cell.has_encoder:
        return EncoderObjective(data, truth.noise_variance, settings.batch, streams, cell)
    if cell.method == "mapa_exact":
        return ExactMapaObjective(data, truth.noise_variance, settings.batch, streams)
    k, samples = terms_of(cell, settings.points)
    proposals = {
        draw: Proposal.prepare(
            log_proposal(truth, cell, z, x), k, torch_generator(settings.seed, "ties", truth.name, draw)
        ).to(device)
        for draw, (z, x) in sets.items()
    }
    own = [proposals[draw] for draw, _ in members]
    return MapaObjective(data, truth.noise_variance, settings.batch, streams, own, samples)


def log_proposal(truth: GroundTruth, cell: Cell, z: Tensor, x: Tensor) -> Tensor:
    """log q(i|n) of the whole data set, `[N, N]`: MAPA (eq. 8), the true posterior (eq. 7), or uniform."""
    if cell.method == "mapa_gt":
        return index_log_posterior(truth.log_likelihood(x, truth.decoder(z)))
    if cell.method == "mapa_naive":
        return x.new_full((len(x), len(x)), -math.log(len(x)))
    return index_log_posterior(truth.log_likelihood(x, x))
