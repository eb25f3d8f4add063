"""What the methods of document mapa are made of, and how ensembles of data draws and restarts train them.

Methods with q(z|x) maximise an objective over it (section 6), MAPA's maximise eq. 10 over q(i|n). IWAE has
doubly reparameterised gradients, since the text asks for a specialised estimator without naming one; plain
ones are a method of their own. Where q(i|n) is uniform, the k largest terms are k random ones.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from elbogap.densities import isotropic_gaussian_log_density
from elbogap.ensemble import (
    Batch,
    Fit,
    Objective,
    Stream,
    Variational,
    fit,
    members_at_once,
    minibatches,
    rows_of,
)
from elbogap.inference.empirical import index_log_posterior
from elbogap.inference.families.base import Family
from elbogap.inference.families.gaussian import DiagonalGaussian
from elbogap.inference.families.proposal import Proposal
from elbogap.inference.objectives import base as inference
from elbogap.inference.objectives.base import StandardNormalPrior
from elbogap.inference.objectives.elbo import IWAE, ClosedFormELBO
from elbogap.inference.objectives.mapa import MAPA
from elbogap.nn.mlp import MLP, Network
from elbogap.papers.mapa.methods import Cell
from elbogap.papers.mapa.model import GroundTruth
from elbogap.papers.mapa.settings import Train
from elbogap.runtime import torch_generator
from elbogap.training import Work


class Posterior(NamedTuple):
    """How an encoder with so many outputs, `[..., B, outputs]`, makes q(z|x_b) of draws `[..., S, B, 1]`."""

    outputs: int
    family: Callable[[Tensor], Family]


def gaussian(outputs: Tensor) -> DiagonalGaussian:
    """The mean field, from mean and log-variance."""
    mean, log_variance = outputs.unsqueeze(-3).chunk(2, -1)
    return DiagonalGaussian(mean, log_variance)


POSTERIORS = {"gaussian": Posterior(2, gaussian)}
OBJECTIVES: Mapping[str, inference.Objective[Any]] = {
    "elbo": ClosedFormELBO(),
    "iwae": IWAE(doubly_reparameterised=True),
    "iwae_plain": IWAE(),
}
PROPOSALS: Mapping[str, Callable[[GroundTruth, Tensor, Tensor], Tensor]] = {
    "kernel": lambda truth, z, x: index_log_posterior(truth.log_likelihood(x, x)),
    "ground_truth": lambda truth, z, x: index_log_posterior(truth.log_likelihood(x, truth.decode(z))),
    "uniform": lambda truth, z, x: x.new_full((len(x), len(x)), -math.log(len(x))),
}
"""log q(i|n) `[N, N]` of a data set with latent values z and observations x: eq. 8, eq. 7, and 1 / N."""


Member = tuple[int, int]
"""A data draw and a restart."""


def encoder_outputs(cell: Cell) -> int:
    """As many as q(z|x) takes, or 1 for the code g(x)."""
    return POSTERIORS[cell.method.posterior].outputs if cell.method.posterior else 1


def side_by_side(settings: Train, cell: Cell, device: str) -> int:
    """How many members to train at once."""
    rows = settings.batch * (cell.samples or settings.points)  # of one member's network per step
    if not cell.method.posterior:  # MAPA's runs once on each point
        rows = min(rows, settings.points)
    return members_at_once(settings.rows, rows, device)


def train(
    settings: Train,
    truth: GroundTruth,
    cell: Cell,
    members: Sequence[Member],
    work: Work,
    device: str,
    epochs: int | None = None,
) -> Fit:
    """Train members side by side, for as many epochs as the schedule says or for others."""
    sizes = {"decoder": [1, *settings.hidden, 2], "encoder": [2, *settings.hidden, encoder_outputs(cell)]}
    seeded = partial(torch_generator, settings.seed, "mapa.train", truth.problem)  # alike in all methods
    schedule = settings.exceptions.get(truth.problem, settings.schedule)
    networks = {
        name: MLP.independent(widths, schedule.activation, [seeded(name, *member) for member in members])
        for name, widths in sizes.items()
    }
    return fit(
        objective(settings, truth, cell, members, device),
        networks,
        epochs=epochs or schedule.epochs,
        learning_rate=schedule.learning_rate,
        final_fraction=schedule.final_share,
        record_epochs=min(epochs or settings.record_epochs, settings.record_epochs),
        work=work,
        device=device,
    )


@dataclass(frozen=True)
class TrainingSets:
    """Each member's data x `[M, N, 2]`, float32, and its generator by epoch, on the device of the data."""

    x: Tensor
    noise_variance: float
    batch: int
    streams: Sequence[Stream]

    reported: ClassVar[tuple[str, ...]] = ()

    @property
    def points(self) -> int:
        """N."""
        return self.x.shape[1]

    @property
    def steps(self) -> int:
        """Steps per epoch."""
        return self.points // self.batch


def objective(
    settings: Train, truth: GroundTruth, cell: Cell, members: Sequence[Member], device: str
) -> Objective:
    """The cell's objective on the data sets of members."""
    draws = [draw for draw, _ in members]
    x = {draw: truth.data_set(settings.points, settings.seed, draw)[1].float() for draw in set(draws)}
    keys = (settings.seed, "mapa.train", truth.problem, "epoch")
    sets = TrainingSets(
        torch.stack([x[draw] for draw in draws]).to(device),
        truth.noise_variance,
        settings.batch,
        [partial(torch_generator, *keys, *member, device=device) for member in members],
    )
    if cell.fraction is None:
        return of_cell(cell, sets)
    q = {draw: proposal(truth, cell, settings.points, settings.seed, draw).to(device) for draw in set(draws)}
    return of_cell(cell, sets, [q[draw] for draw in draws])


def of_cell(cell: Cell, sets: TrainingSets, proposals: Sequence[Proposal] = ()) -> Objective:
    """The cell's objective; where k terms are certain and others drawn, with the proposal of each member."""
    if cell.method.posterior:
        objective, family = OBJECTIVES[cell.method.objective], POSTERIORS[cell.method.posterior].family
        return variational(objective, family, cell.samples or 1, sets, lambda networks: networks["decoder"])
    if cell.fraction is None:
        return AllTerms(**vars(sets))
    return SomeTerms(**vars(sets), proposals=proposals, samples=cell.terms(sets.points)[1])


def variational(
    objective: inference.Objective[Any],
    family: Callable[[Tensor], Family],
    samples: int,
    sets: TrainingSets,
    decoder: Callable[[Mapping[str, MLP]], Network],
) -> Variational:
    """An objective over q(z|x) of network `encoder`, with S draws per x; `decoder` makes f of networks."""

    def log_joint(networks: Mapping[str, MLP], batch: Batch) -> StandardNormalPrior:
        x, decode = batch["x"].unsqueeze(1), decoder(networks)
        variance = sets.noise_variance
        return StandardNormalPrior(lambda z: isotropic_gaussian_log_density(x, decode(z), variance))

    return Variational(
        objective=objective,
        family=lambda networks, batch: family(networks["encoder"](batch["x"])),
        log_joint=log_joint,
        specs=objective.noise(samples, sets.batch, dimensions=1),
        streams=sets.streams,
        steps=sets.steps,
        rows=partial(minibatches, sets.points, sets.batch),
        data=sets.x,
        # means over the batch, and over draws where they are not combined
        reduce=lambda estimate: estimate.mean().reshape(len(sets.x), -1).mean(1),
    )


@lru_cache(maxsize=1)  # chunks of members that share a data set follow each other
def proposal(truth: GroundTruth, cell: Cell, points: int, seed: int, draw: int) -> Proposal:
    """q(i|n) on a training set, with the k certain terms that training takes, ties included."""
    log_q = PROPOSALS[cell.method.proposal](truth, *truth.data_set(points, seed, draw))
    return Proposal.prepare(log_q, cell.terms(points)[0], torch_generator(seed, "ties", truth.problem, draw))


@dataclass(frozen=True)
class AllTerms(TrainingSets):
    """The empiricalised log-likelihood (eq. 6), all N terms of it: MAPA with k = N."""

    def prepare(self, epoch: int) -> Batch:
        """Batches `x` `[M, K, B, 2]`, and all `points` at each step, `[M, K, N, 2]`."""
        rows = torch.stack([minibatches(self.points, self.batch, stream(epoch)) for stream in self.streams])
        return {"x": rows_of(self.x, rows), "points": self.x[:, None].expand(-1, self.steps, -1, -1)}

    def value(self, networks: Mapping[str, Network], batch: Batch) -> Tensor:
        """The empiricalised log-likelihood's mean over the batch, `[M]`, in nats."""
        means = networks["decoder"](networks["encoder"](batch["points"]))
        square, variance = means.new_zeros(()), self.noise_variance
        for x, mean in zip(batch["x"].unbind(-1), means.unbind(-1), strict=True):
            square = square + (x.unsqueeze(-1) - mean.unsqueeze(-2)).square()
        constant = -0.5 * means.shape[-1] * math.log(2 * math.pi * variance) - math.log(self.points)
        return MAPA().at(-0.5 / variance * square, constant).mean()


@dataclass(frozen=True)
class Regression(TrainingSets):
    """-|t_n - network(x_n)|^2 / (2 v) on minibatches, by which networks are distilled (eq. 39 and 40).

    With x_n, z*_n and v = 1/2 it is the summand of eq. 39; with g_psi-dagger(x_n), f(g(x_n)) and the noise
    variance it is that of eq. 40, the divergence of two Gaussians, in nats. Inputs x_n are `[M, N, I]`,
    targets t_n `[M, N, O]`.
    """

    targets: Tensor

    def prepare(self, epoch: int) -> Batch:
        """`inputs` `[M, K, B, I]` and `targets` `[M, K, B, O]` in the epoch's order."""
        orders = torch.stack([minibatches(self.points, self.batch, stream(epoch)) for stream in self.streams])
        rows = orders.to(self.x.device)
        return {"inputs": rows_of(self.x, rows), "targets": rows_of(self.targets, rows)}

    def value(self, networks: Mapping[str, Network], batch: Batch) -> Tensor:
        """Mean over the minibatch, `[M]`; the network is the one named `network`."""
        error = networks["network"](batch["inputs"]) - batch["targets"]
        return -error.square().sum(-1).mean(-1) / (2 * self.noise_variance)


@dataclass(frozen=True)
class SomeTerms(AllTerms):
    """MAPA's bound: terms chosen by each member's proposal, networks run once per distinct point."""

    proposals: Sequence[Proposal]
    samples: int  # terms drawn beside the certain ones

    reported: ClassVar[tuple[str, ...]] = ("passes",)

    def prepare(self, epoch: int) -> Batch:
        """Batches `x` `[M, K, B, 2]` with their terms.

        `points` `[M, K, U, 2]` are the distinct ones that a step asks for, padded with the first point; on a
        GPU all N, since shapes must not change. `terms` and `log_weights` `[M, K, B, T]` are places among
        all members' points in one row, and weights; `passes` `[M, K]` is the number of distinct points / B.
        """
        chosen, indices, log_weights = [], [], []
        for proposal, stream in zip(self.proposals, self.streams, strict=True):
            generator = stream(epoch)
            rows = minibatches(self.points, self.batch, generator)
            terms = proposal.choose(self.samples, generator)  # of all points, each being in one batch
            chosen.append(rows)
            indices.append(terms.indices[rows])
            log_weights.append(terms.log_weights.float()[rows])
        places, members = torch.stack(indices), len(indices)
        used = places.new_zeros((members, self.steps, self.points), dtype=torch.bool)
        used.scatter_(2, places.flatten(2), True)
        passes = used.sum(-1)
        if self.x.device.type == "cpu":
            place, width = used.cumsum(-1) - 1, int(passes.max())
            points = torch.zeros(members, self.steps, width, dtype=torch.int64)
            member, step, index = used.nonzero(as_tuple=True)
            points[member, step, place[used]] = index
            places = place.gather(2, places.flatten(2)).view_as(places)
            x_points = rows_of(self.x, points)
        else:
            width, x_points = self.points, self.x[:, None].expand(-1, self.steps, -1, -1)
        offset = width * torch.arange(members, device=places.device).view(-1, 1, 1, 1)
        return {
            "x": rows_of(self.x, torch.stack(chosen)),
            "points": x_points,
            "terms": places + offset,
            "log_weights": torch.stack(log_weights),
            "passes": passes / self.batch,
        }

    def value(self, networks: Mapping[str, Network], batch: Batch) -> Tensor:
        """The bound's mean over the batch, `[M]`, in nats."""
        means, terms = networks["decoder"](networks["encoder"](batch["points"])), batch["terms"]
        chosen = means.flatten(0, 1).index_select(0, terms.flatten()).view(*terms.shape, -1)
        log_likelihood = isotropic_gaussian_log_density(batch["x"].unsqueeze(-2), chosen, self.noise_variance)
        return MAPA().at(log_likelihood + batch["log_weights"], -math.log(self.points)).mean()
