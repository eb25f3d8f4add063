"""Test likelihoods and amortised bounds of all models of one cell (air, Tables 1 to 4, Figures 1 and 2).

log p(x) is estimated by IW-SVI (appendix C), whose k, k' and T are lost. The inference gap is that estimate
less the amortised bound L_k, both with clean encoder inputs.
"""

from collections.abc import Mapping
from functools import partial

import numpy as np
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


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Evaluate the inputs `models` and their `curves` on the input `images`.

    Returns `evaluation`: a row per model; in nats per image `valid_bound` (L of `valid_samples` on all
    validation images), `test_loglik` (IW-SVI), its standard error over images `test_loglik_se`, `test_bound`
    (L_k), `test_gap` (their difference), `test_iwae` (L with the encoder's q and as many samples as IW-SVI),
    and `iw_svi_share`, the fraction of images whose IW-SVI is not below that; `images`: `loglik` `[M, N]`.
    """
    arrays = read_arrays(run.inputs["images"])
    valid, test = (unpacked(arrays, part, run.device) for part in ("valid", "test"))
    models, curves = Stored.load(run.inputs["models"]), read_table(run.inputs["curves"])
    k = int(curves["k"].iloc[0])
    amortised, rows = settings.estimator.model_copy(update={"steps": 0}), settings.rows

    def row(m: int) -> Tensor:
        networks = models.member(m, run.device)

        def generator(purpose: str) -> torch.Generator:  # the same draws for every model
            key = (settings.seed, "air.evaluate", run.keys["dataset"], purpose)
            return torch_generator(*key, device=run.device)

        bound = partial(bounds, networks, rows=rows)
        of_test = bound(test, k=k, draws=settings.bound_draws, generator=generator("bound"))[0]
        of_valid = bound(valid, k=settings.valid_samples, draws=1, generator=generator("valid"))
        loglik = log_likelihood(networks, test, settings.estimator, rows, generator("iw-svi"))
        iwae = log_likelihood(networks, test, amortised, rows, generator("iwae"))
        return torch.stack([loglik, iwae, of_test, of_valid.mean().expand(len(test))]).cpu()

    label = f"{run.keys['dataset']}-{run.keys['cell']}-evaluation"
    work = Work.in_module(__name__, settings, run, label)
    members = len(models.values["kept_step"])
    loglik, iwae, bound, valid_bounds = tabulate(row, rows=members, work=work).permute(1, 0, 2).numpy()
    cell = ["document", "dataset", "data", "cell", "k", "m", "encoder"]
    table = pd.DataFrame(curves[cell].iloc[0].to_dict(), index=range(members)).assign(
        **models.values,
        valid_bound=valid_bounds[:, 0],
        test_images=loglik.shape[1],
        test_loglik=loglik.mean(1),
        test_loglik_se=loglik.std(1, ddof=1) / np.sqrt(loglik.shape[1]),
        test_bound=bound.mean(1),
        test_gap=(loglik - bound).mean(1),
        test_iwae=iwae.mean(1),
        iw_svi_share=(loglik >= iwae).mean(1),
    )
    return {"evaluation": table, "images": {"loglik": loglik, "bound": bound}}


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
