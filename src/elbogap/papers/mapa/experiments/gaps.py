"""What each bound of document mapa loses against the likelihood, and why (ours: the document has no such).

A method's bound rests on an approximate posterior q. For VAE and IWAE q(z|x) is Gaussian, and everything is
measured on test observations under the trained model. For MAPA q is a distribution over the indices i of the
training set, and everything is measured on the training observations under the empiricalised model (eq. 4),
which is what its bound bounds; q and the k certain terms are those of training.
"""

import math
from functools import partial

import pandas as pd
import torch
from torch import Tensor

from elbogap import provenance
from elbogap.densities import categorical_kl
from elbogap.errors import Unresolved
from elbogap.evaluation import quadrature
from elbogap.evaluation.gaps import best_gaussians, gaussian_elbo
from elbogap.inference import noise
from elbogap.inference.empirical import empiricalised_log_likelihood, index_log_posterior
from elbogap.inference.families.gaussian import DiagonalGaussian
from elbogap.inference.objectives.base import Objective
from elbogap.inference.objectives.elbo import ELBO
from elbogap.inference.objectives.mapa import MAPA, Uniform
from elbogap.papers.mapa.model import GroundTruth, Trained, load, selected
from elbogap.papers.mapa.settings import Gaps as Settings
from elbogap.papers.mapa.training import OBJECTIVES, POSTERIORS, proposal
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
        `test`, or `training` for MAPA, whose `log_likelihood` is log (1/N) sum_i p(x|f(g(x_i))).
        `bound` is the mean of the training objective, exact for the VAE, else over repetitions, and
        `bound_gap_se` its standard error; `inference_gap` = KL(q || p(z|x)) = log p(x) - ELBO[q], or
        KL(q || p(i|x_n, Z)) (eq. 7) for MAPA; `approximation_gap` = min over Gaussians q* of
        KL(q* || p(z|x)), one q* for each x, `amortisation_gap` what remains, and `largest_gradient` that of
        an ELBO at its q*. Gaps that a method has not are empty, and so are all of a model without integrals.

    Raises:
        UserError: no model of a cell was selected.
        OutOfTime: the time budget is spent.
    """
    truth = GroundTruth.load(run.keys["problem"], run.inputs["surrogate"])
    density = read_table(run.inputs["density"])
    models = [
        model
        for name in settings.cells
        for model in selected(truth, density, load(truth, name, run.inputs[name]))
    ]

    def row(i: int) -> Tensor:
        try:
            metrics = measure(settings, truth, models[i])
        except Unresolved as why:
            print(f"{truth.name}: {models[i].cell.name} on data set {models[i].draw} has no gaps: {why}")
            metrics = {}
        return torch.tensor([metrics.get(metric, math.nan) for metric in METRICS], dtype=torch.float64)

    work = Work.of(run, f"{truth.name}-gaps", provenance.identity(__name__, settings, run))
    values = tabulate(row, rows=len(models), work=work)
    rows = [
        {
            "document": "mapa",
            "problem": truth.name,
            **model.key(),
            "observations": "test" if model.cell.method.posterior else "training",
            "points": settings.test_points if model.cell.method.posterior else model.points,
            **dict(zip(METRICS, metrics, strict=True)),
        }
        for model, metrics in zip(models, values.tolist(), strict=True)
    ]
    return {"gaps": pd.DataFrame(rows).astype({"S": "Int64"})}


def measure(settings: Settings, truth: GroundTruth, model: Trained) -> dict[str, float]:
    """The :data:`METRICS` of one model, those that it has."""
    generator = torch_generator(settings.seed, "mapa.gaps", truth.name, model.cell.name, model.draw)
    of_method = _of_posterior if model.cell.method.posterior else _of_proposal
    return of_method(settings, truth, model, generator)


def _of_posterior(
    settings: Settings, truth: GroundTruth, model: Trained, generator: torch.Generator
) -> dict[str, float]:
    """Gaps of q(z|x); those of a Gaussian one by quadrature."""
    x, method = model.held_out(truth, settings.test_points, "test"), model.cell.method
    panels = quadrature.adapted_panels(model.decode, model.log_likelihood, x)
    problem = (model.decode, model.log_likelihood, x, panels)
    log_p, outputs = quadrature.log_evidence(*problem), model.encode(x)
    q = POSTERIORS[method.posterior or ""].family(outputs)
    repeated = partial(_repeated, settings.samples, model, x, outputs, generator)
    if isinstance(q, DiagonalGaussian):
        gaussians = DiagonalGaussian(q.mean[0], q.log_variance[0])
        of_x, best = gaussian_elbo(*problem, gaussians), best_gaussians(*problem, gaussians)
        elbo = of_x.mean()[None]
        gaps = {
            "inference_gap": float((log_p - of_x).mean()),
            "approximation_gap": float((log_p - best.elbo).mean()),
            "amortisation_gap": float((best.elbo - of_x).mean()),
            "largest_gradient": float(best.gradient.max()),
        }
    else:
        elbo = repeated(ELBO())
        gaps = {"inference_gap": float(log_p.mean() - elbo.mean())}
    return _bound(log_p, elbo if model.cell.samples == 1 else repeated(OBJECTIVES[method.objective])) | gaps


def _repeated(
    repetitions: int,
    model: Trained,
    x: Tensor,
    outputs: Tensor,
    generator: torch.Generator,
    objective: Objective,
) -> Tensor:
    """Means over x of an objective with the cell's S, one per repetition `[R]`."""
    samples, family = model.cell.samples or 1, POSTERIORS[model.cell.method.posterior or ""].family
    totals = torch.zeros(repetitions, dtype=torch.float64)
    for part in torch.arange(len(x)).split(max(1, MOST_ROWS // (samples * repetitions))):
        q = family(outputs[part])
        drawn = noise.draw(q.noise(repetitions, samples, len(part)), generator, dtype=torch.float64)
        of_x = objective.estimate(q, model.log_joint(x[part]), drawn).value
        totals += (of_x.mean(1) if of_x.ndim > 2 else of_x).sum(1)
    return totals / len(x)


def _of_proposal(
    settings: Settings, truth: GroundTruth, model: Trained, generator: torch.Generator
) -> dict[str, float]:
    """Gaps of q(i|n), under the empiricalised model."""
    _, x = model.training_set(truth)
    q = proposal(truth, model.cell, model.points, model.seed, model.draw)
    (_, samples), outputs = model.cell.terms(model.points), model.decode(model.encode(x))
    log_p, inference = [], []
    totals = torch.zeros(settings.samples, dtype=torch.float64)
    for rows in torch.arange(len(x)).split(BLOCK):
        log_likelihood, part = model.log_likelihood(x[rows], outputs), q[rows]
        log_p.append(empiricalised_log_likelihood(log_likelihood))
        inference.append(categorical_kl(part.log_q, index_log_posterior(log_likelihood)))
        log_joint = Uniform(log_likelihood)
        for repetition in range(settings.samples):
            drawn = noise.draw(MAPA().noise(samples, len(rows)), generator, dtype=torch.float64)
            totals[repetition] += MAPA().estimate(part, log_joint, drawn).value.sum()
    empiricalised = torch.cat(log_p)
    return {
        **_bound(empiricalised, totals / len(x)),
        "inference_gap": float(torch.cat(inference).mean()),
        "recovery_gap": float((empiricalised - model.log_evidence(x)).mean()),
    }


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
