"""Two decoders of one distribution and their posteriors under one MAPA (mapa, Figures 11 and 12).

Variant 1 is the ground truth, Variant 2 the VAE of the first data set whose validation likelihood is largest.
The document compares posteriors over z_GT, a draw from Variant 1's posterior, with posteriors over mean-field
posterior means, whose f is nearly the point of the curve that is closest to x. So draws from Variant 2's
exact posteriors are measured, too, with which equality is a theorem.
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from elbogap.densities import categorical_kl, standard_gaussian_log_density
from elbogap.errors import Unresolved, UserError
from elbogap.evaluation import quadrature
from elbogap.papers.mapa.log_posteriors import curves, of_ranks, over_indices
from elbogap.papers.mapa.model import GroundTruth, Model, Trained, load
from elbogap.papers.mapa.settings import Nonidentifiability as Settings
from elbogap.runtime import Run, torch_generator

BOUND = 8.0  # grids for integrals over the prior cover [-8, 8], all but e^-34 of it
BLOCK = 500  # observations held in memory at once


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Both variants of key `problem`; inputs are its `surrogate` and the `models` of its VAE.

    Returns:
        `curves`, first axis the variants 1 and 2 with the document's codes: codes `z` `[2, N]` and `z_shown`
        `[2, n]`, `decoder` `[2, G, 2]` on `grid` `[G]`, and the log-posteriors of
        :func:`elbogap.papers.mapa.log_posteriors.curves`, of which `prior` and `mapa` are alike in both.
        `points`: one row per variant, kind of codes and observation shown, and of their `mean` over all N:
        divergences in nats; `distance_to_noise` = |x_n - f(z_n)|^2 / (2 sigma^2); `decoder_distance` =
        [int |f_1(z) - f(+-z)|^2 N(z; 0, 1) dz]^1/2 for the sign that makes it least, in units of x.
    """
    truth = GroundTruth.load(run.keys["problem"], run.inputs["surrogate"])
    models = [model for model in load(truth, "vae", run.inputs["models"]) if model.draw == 0]
    z, x = models[0].data_set()
    learned = best_by_validation(models, models[0].data_set("valid", settings.valid_points)[1])
    _, test = learned.data_set("test", settings.valid_points)
    test_kl = float(truth.log_evidence(test).mean()) - float(learned.log_evidence(test).mean())
    mean = learned.encode(x)[:, :1]
    draw = posterior_draws(learned, x, torch_generator(settings.seed, "posterior draws", truth.problem))
    shown = of_ranks(z, settings.quantiles)
    codes = torch.stack([z[:, 0], mean[:, 0]])
    nodes = torch.linspace(codes.min(), codes.max(), settings.grid, dtype=torch.float64)[:, None]
    first, second = curves(truth, z, x, shown, nodes), curves(learned, mean, x, shown, nodes)
    arrays = {
        "z": codes,
        "z_shown": codes[:, shown],
        "grid": nodes[:, 0],
        "decoder": torch.stack([truth.decode(nodes), learned.decode(nodes)]),
        **{name: torch.stack([first[name], second[name]]) for name in ("true", "empiricalised")},
        **{name: first[name] for name in ("prior", "mapa")},
    }
    of_shown = {"z_gt": z[shown, 0].numpy(), "x1": x[shown, 0].numpy(), "x2": x[shown, 1].numpy()}
    tables = []
    for variant, kind, model, own in (
        (1, "ground truth", truth, z),
        (2, "mean-field mean", learned, mean),
        (2, "posterior draw", learned, draw),
    ):
        measures = _measures(model, own, x)
        rows = measures.iloc[shown.numpy()].assign(
            observation=[f"rank {quantile:g}" for quantile in settings.quantiles], **of_shown
        )
        distance = _decoder_distance(truth, model)
        tables.append(
            pd.concat([rows, measures.mean().to_frame().T.assign(observation="mean")]).assign(
                **truth.key(),
                variant=variant,
                codes=kind,
                restart=learned.restart if model is learned else None,
                test_kl=test_kl if model is learned else 0.0,
                decoder_distance=distance,
                decoder_distance_to_noise=distance / math.sqrt(truth.noise_variance),
            )
        )
    keys = ["document", "problem", "variant", "codes", "observation"]
    points = pd.concat(tables, ignore_index=True)
    return {
        "curves": {name: value.numpy() for name, value in arrays.items()},
        "points": points[[*keys, *points.columns.difference(keys, sort=False)]],
    }


def best_by_validation(models: Sequence[Trained], valid: Tensor) -> Trained:
    """The model with the largest validation likelihood; raises UserError if no model has one."""
    logliks = {}
    for model in models:
        try:
            logliks[model] = float(model.log_evidence(valid).mean())
        except Unresolved as error:
            print(f"{model.truth.problem}: restart {model.restart} is left out: {error}")
    if not logliks:
        raise UserError("mapa.nonidentifiability: no restart has a likelihood; lower the learning rate")
    return max(logliks, key=logliks.__getitem__)


def posterior_draws(model: Model, x: Tensor, generator: torch.Generator, cells: int = 2**13) -> Tensor:
    """One draw from each p(z|x_n), taken as constant in narrow cells of [-8, 8], `[N, 2]` to `[N, 1]`."""
    width = 2 * BOUND / cells
    middles = (torch.arange(cells, dtype=torch.float64)[:, None] + 0.5) * width - BOUND
    outputs, log_prior = model.decode(middles), standard_gaussian_log_density(middles)
    chosen = []
    for rows in x.split(BLOCK):
        cumulative = torch.softmax(model.log_likelihood(rows, outputs) + log_prior, -1).cumsum(-1)
        uniform = torch.rand((len(rows), 1), dtype=torch.float64, generator=generator)
        chosen.append(torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True)[:, 0])
    shift = torch.rand((len(x), 1), dtype=torch.float64, generator=generator) - 0.5
    return middles[torch.cat(chosen)] + width * shift


def _measures(model: Model, codes: Tensor, x: Tensor) -> pd.DataFrame:
    """The measures of all N observations, one row each."""
    of_blocks = [
        torch.stack([categorical_kl(log_p, log_q), categorical_kl(log_q, log_p)])
        for _, _, log_p, log_q in over_indices(model, codes, x, BLOCK)
    ]
    p_to_q, q_to_p = torch.cat(of_blocks, 1).numpy()
    distance = (x - model.decode(codes)).square().sum(-1) / (2 * model.noise_variance)
    return pd.DataFrame({"kl_p_to_q": p_to_q, "kl_q_to_p": q_to_p, "distance_to_noise": distance.numpy()})


def _decoder_distance(first: Model, second: Model, panels: int = 1000) -> float:
    """The least over both signs of [int |f(z) - g(+-z)|^2 N(z; 0, 1) dz]^1/2."""
    z, log_weights = quadrature.Panels.uniform(BOUND, panels, 10).nodes()
    squares = ((first.decode(z) - second.decode(sign * z)).square().sum(-1) for sign in (1, -1))
    return math.sqrt(min(float(log_weights.exp() @ square) for square in squares))
