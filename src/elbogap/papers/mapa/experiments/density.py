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
from elbogap.inference.prior_recovery import gaussian_copula, whitened
from elbogap.nn.mlp import MLP
from elbogap.papers.mapa.distillation import Regression
from elbogap.papers.mapa.model import GroundTruth, Trained, load, of_the_same_data
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


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Evaluate every member of the cells of key `problem`; inputs are `surrogate`, and models by cell.

    Returns:
        `density`: one row per cell, data draw, restart and prior, in nats: means of log p(x), and of
        log p_GT(x) - log p(x) over the test set, `test_kl`, with its standard error over observations;
        `selected` marks the best restart of a draw by `valid_loglik`; `passes_per_point` counts the decoder's
        evaluations per training step, over the batch size; `train_bound` is the last recorded mean of the
        training objective. A model whose training diverged, or whose decoder varies too fast to be
        integrated, has log-likelihood -inf.

    Raises:
        UserError: models of different data sets, or a cell all of whose restarts diverged.
        OutOfTime: the time budget is spent.
    """
    truth = GroundTruth.load(run.keys["problem"], run.inputs["surrogate"])
    inputs = {name: path for name, path in run.inputs.items() if name != "surrogate"}
    models = [model for name, path in inputs.items() for model in load(truth, name, path)]
    sets = data_sets(settings, run, truth, models)
    converged = [model for model in models if not model.diverged(sets[model.draw].train)]
    metrics = evaluate(settings, run, truth, sets, recover(settings, run, truth, sets, converged))
    table = pd.DataFrame(
        [
            {
                "document": "mapa",
                "problem": truth.name,
                **model.key(),
                "prior": prior,
                **dict(zip(METRICS, metrics.get((model.name, prior), DIVERGED), strict=True)),
                "passes_per_point": model.passes,
                "train_bound": model.bound,
            }
            for model in models
            for prior in model.cell.method.priors
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
    settings: Settings, run: Run, truth: GroundTruth, models: Sequence[Trained]
) -> dict[int, DataSets]:
    """The data sets by draw, which all cells have in common.

    Raises:
        UserError: the cells were trained on different data sets.
    """
    of_the_same_data("density", models)
    sets = {}
    for draw, model in {model.draw: model for model in models}.items():
        valid = model.held_out(truth, settings.valid_points, "valid")
        test = model.held_out(truth, settings.test_points, "test")
        log_p = truth.log_evidence(test.to(run.device), settings.tolerance)
        sets[draw] = DataSets(model.training_set(truth)[1], valid, test, log_p)
    return sets


def recover(
    settings: Settings, run: Run, truth: GroundTruth, sets: Mapping[int, DataSets], models: Sequence[Trained]
) -> list[Trained]:
    """Every model with a standard normal prior, those of methods without q(z|x) with either of two."""
    without = [model for model in models if model.prior is None]
    size = max(1, settings.distillation.rows // settings.distillation.batch)
    distilled = in_chunks(without, size, partial(distil, settings, run, truth, sets))
    return [
        *(model.recovered(sets[model.draw].train) for model in models),
        *(model for chunk in distilled for model in chunk),
    ]


def distil(
    settings: Settings, run: Run, truth: GroundTruth, sets: Mapping[int, DataSets], models: Sequence[Trained]
) -> list[Trained]:
    """Decoders f_theta-dagger fitted to f(g(x_n)) at the fitted codes g_psi-dagger(x_n) (eq. 39 and 40).

    Raises:
        UserError: a minibatch larger than the training set.
        OutOfTime: the time budget is spent.
    """
    chosen, x = settings.distillation, [sets[model.draw].train for model in models]
    if chosen.batch > len(x[0]):
        raise UserError(
            f"mapa.density.distillation: batch {chosen.batch} exceeds the {len(x[0])} training points"
        )
    codes = [model.encode(data) for model, data in zip(models, x, strict=True)]
    gaussianised = [whitened(gaussian_copula(learned[:, 0]))[:, None] for learned in codes]
    outputs = [model.decode(learned) for model, learned in zip(models, codes, strict=True)]

    def on_device(values: list[Tensor]) -> Tensor:
        return torch.stack(values).float().to(run.device)

    def regress(name: str, inputs: Tensor, targets: list[Tensor], variance: float) -> MLP:
        keys = [(truth.name, name, model.draw, model.restart) for model in models]
        streams = [partial(torch_generator, settings.seed, "mapa.density", "epoch", *key) for key in keys]
        generators = [torch_generator(settings.seed, "mapa.density", "weights", *key) for key in keys]
        like: MLP = getattr(models[0], name)
        return fit(
            Regression(inputs, on_device(targets), variance, chosen.batch, streams),
            {"network": MLP.independent(like.sizes, like.activation, generators)},
            epochs=chosen.epochs,
            learning_rate=chosen.learning_rate,
            record_epochs=chosen.epochs,
            work=_work(settings, run, f"{truth.name}-{name}-{models[0].name}-{len(models)}"),
            device=run.device,
        ).networks["network"]

    inputs = on_device(x)
    encoder = regress("encoder", inputs, gaussianised, 0.5)
    with torch.no_grad():
        fitted = encoder(inputs.cpu()).to(run.device)
    decoder = regress("decoder", fitted, outputs, truth.noise_variance).double()
    return [model.distilled(decoder.select([m])) for m, model in enumerate(models)]


def evaluate(
    settings: Settings, run: Run, truth: GroundTruth, sets: Mapping[int, DataSets], models: Sequence[Trained]
) -> dict[tuple[str, str | None], Sequence[float]]:
    """The :data:`METRICS` by model and prior; a run that was stopped goes on where it was.

    Raises:
        OutOfTime: the time budget is spent.
    """
    if not models:
        return {}
    held_out = {draw: torch.cat([data.valid, data.test]).to(run.device) for draw, data in sets.items()}

    def row(i: int) -> Tensor:
        model, data = models[i], sets[models[i].draw]
        try:
            log_p = model.log_evidence(held_out[model.draw], settings.tolerance)
        except Unresolved as why:
            print(f"{truth.name}: {model.name} ({model.prior} prior) counts as diverged: {why}")
            return torch.tensor(DIVERGED, dtype=torch.float64)
        valid, test = log_p.split([len(data.valid), len(data.test)])
        difference = data.truth - test
        error = difference.std() / len(test) ** 0.5
        return torch.stack([valid.mean(), test.mean(), difference.mean(), error])

    values = tabulate(row, rows=len(models), work=_work(settings, run, f"{truth.name}-likelihoods"))
    return {
        (model.name, model.prior): metrics for model, metrics in zip(models, values.tolist(), strict=True)
    }


def _work(settings: Settings, run: Run, label: str) -> Work:
    return Work.of(run, label, provenance.identity(__name__, settings, run), settings.checkpoint_seconds)
