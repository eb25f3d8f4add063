"""Prior recovery, exact likelihoods and the choice of restarts of all cells of one problem (mapa, Figure 3).

Deviations: likelihoods are exact by quadrature, not the document's fitted bound. Models without q(z|x)
recover their prior twice, by the exact quantile map and by the document's networks (appendix C.3, as
corrected in :mod:`elbogap.inference.prior_recovery`). How these networks are initialised is not stated: they
start afresh, alike in all cells. The best restart is chosen for each way of recovery by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from elbogap import provenance
from elbogap.ensemble import fit, in_chunks
from elbogap.errors import Unresolved, UserError
from elbogap.evaluation.pushforward import log_evidence
from elbogap.inference.prior_recovery import (
    MonotoneMap,
    Regression,
    gaussian_copula,
    quantile_map,
    whitened,
)
from elbogap.nn.mlp import MLP
from elbogap.papers.mapa.cells import Cell
from elbogap.papers.mapa.ground_truth import GroundTruth
from elbogap.papers.mapa.models import Models
from elbogap.papers.mapa.priors import NETWORK, QUANTILE_MAP, STANDARD
from elbogap.papers.mapa.settings import Density as Settings
from elbogap.runtime import Run, torch_generator
from elbogap.training import Work, tabulate

METRICS = ("valid_loglik", "test_loglik", "test_kl", "test_kl_se")
DIVERGED = (-np.inf, -np.inf, np.inf, np.nan)


@dataclass(frozen=True)
class DataSets:
    """The data sets of one draw.

    Attributes:
        train: `[N, 2]`.
        valid: `[V, 2]`.
        test: `[T, 2]`.
        truth: log p_GT of the test set, `[T]`.
    """

    train: Tensor
    valid: Tensor
    test: Tensor
    truth: Tensor


@dataclass(frozen=True, eq=False)
class Member:
    """One trained model.

    Attributes:
        cell: name of its cell.
        draw: number of its data set.
        restart: number of its restart.
        networks: `decoder` f, and `encoder` g or q(z|x), one network each, float64.
        passes: decoder evaluations per training step, over the batch size.
        bound: last recorded mean of the training objective, in nats.
    """

    cell: str
    draw: int
    restart: int
    networks: Mapping[str, MLP]
    passes: float
    bound: float

    @property
    def name(self) -> str:
        """Cell, draw and restart."""
        return f"{self.cell}-{self.draw}.{self.restart}"

    @property
    def priors(self) -> tuple[str, ...]:
        """The ways to its standard normal prior."""
        return (STANDARD,) if Cell.parse(self.cell).has_encoder else (QUANTILE_MAP, NETWORK)

    def diverged(self, x: Tensor) -> bool:
        """Whether a weight, or a reconstruction of its data x `[N, 2]`, is not finite in single precision."""
        values: list[Tensor] = [p for network in self.networks.values() for p in network.parameters()]
        if STANDARD not in self.priors:
            codes = self.codes(x)
            values += [codes, self.decode(codes)]
        return not all(value.float().isfinite().all() for value in values)

    @torch.no_grad()
    def codes(self, x: Tensor) -> Tensor:
        """g(x_n), `[N, 2]` to `[N, 1]`, of a model without q(z|x)."""
        return self.networks["encoder"](x[None])[0]

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """f(c), `[N, 1]` to `[N, 2]`."""
        return self.networks["decoder"](codes[None])[0]


@dataclass(frozen=True)
class Recovered:
    """A model with a standard normal prior: x = f(h(z)) + noise, z ~ N(0, 1).

    Attributes:
        decoder: f, one network, float64.
        law: h, or None for h(z) = z.
    """

    decoder: MLP
    law: MonotoneMap | None

    def log_evidence(self, truth: GroundTruth, x: Tensor, tolerance: float) -> Tensor:
        """log p(x) under the noise of the ground truth, `[N, 2]` to `[N]`, in nats, on the CPU."""
        network = self.decoder.to(x.device)

        def decoder(codes: Tensor) -> Tensor:
            return network(codes[None])[0]

        return log_evidence(decoder, truth.log_likelihood, x, self.law, tolerance=tolerance).cpu()


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Evaluate every member of the cells of key `problem`; inputs are `surrogate`, and models by cell.

    Returns:
        `density`: one row per cell, data draw, restart and prior, which is `standard` for methods with
        q(z|x), else `quantile map` and `network`. `valid_loglik` and `test_loglik` are means of log p(x), in
        nats; `test_kl` is the mean over the test set of log p_GT(x) - log p(x), in nats, and `test_kl_se` its
        standard error over observations; `selected` marks the best restart of a draw by `valid_loglik`;
        `passes_per_point` counts the decoder's evaluations per training step, over the batch size;
        `train_bound` is the last recorded mean of the training objective, in nats. A member whose training
        diverged, or whose decoder varies too fast to be integrated, has log-likelihood -inf.

    Raises:
        UserError: models of different data sets, or a cell all of whose restarts diverged.
        OutOfTime: the time budget is spent.
    """
    truth = GroundTruth.load(run.keys["problem"], run.inputs["surrogate"])
    cells = {name: Models.load(path) for name, path in run.inputs.items() if name != "surrogate"}
    sets = data_sets(settings, run, truth, cells)
    members = [member for name, models in cells.items() for member in _members(name, models)]
    converged = [member for member in members if not member.diverged(sets[member.draw].train)]
    recovered = recover(settings, run, truth, sets, converged)
    metrics = evaluate(settings, run, truth, sets, recovered)
    table = pd.DataFrame(
        [
            {
                "document": "mapa",
                "problem": truth.name,
                "cell": member.cell,
                **Cell.parse(member.cell).key(),
                "draw": member.draw,
                "restart": member.restart,
                "prior": prior,
                **dict(zip(METRICS, metrics.get((member, prior), DIVERGED), strict=True)),
                "passes_per_point": member.passes,
                "train_bound": member.bound,
            }
            for member in members
            for prior in member.priors
        ]
    )
    table.insert(table.columns.get_loc("passes_per_point"), "selected", select(table))
    return {"density": table.astype({"S": "Int64"})}


def select(table: pd.DataFrame) -> pd.Series:
    """Whether each row is the best restart by validation likelihood of its cell, data draw and prior.

    Raises:
        UserError: no restart has a finite likelihood.
    """
    keys = ["cell", "draw", "prior"]
    rows = table.groupby(keys)["valid_loglik"].idxmax()
    lost = rows[~np.isfinite(table.loc[rows, "valid_loglik"].to_numpy())]
    if len(lost):
        cell, draw, prior = lost.index[0]
        raise UserError(
            f"mapa.density: no restart of {cell} on data set {draw} has a likelihood ({prior} prior): all "
            "diverged or are too steep to integrate, as the log says; lower the learning rate"
        )
    return table.index.to_series().isin(rows)


def data_sets(
    settings: Settings, run: Run, truth: GroundTruth, cells: Mapping[str, Models]
) -> dict[int, DataSets]:
    """The data sets by draw; test and validation sets are common to all cells.

    Raises:
        UserError: the cells were trained on different data sets.
    """
    sources = {(models.points, models.seed) for models in cells.values()}
    if len(sources) != 1:
        raise UserError("mapa.density: the cells were trained on different data sets; rebuild their models")
    ((points, seed),) = sources
    model = Recovered(truth.network.select([0]), None)
    sets = {}
    for draw in sorted({int(draw) for models in cells.values() for draw in models.draw}):
        _, x = truth.data_set(points, seed, draw)
        _, valid = truth.data_set(settings.valid_points, seed, draw, "valid")
        _, test = truth.data_set(settings.test_points, seed, draw, "test")
        log_p = model.log_evidence(truth, test.to(run.device), settings.tolerance)
        sets[draw] = DataSets(x, valid, test, log_p)
    return sets


def recover(
    settings: Settings, run: Run, truth: GroundTruth, sets: Mapping[int, DataSets], members: Sequence[Member]
) -> dict[tuple[Member, str], Recovered]:
    """Every member with a standard normal prior, by member and prior; of methods without q(z|x) two each."""
    recovered, empiricalised = {}, []
    for member in members:
        decoder = member.networks["decoder"]
        if STANDARD in member.priors:
            recovered[member, STANDARD] = Recovered(decoder, None)
        else:
            law = quantile_map(member.codes(sets[member.draw].train)[:, 0])
            recovered[member, QUANTILE_MAP] = Recovered(decoder, law)
            empiricalised.append(member)
    size = max(1, settings.distillation.rows // settings.distillation.batch)
    for decoders in in_chunks(empiricalised, size, partial(distil, settings, run, truth, sets)):
        for member, decoder in decoders.items():
            recovered[member, NETWORK] = Recovered(decoder, None)
    return recovered


def distil(
    settings: Settings, run: Run, truth: GroundTruth, sets: Mapping[int, DataSets], members: Sequence[Member]
) -> dict[Member, MLP]:
    """Decoders f_theta-dagger fitted to f(g(x_n)) at the fitted codes g_psi-dagger(x_n) (eq. 39 and 40).

    Raises:
        UserError: a minibatch larger than the training set.
        OutOfTime: the time budget is spent.
    """
    chosen, points = settings.distillation, len(sets[members[0].draw].train)
    if chosen.batch > points:
        raise UserError(
            f"mapa.density.distillation: batch {chosen.batch} exceeds the {points} training points"
        )
    x, codes, outputs = [], [], []
    for member in members:
        data = sets[member.draw].train
        learned = member.codes(data)
        x.append(data)
        codes.append(whitened(gaussian_copula(learned[:, 0]))[:, None])
        outputs.append(member.decode(learned))
    inputs, gaussianised, reconstructions = (
        torch.stack(values).float().to(run.device) for values in (x, codes, outputs)
    )

    def regress(name: str, inputs: Tensor, targets: Tensor, variance: float) -> MLP:
        keys = [(truth.name, name, member.draw, member.restart) for member in members]
        streams = [partial(torch_generator, settings.seed, "mapa.density", "epoch", *key) for key in keys]
        sizes, activation = members[0].networks[name].sizes, members[0].networks[name].activation
        generators = [torch_generator(settings.seed, "mapa.density", "weights", *key) for key in keys]
        label = f"{truth.name}-{name}-{members[0].name}-{len(members)}"
        return fit(
            Regression(inputs, targets, variance, chosen.batch, streams),
            {"network": MLP.independent(sizes, activation, generators)},
            epochs=chosen.epochs,
            learning_rate=chosen.learning_rate,
            record_epochs=chosen.epochs,
            work=Work.of(
                run, label, provenance.identity(__name__, settings, run), settings.checkpoint_seconds
            ),
            device=run.device,
        ).networks["network"]

    encoder = regress("encoder", inputs, gaussianised, 0.5)
    with torch.no_grad():
        fitted = encoder(inputs.cpu()).to(run.device)
    decoder = regress("decoder", fitted, reconstructions, truth.noise_variance).double()
    return {member: decoder.select([m]) for m, member in enumerate(members)}


def evaluate(
    settings: Settings,
    run: Run,
    truth: GroundTruth,
    sets: Mapping[int, DataSets],
    recovered: Mapping[tuple[Member, str], Recovered],
) -> dict[tuple[Member, str], Sequence[float]]:
    """The :data:`METRICS` of each model, by quadrature; a run that was stopped goes on where it was.

    Raises:
        OutOfTime: the time budget is spent.
    """
    models = list(recovered.items())
    if not models:
        return {}
    held_out = {draw: torch.cat([data.valid, data.test]).to(run.device) for draw, data in sets.items()}

    def row(i: int) -> Tensor:
        (member, prior), model = models[i]
        data = sets[member.draw]
        try:
            log_p = model.log_evidence(truth, held_out[member.draw], settings.tolerance)
        except Unresolved as why:
            print(f"{truth.name}: {member.name} ({prior} prior) counts as diverged: {why}")
            return torch.tensor(DIVERGED, dtype=torch.float64)
        valid, test = log_p.split([len(data.valid), len(data.test)])
        difference = data.truth - test
        error = difference.std() / len(test) ** 0.5
        return torch.stack([valid.mean(), test.mean(), difference.mean(), error])

    label = f"{truth.name}-likelihoods"
    values = tabulate(
        row,
        rows=len(models),
        work=Work.of(run, label, provenance.identity(__name__, settings, run), settings.checkpoint_seconds),
    )
    return {key: metrics for (key, _), metrics in zip(models, values.tolist(), strict=True)}


def _members(cell: str, models: Models) -> list[Member]:
    return [
        Member(
            cell=cell,
            draw=int(models.draw[m]),
            restart=int(models.restart[m]),
            networks={"decoder": models.decoder.select([m]), "encoder": models.encoder.select([m])},
            passes=float(models.passes[m]),
            bound=float(models.bound[m, -1]),
        )
        for m in range(len(models))
    ]
