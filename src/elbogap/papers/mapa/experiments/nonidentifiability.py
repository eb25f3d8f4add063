"""Two decoders of one distribution and their posteriors under one MAPA (mapa, Figures 11 and 12).

Variant 1 is the ground truth, Variant 2 the VAE of the first data set whose validation likelihood is largest.
The document compares posteriors over z_GT with posteriors over mean-field posterior means, which are unlike:
z_GT is a draw from Variant 1's posterior, and f(z_GT) is a noise's length away from x, while f of a posterior
mean is nearly the point of the curve that is closest to x. So draws from Variant 2's exact posteriors are
measured, too. With them equality is a theorem: where the noise is a known Gaussian, p(x) determines the law
of f(z), and with it the law of all (f(z_i), x_i).

The document states neither the observations nor how different the decoders are; ranks and measures are ours.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from elbogap.densities import categorical_kl, standard_gaussian_log_density
from elbogap.errors import Unresolved, UserError
from elbogap.evaluation import quadrature
from elbogap.inference.empirical import index_log_posterior
from elbogap.papers.mapa.model import GroundTruth, Model, Trained, load
from elbogap.papers.mapa.settings import Nonidentifiability as Settings
from elbogap.runtime import Run, torch_generator

BOUND = 8.0  # grids for integrals over the prior cover [-8, 8], all but e^-34 of it
BLOCK = 500  # observations held in memory at once

GROUND_TRUTH, MEAN, DRAW = "ground truth", "mean-field mean", "posterior draw"


@dataclass(frozen=True, eq=False)
class Variant:
    """A model with latent codes of the data.

    Attributes:
        number: 1 for the ground truth, 2 for the learned model.
        model: the model.
        codes: what the codes are: the values that made the data, q(z|x)'s means, or draws from p(z|x).
        z: codes of all N observations `[N, 1]`.
        columns: `restart` and `test_kl`.
    """

    number: int
    model: Model
    codes: str
    z: Tensor
    columns: Mapping[str, float | None]


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Both variants of key `problem`; inputs are its `surrogate` and the `models` of its VAE.

    Returns:
        `curves`, first axis the variants 1 and 2 with the document's codes: codes `z` `[2, N]` and `z_shown`
        `[2, n]`, `decoder` `[2, G, 2]` and the log-density `true` `[2, n, G]` (eq. 41) and `prior` `[G]` on
        `grid` `[G]`, `empiricalised` = log N p(i|x_n, Z) `[2, n, N]` (eq. 7) and `mapa` = log N q(i|n)
        `[n, N]` (eq. 8), in nats.
        `points`: one row per variant, kind of codes and observation: `observation` is `rank 0.5` etc. for
        those shown, and `mean` for the mean over all N; `z_gt` and coordinates of those shown;
        `kl_p_to_q` = KL(p(i|x_n, Z) || q(i|n)) and `kl_q_to_p`, in nats, and
        `distance_to_noise` = |x_n - f(z_n)|^2 / (2 sigma^2), 1 on average for a draw from the posterior.
        Repeated in every row of a variant: `restart`; `test_kl`, the mean over a test set of
        log p_GT(x) - log p(x), in nats; `decoder_distance`, [int |f_1(z) - f(+-z)|^2 N(z; 0, 1) dz]^1/2 for
        the sign that makes it least, in units of x, and `decoder_distance_to_noise`, the same over sigma.
    """
    truth = GroundTruth.load(run.keys["problem"], run.inputs["surrogate"])
    models = [model for model in load(truth, "vae", run.inputs["models"]) if model.draw == 0]
    z, x = models[0].training_set(truth)
    learned = best_by_validation(truth, models, models[0].held_out(truth, settings.valid_points, "valid"))
    test = learned.held_out(truth, settings.valid_points, "test")
    test_kl = float(truth.log_evidence(test).mean()) - float(learned.log_evidence(test).mean())
    generator = torch_generator(settings.seed, "posterior draws", truth.name)
    of_learned = {"restart": learned.restart, "test_kl": test_kl}
    variants = (
        Variant(1, truth, GROUND_TRUTH, z, {"restart": None, "test_kl": 0.0}),
        Variant(2, learned, MEAN, learned.encode(x)[:, :1], of_learned),
        Variant(2, learned, DRAW, posterior_draws(learned, x, generator), of_learned),
    )
    ranks = [min(int(quantile * len(z)), len(z) - 1) for quantile in settings.quantiles]
    shown = z[:, 0].argsort()[ranks]

    tables = []
    for variant in variants:
        measures = _measures(truth, variant, x)
        rows = pd.concat(
            [
                measures.iloc[shown.numpy()].assign(
                    observation=[f"rank {quantile:g}" for quantile in settings.quantiles],
                    z_gt=z[shown, 0].numpy(),
                    x1=x[shown, 0].numpy(),
                    x2=x[shown, 1].numpy(),
                ),
                measures.mean().to_frame().T.assign(observation="mean"),
            ]
        )
        distance = _decoder_distance(truth, variant.model)
        rows = rows.assign(
            document="mapa",
            problem=truth.name,
            variant=variant.number,
            codes=variant.codes,
            **variant.columns,
            decoder_distance=distance,
            decoder_distance_to_noise=distance / math.sqrt(truth.noise_variance),
        )
        tables.append(rows)
    keys = ["document", "problem", "variant", "codes", "observation"]
    points = pd.concat(tables, ignore_index=True)
    return {
        "curves": _curves(truth, variants[:2], x, shown, settings.grid),
        "points": points[[*keys, *points.columns.difference(keys, sort=False)]],
    }


def best_by_validation(truth: GroundTruth, models: Sequence[Trained], valid: Tensor) -> Trained:
    """The model with the largest validation likelihood.

    Raises:
        UserError: no model has one.
    """
    logliks = {}
    for model in models:
        try:
            logliks[model] = float(model.log_evidence(valid).mean())
        except Unresolved as error:
            print(f"{truth.name}: restart {model.restart} is left out: {error}")
    if not logliks:
        raise UserError("mapa.nonidentifiability: no restart has a likelihood; lower the learning rate")
    return max(logliks, key=logliks.__getitem__)


def posterior_draws(model: Model, x: Tensor, generator: torch.Generator, cells: int = 2**13) -> Tensor:
    """One draw from each p(z|x_n), `[N, D]` to `[N, 1]`.

    The density is taken as constant in each of equal cells of [-8, 8]; their width must be small against a
    posterior's.
    """
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


def _measures(truth: GroundTruth, variant: Variant, x: Tensor) -> pd.DataFrame:
    """The measures of all N observations, one row each."""
    outputs, parts = variant.model.decode(variant.z), []
    for rows in x.split(BLOCK):
        log_p = index_log_posterior(truth.log_likelihood(rows, outputs))
        log_q = index_log_posterior(truth.log_likelihood(rows, x))
        parts.append(torch.stack([categorical_kl(log_p, log_q), categorical_kl(log_q, log_p)], 1))
    kl = torch.cat(parts).numpy()
    distance = (x - outputs).square().sum(-1) / (2 * truth.noise_variance)
    return pd.DataFrame({"kl_p_to_q": kl[:, 0], "kl_q_to_p": kl[:, 1], "distance_to_noise": distance.numpy()})


def _decoder_distance(first: Model, second: Model, panels: int = 1000) -> float:
    """The least over both signs of [int |f(z) - g(+-z)|^2 N(z; 0, 1) dz]^1/2."""
    z, log_weights = quadrature.Panels.uniform(BOUND, panels, 10).nodes()
    squares = ((first.decode(z) - second.decode(sign * z)).square().sum(-1) for sign in (1, -1))
    return math.sqrt(min(float(log_weights.exp() @ square) for square in squares))


def _curves(
    truth: GroundTruth, variants: tuple[Variant, ...], x: Tensor, shown: Tensor, nodes: int
) -> dict[str, np.ndarray]:
    codes = torch.stack([variant.z[:, 0] for variant in variants])
    grid = torch.linspace(float(codes.min()), float(codes.max()), nodes, dtype=torch.float64)[:, None]
    chosen, log_likelihood, log_count = x[shown], truth.log_likelihood, math.log(len(x))
    true, empiricalised = [], []
    for variant in variants:
        problem = (variant.model.decode, log_likelihood, chosen)
        evidence = quadrature.log_evidence(*problem, quadrature.adapted_panels(*problem))
        true.append(quadrature.log_posterior(grid, *problem, evidence))
        outputs = variant.model.decode(variant.z)
        empiricalised.append(index_log_posterior(log_likelihood(chosen, outputs)) + log_count)
    arrays = {
        "z": codes,
        "z_shown": codes[:, shown],
        "grid": grid[:, 0],
        "decoder": torch.stack([variant.model.decode(grid) for variant in variants]),
        "true": torch.stack(true),
        "prior": standard_gaussian_log_density(grid),
        "empiricalised": torch.stack(empiricalised),
        "mapa": index_log_posterior(log_likelihood(chosen, x)) + log_count,
    }
    return {name: value.numpy() for name, value in arrays.items()}
