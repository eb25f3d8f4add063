"""What each bound of document mapa loses against the likelihood, and why (ours: the document has no such).

A method's bound rests on an approximate posterior q. For VAE and IWAE q(z|x) is Gaussian, and everything is
measured on test observations under the trained model. For MAPA q is a distribution over the indices i of the
training set, and everything is measured on the training observations under the empiricalised model (eq. 4),
which is what its bound bounds; q and the k certain terms are those of training.
"""

import math

import pandas as pd
import torch
from torch import Tensor

from elbogap import provenance
from elbogap.densities import (
    categorical_kl,
    gaussian_log_density,
    isotropic_gaussian_log_density,
    standard_gaussian_log_density,
)
from elbogap.errors import Unresolved
from elbogap.evaluation import quadrature
from elbogap.evaluation.gaps import best_gaussians, gaussian_elbo
from elbogap.inference import bounds
from elbogap.inference.empirical import (
    Proposal,
    empiricalised_log_likelihood,
    index_log_posterior,
    mapa_bound,
)
from elbogap.inference.families.gaussian import DiagonalGaussian
from elbogap.papers.mapa.cells import Cell
from elbogap.papers.mapa.experiments.train import log_proposal
from elbogap.papers.mapa.ground_truth import GroundTruth
from elbogap.papers.mapa.models import Models
from elbogap.papers.mapa.objectives import terms_of
from elbogap.papers.mapa.selected import Selected, selected
from elbogap.papers.mapa.settings import Gaps as Settings
from elbogap.runtime import Run, torch_generator
from elbogap.tables import read_table
from elbogap.training import Work, tabulate

METRICS = (
    "log_likelihood",
    "bound",
    "bound_gap",
    "bound_gap_se",
    "inference_gap",
    "approximation_gap",
    "amortisation_gap",
    "largest_gradient",
    "recovery_gap",
)
BLOCK = 500  # observations of MAPA held in memory at once
MOST_ROWS = 2**15  # decoder evaluations of IWAE held in memory at once


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Measure the selected models of the problem `problem`; inputs: `surrogate`, `density`, models by cell.

    Returns:
        `gaps`: one row per cell and data draw, means over observations in nats. `observations` says which:
        `test`, or `training` for MAPA. With log p(x) the likelihood by quadrature, for MAPA that of the
        empiricalised model, log (1/N) sum_i p(x|f(g(x_i))):
        `log_likelihood` = log p(x);
        `bound` = the mean of the training objective, exact for the VAE, else over repetitions;
        `bound_gap` = log p(x) - bound, and `bound_gap_se` its standard error over repetitions;
        `inference_gap` = KL(q || posterior) = log p(x) - ELBO[q], the posterior being p(z|x), or p(i|x_n, Z)
        (eq. 7 under the trained model) for MAPA; for the VAE it equals the bound's gap;
        `approximation_gap` = min over Gaussians q* of KL(q* || p(z|x)), one q* for each x;
        `amortisation_gap` = inference_gap - approximation_gap; both are empty for MAPA, whose q has no
        parameters; `largest_gradient` is the largest gradient of an ELBO at its q*, 0 at a maximum;
        `recovery_gap` = log p(x) of the empiricalised model less that of the model with recovered prior, on
        the training observations; empty for methods whose prior is not recovered. A model whose integrals
        cannot be had has none of these.

    Raises:
        UserError: no model of a cell was selected.
        OutOfTime: the time budget is spent.
    """
    truth = GroundTruth.load(run.keys["problem"], run.inputs["surrogate"])
    density = read_table(run.inputs["density"])
    models = [
        (name, model)
        for name in settings.cells
        for model in selected(truth, density, name, Models.load(run.inputs[name]))
    ]
    label = f"{truth.name}-gaps"

    def row(i: int) -> Tensor:
        try:
            return measure(settings, truth, *models[i])
        except Unresolved as why:
            print(f"{truth.name}: {models[i][0]} on data set {models[i][1].draw} has no gaps: {why}")
            return torch.full((len(METRICS),), math.nan, dtype=torch.float64)

    values = tabulate(
        row, rows=len(models), work=Work.of(run, label, provenance.identity(__name__, settings, run))
    )
    rows = [
        {
            "document": "mapa",
            "problem": truth.name,
            "cell": name,
            **Cell.parse(name).key(),
            "draw": model.draw,
            "restart": model.restart,
            "observations": "test" if Cell.parse(name).has_encoder else "training",
            "points": settings.test_points if Cell.parse(name).has_encoder else model.models.points,
            **dict(zip(METRICS, metrics, strict=True)),
        }
        for (name, model), metrics in zip(models, values.tolist(), strict=True)
    ]
    return {"gaps": pd.DataFrame(rows).astype({"S": "Int64"})}


def measure(settings: Settings, truth: GroundTruth, name: str, model: Selected) -> Tensor:
    """The :data:`METRICS` of one model."""
    cell = Cell.parse(name)
    generator = torch_generator(settings.seed, "mapa.gaps", truth.name, name, model.draw)
    if cell.has_encoder:
        metrics = _of_encoder(settings, truth, cell, model, generator)
    else:
        metrics = _of_mapa(settings, truth, cell, model, generator)
    return torch.tensor([metrics.get(metric, math.nan) for metric in METRICS], dtype=torch.float64)


def _of_encoder(
    settings: Settings, truth: GroundTruth, cell: Cell, model: Selected, generator: torch.Generator
) -> dict[str, float]:
    _, x = truth.data_set(settings.test_points, model.models.seed, model.draw, "test")
    panels = quadrature.adapted_panels(model.decode, truth.log_likelihood, x)
    log_p = quadrature.log_evidence(model.decode, truth.log_likelihood, x, panels)
    q = DiagonalGaussian(*model.encode(x).chunk(2, -1))
    elbo = gaussian_elbo(model.decode, truth.log_likelihood, x, panels, q)
    best = best_gaussians(model.decode, truth.log_likelihood, x, panels, q)
    if cell.samples == 1:
        repetitions = elbo.mean()[None]
    else:
        repetitions = _iwae(truth, cell, model, x, q, settings.samples, generator)
    return {
        **_bound(log_p, repetitions),
        "inference_gap": float((log_p - elbo).mean()),
        "approximation_gap": float((log_p - best.elbo).mean()),
        "amortisation_gap": float((best.elbo - elbo).mean()),
        "largest_gradient": float(best.gradient.max()),
    }


def _iwae(
    truth: GroundTruth,
    cell: Cell,
    model: Selected,
    x: Tensor,
    q: DiagonalGaussian,
    samples: int,
    generator: torch.Generator,
) -> Tensor:
    """Means over x of L_IWAE with the cell's S, one per repetition `[R]`."""
    draws = cell.samples or 1
    totals = torch.zeros(samples, dtype=torch.float64)
    for part in torch.arange(len(x)).split(max(1, MOST_ROWS // (draws * samples))):
        noise = torch.randn(samples, draws, len(part), 1, dtype=torch.float64, generator=generator)
        m, log_variance = q.mean[part], q.log_variance[part]
        z = m + (0.5 * log_variance).exp() * noise
        log_likelihood = isotropic_gaussian_log_density(x[part], model.decode(z), truth.noise_variance)
        log_q = gaussian_log_density(z, m, log_variance)
        log_weights = log_likelihood + standard_gaussian_log_density(z) - log_q
        totals += bounds.iwae(log_weights).sum(1)
    return totals / len(x)


def _of_mapa(
    settings: Settings, truth: GroundTruth, cell: Cell, model: Selected, generator: torch.Generator
) -> dict[str, float]:
    z, x = model.train
    count = len(x)
    outputs = model.decode(model.encode(x))
    log_q = log_proposal(truth, cell, z, x)
    k, tail = terms_of(cell, count)
    proposal = proposal_of_training(truth, log_q, k, model)
    log_p, inference = [], []
    totals = torch.zeros(settings.samples, dtype=torch.float64)
    for rows in torch.arange(count).split(BLOCK):
        log_likelihood = truth.log_likelihood(x[rows], outputs)
        log_p.append(empiricalised_log_likelihood(log_likelihood))
        inference.append(categorical_kl(log_q[rows], index_log_posterior(log_likelihood)))
        part = Proposal(proposal.head[rows], proposal.log_tail[rows], proposal.cumulative[rows])
        for repetition in range(settings.samples):
            terms = part.draw(tail, generator)
            chosen = log_likelihood.gather(-1, terms.indices)
            totals[repetition] += mapa_bound(chosen, terms, count).sum()
    empiricalised = torch.cat(log_p)
    return {
        **_bound(empiricalised, totals / count),
        "inference_gap": float(torch.cat(inference).mean()),
        "recovery_gap": float((empiricalised - model.log_evidence(truth, x)).mean()),
    }


def proposal_of_training(truth: GroundTruth, log_q: Tensor, k: int, model: Selected) -> Proposal:
    """The k certain terms of training; ties fall as they did then, so that a uniform q has the same ones."""
    ties = torch_generator(model.models.seed, "ties", truth.name, model.draw)
    return Proposal.prepare(log_q, k, ties)


def _bound(log_p: Tensor, repetitions: Tensor) -> dict[str, float]:
    """Columns on the bound, whose mean over observations came out as `repetitions` `[R]`."""
    likelihood, bound, count = float(log_p.mean()), float(repetitions.mean()), len(repetitions)
    error = float(repetitions.std()) / math.sqrt(count) if count > 1 else 0.0
    return {
        "log_likelihood": likelihood,
        "bound": bound,
        "bound_gap": likelihood - bound,
        "bound_gap_se": error,
    }
