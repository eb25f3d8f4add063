"""Test likelihoods and amortised bounds of all models of one cell (air, Tables 1 to 4, Figures 1 and 2).

log p(x) is estimated by IW-SVI (appendix C), whose k, k' and T are lost. The inference gap is that estimate
less the amortised bound L_k, both with clean encoder inputs.
"""

from collections.abc import Mapping
from functools import partial

import pandas as pd
import torch
from torch import Tensor

from elbogap.evaluation import iw_svi
from elbogap.models.image_vae import bounds, log_joint, posterior, unpacked
from elbogap.nn.mlp import MLP
from elbogap.nn.store import Stored
from elbogap.papers.air.settings import Estimator
from elbogap.papers.air.settings import Evaluate as Settings
from elbogap.runtime import Run, torch_generator
from elbogap.tables import read_arrays, read_table
from elbogap.training import Work, tabulate

MEASURED = ["valid_bound", "valid_loglik", "test_bound", "test_iwae", "test_loglik", "test_loglik_se"]


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Evaluate the inputs `models` and their `curves` on the input `images`.

    Returns `evaluation`: a row per model; in nats per image, means over images of `valid_bound` (L of
    `valid_samples` on all validation images), `valid_loglik` (IW-SVI on the first `valid_images`),
    `test_bound` (L_k), `test_iwae` (L with the encoder's q and as many samples as IW-SVI), `test_loglik`
    (IW-SVI), its standard error `test_loglik_se`, and `test_gap`, how far it lies above `test_bound`.
    """
    arrays = read_arrays(run.inputs["images"])
    valid, test = (unpacked(arrays, part, run.device) for part in ("valid", "test"))
    models, curves = Stored.load(run.inputs["models"]), read_table(run.inputs["curves"])
    k, rows, fitted = int(curves["k"].iloc[0]), settings.rows, settings.estimator
    amortised = fitted.model_copy(update={"steps": 0})

    def row(m: int) -> Tensor:
        networks = models.member(m, run.device)

        def generator(purpose: str) -> torch.Generator:  # the same draws for every model
            key = (settings.seed, "air.evaluate", run.keys["dataset"], purpose)
            return torch_generator(*key, device=run.device)

        bound, loglik = (partial(measure, networks, rows=rows) for measure in (bounds, log_likelihood))
        of_test = loglik(test, fitted, generator=generator("iw-svi"))
        means = [
            bound(valid, k=settings.valid_samples, draws=1, generator=generator("valid")),
            loglik(valid[: settings.valid_images], fitted, generator=generator("valid iw-svi")),
            bound(test, k=k, draws=settings.bound_draws, generator=generator("bound")),
            loglik(test, amortised, generator=generator("iwae")),
            of_test,
        ]
        return torch.stack([*(values.mean() for values in means), of_test.std() / len(test) ** 0.5]).cpu()

    label = f"{run.keys['dataset']}-{run.keys['cell']}-evaluation"
    work = Work.in_module(__name__, settings, run, label)
    members = len(models.values["kept_step"])
    cell = curves[["document", "dataset", "data", "cell", "k", "m", "encoder"]].iloc[0].to_dict()
    table = pd.DataFrame(cell, index=range(members)).assign(**models.values, test_images=len(test))
    table[MEASURED] = tabulate(row, rows=members, work=work).numpy()
    return {"evaluation": table.assign(test_gap=table["test_loglik"] - table["test_bound"])}


def log_likelihood(
    networks: Mapping[str, MLP], images: Tensor, estimator: Estimator, rows: int, generator: torch.Generator
) -> Tensor:
    """Log p(x) of each image under one model by IW-SVI, `[N]` in nats, with `rows` decoder rows at once."""
    fit = {"steps": estimator.steps, "samples": estimator.step_samples}
    estimates = []
    for part in images.split(max(1, rows // estimator.step_samples)):
        joint = log_joint(networks["decoder"], part)
        with torch.no_grad():
            q = posterior(networks["encoder"], part[None, None])
        q = iw_svi.fit(joint, q, **fit, learning_rate=estimator.learning_rate, generator=generator)
        draws = {"samples": estimator.samples, "at_once": max(1, rows // len(part))}
        estimates.append(iw_svi.estimate(joint, q, **draws, generator=generator))
    return torch.cat(estimates, -1)[0]
