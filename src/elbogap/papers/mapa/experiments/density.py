"""Prior recovery, exact likelihoods and the choice of restarts of all cells of one problem (mapa, Figure 3).

Deviations: likelihoods are exact by quadrature, not the document's fitted bound. Models without q(z|x)
recover their prior by the exact quantile map, by a smoothed one, and by the document's networks (appendix
C.3, corrected).
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from elbogap.ensemble import fit, in_chunks, members_at_once
from elbogap.errors import Unresolved, UserError, refuse_too_large
from elbogap.inference.prior_recovery import gaussian_copula, whitened
from elbogap.nn.mlp import MLP
from elbogap.papers.mapa.methods import NETWORK
from elbogap.papers.mapa.model import GroundTruth, Trained, load, of_the_same_data
from elbogap.papers.mapa.settings import Density as Settings
from elbogap.papers.mapa.training import Regression
from elbogap.runtime import Run, torch_generator
from elbogap.training import Work, tabulate

DIVERGED = {"valid_loglik": -np.inf, "test_loglik": -np.inf, "test_kl": np.inf, "test_kl_se": np.nan}
Choice = dict[str, float]
"""What was tried for a prior: `width` of the smoothing, or `distillation_batch`."""


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Evaluate every member of the cells of key `problem`; inputs are `surrogate`, and models by cell.

    Returns:
        `density`: one row per cell, data draw, restart and prior: means of log p(x), and `test_kl`, the mean
        over test points of whichever :func:`terms` vary less on the validation points, in nats; `width` of
        the smoothing and `distillation_batch`, which `valid_loglik` chose; `selected` marks the best restart
        of a draw by it; `drift` is what the objective rose by at the end of training, in nats. A model that
        diverged or is too steep to be integrated has log-likelihood -inf.

    UserError for models of different data sets, a minibatch larger than these, or no restart that converged.
    """
    truth = GroundTruth.load(run.keys["problem"], run.inputs["surrogate"])
    cells = {name: path for name, path in run.inputs.items() if name != "surrogate"}
    models = [model for name, path in cells.items() for model in load(truth, name, path)]
    of_the_same_data("density", models)
    converged = [model for model in models if not model.diverged()]
    without = [model for model in converged if model.prior is None]
    tried: list[tuple[Trained, Choice]] = [(model.recovered(), {}) for model in converged]
    tried += [(model.recovered(width), {"width": width}) for width in settings.smoothing for model in without]
    for batch in settings.distillation.batches:
        size = members_at_once(settings.distillation.rows, batch, run.device)
        chunks = in_chunks(without, size, partial(distil, settings, run, batch))
        tried += [(model, {"distillation_batch": batch}) for chunk in chunks for model in chunk]
    metrics: dict[tuple[str, str | None], dict[str, float]] = {}
    for (model, choice), found in zip(tried, evaluate(settings, run, [of for of, _ in tried]), strict=True):
        best = metrics.setdefault((model.name, model.prior), DIVERGED)
        if found["valid_loglik"] > best["valid_loglik"]:
            metrics[model.name, model.prior] = found | choice
    table = pd.DataFrame(
        [
            {
                **truth.key(),
                **model.key(),
                "prior": prior,
                "width": np.nan,
                "distillation_batch": np.nan,
                **metrics.get((model.name, prior), DIVERGED),
                "passes_per_point": model.passes,
                "train_bound": model.bound,
                "drift": model.drift,
            }
            for model in models
            for prior in model.cell.method.priors
        ]
    )
    selected = table.groupby(["cell", "draw", "prior"])["valid_loglik"].idxmax()
    lost = selected[~np.isfinite(table.loc[selected, "valid_loglik"].to_numpy())]
    if len(lost):
        cell, draw, prior = lost.index[0]
        raise UserError(
            f"mapa.density: no restart of {cell} on data set {draw} has a likelihood ({prior} prior): all "
            "diverged or are too steep to integrate, as the log says; lower the learning rate"
        )
    table.insert(table.columns.get_loc("passes_per_point"), "selected", table.index.isin(selected))
    return {"density": table.astype({"S": "Int64", "distillation_batch": "Int64"})}


def distil(settings: Settings, run: Run, batch: int, models: Sequence[Trained]) -> list[Trained]:
    """Decoders f_theta-dagger fitted to f(g(x_n)) at the fitted codes g_psi-dagger(x_n) (eq. 39 and 40)."""
    chosen, x = settings.distillation, [model.data_set()[1] for model in models]
    refuse_too_large(batch, len(x[0]), "mapa.density.distillation", "training points")
    codes = [model.encode(data) for model, data in zip(models, x, strict=True)]
    gaussianised = [whitened(gaussian_copula(learned[:, 0]))[:, None] for learned in codes]
    outputs = [model.decode(learned) for model, learned in zip(models, codes, strict=True)]

    def on_device(values: list[Tensor]) -> Tensor:
        return torch.stack(values).float().to(run.device)

    def regress(name: str, inputs: Tensor, targets: list[Tensor], variance: float) -> MLP:
        problem, like = models[0].truth.problem, getattr(models[0], name)
        keys = [(problem, name, model.draw, model.restart) for model in models]
        streams = [partial(torch_generator, settings.seed, "mapa.density", "epoch", *key) for key in keys]
        generators = [torch_generator(settings.seed, "mapa.density", "weights", *key) for key in keys]
        label = f"{problem}-{name}-{models[0].name}-{len(models)}-{batch}"
        return fit(
            Regression(inputs, variance, batch, streams, on_device(targets)),
            {"network": MLP.independent(like.sizes, like.activation, generators)},
            epochs=chosen.epochs,
            learning_rate=chosen.learning_rate,
            record_epochs=chosen.epochs,
            work=Work.in_module(__name__, settings, run, label),
            device=run.device,
        ).networks["network"]

    inputs = on_device(x)
    encoder = regress("encoder", inputs, gaussianised, 0.5)
    with torch.no_grad():
        fitted = encoder(inputs.cpu()).to(run.device)
    decoder = regress("decoder", fitted, outputs, models[0].noise_variance).double()
    return [
        replace(own, decoder=decoder.select([m]), law=None, prior=NETWORK) for m, own in enumerate(models)
    ]


def terms(log_ratio: Tensor) -> tuple[Tensor, Tensor]:
    """Unbiased terms of KL(p || q) at draws of p: log p/q, and log p/q + q/p - 1, which is never negative.

    E_p[q/p] = 1 makes the second a control variate of the first: where q is close to p it varies like
    (log p/q)^2 / 2, but heavily where q/p has a heavy tail. Nats, `[N]` to twice `[N]`.
    """
    return log_ratio, log_ratio + torch.expm1(-log_ratio)


def evaluate(settings: Settings, run: Run, models: Sequence[Trained]) -> list[dict[str, float]]:
    """What stands in :data:`DIVERGED`, of each model."""
    if not models:
        return []
    held_out, log_truth, parts = {}, {}, [settings.valid_points, settings.test_points]
    for draw, model in {model.draw: model for model in models}.items():
        x = model.data_set("valid", parts[0])[1], model.data_set("test", parts[1])[1]
        held_out[draw] = torch.cat(x).to(run.device)
        log_truth[draw] = model.truth.log_evidence(held_out[draw], settings.tolerance)

    def row(i: int) -> Tensor:
        model = models[i]
        try:
            log_p = model.log_evidence(held_out[model.draw], settings.tolerance)
        except Unresolved as why:
            print(f"{model.truth.problem}: {model.name} ({model.prior} prior) counts as diverged: {why}")
            return torch.tensor(list(DIVERGED.values()), dtype=torch.float64)
        valid, test = log_p.split(parts)
        plain, controlled = (of.split(parts) for of in terms(log_truth[model.draw] - log_p))
        kl = controlled[1] if controlled[0].std() < plain[0].std() else plain[1]
        return torch.stack([valid.mean(), test.mean(), kl.mean(), kl.std() / len(test) ** 0.5])

    work = Work.in_module(__name__, settings, run, f"{models[0].truth.problem}-likelihoods")
    values = tabulate(row, rows=len(models), work=work).tolist()
    return [dict(zip(DIVERGED, metrics, strict=True)) for metrics in values]
