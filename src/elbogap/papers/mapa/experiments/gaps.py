"""What each bound of document mapa loses against the likelihood, and why (ours: the document has no such).

Everything is measured on the same observations of the training set. For VAE and IWAE, q(z|x) is Gaussian,
and the likelihood is the trained model's. For MAPA, q is a distribution over the indices i of the training
set, and the likelihood is that of the empiricalised model (eq. 4); q and the certain terms are those of
training.
"""

import math

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
from elbogap.papers.mapa.model import GroundTruth, Trained, selected
from elbogap.papers.mapa.settings import Gaps as Settings
from elbogap.papers.mapa.training import OBJECTIVES, POSTERIORS, proposal
from elbogap.runtime import Run, torch_generator
from elbogap.training import Work, tabulate

METRICS = (
    *("log_likelihood", "bound", "bound_gap", "bound_gap_se", "inference_gap", "approximation_gap"),
    *("amortisation_gap", "largest_gradient", "recovery_gap"),
)
Measured = tuple[Tensor, Tensor, dict[str, float]]
"""log p(x) `[N]`, means of the bound over x, one per repetition `[R]`, and gaps by name."""
BLOCK = 500  # observations of MAPA held in memory at once
MOST_ROWS = 2**15  # decoder evaluations of IWAE held in memory at once


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Measure the selected models of the problem `problem`; inputs: `surrogate`, `density`, models by cell.

    Returns:
        `gaps`: one row per cell and data draw, means over observations in nats: `bound_gap`, log p(x) less
        the training objective; `inference_gap` = KL(q || p(z|x)), or KL(q || p(i|x_n, Z)) (eq. 7);
        `approximation_gap` = min over Gaussians q* of KL(q* || p(z|x)), one for each x; `amortisation_gap`,
        what remains. Gaps that a method has not are empty, and so are all of a model without integrals.

    UserError if no model of a cell was selected.
    """
    truth = GroundTruth.load(run.keys["problem"], run.inputs["surrogate"])
    models = [model for of_cell in selected(truth, run, settings.cells) for model in of_cell]

    def row(i: int) -> Tensor:
        model = models[i]
        generator = torch_generator(settings.seed, "mapa.gaps", truth.problem, model.cell.name, model.draw)
        measure = _of_posterior if model.cell.method.posterior else _of_proposal
        try:
            log_p, bounds, gaps = measure(settings, model, generator)
        except Unresolved as why:
            print(f"{truth.problem}: {model.cell.name} on data set {model.draw} has no gaps: {why}")
            return torch.full((len(METRICS),), math.nan, dtype=torch.float64)
        likelihood, bound, count = float(log_p.mean()), float(bounds.mean()), len(bounds)
        error = float(bounds.std()) / math.sqrt(count) if count > 1 else 0.0
        others = [gaps.get(metric, math.nan) for metric in METRICS[4:]]
        return torch.tensor([likelihood, bound, likelihood - bound, error, *others], dtype=torch.float64)

    work = Work.of(run, f"{truth.problem}-gaps", provenance.identity(__name__, settings, run))
    values = tabulate(row, rows=len(models), work=work).tolist()
    rows = [
        {
            **truth.key(),
            **model.key(),
            "points": settings.points,
            **dict(zip(METRICS, metrics, strict=True)),
        }
        for model, metrics in zip(models, values, strict=True)
    ]
    return {"gaps": pd.DataFrame(rows).astype({"S": "Int64"})}


def _of_posterior(settings: Settings, model: Trained, generator: torch.Generator) -> Measured:
    """Of q(z|x); gaps of a Gaussian one are by quadrature."""
    x, method = model.data_set()[1][: settings.points], model.cell.method
    panels = quadrature.adapted_panels(model.decode, model.log_likelihood, x)
    problem = (model.decode, model.log_likelihood, x, panels)
    log_p, outputs, samples = quadrature.log_evidence(*problem), model.encode(x), model.cell.samples or 1
    family = POSTERIORS[method.posterior or ""].family

    def repeated(objective: Objective) -> Tensor:
        """Means over x of an objective with the cell's S, one per repetition `[R]`."""
        totals = torch.zeros(settings.samples, dtype=torch.float64)
        for part in torch.arange(len(x)).split(max(1, MOST_ROWS // (samples * settings.samples))):
            q = family(outputs[part])
            drawn = noise.draw(q.noise(settings.samples, samples, len(part)), generator, dtype=torch.float64)
            of_x = objective.estimate(q, model.log_joint(x[part]), drawn).value
            totals += (of_x.mean(1) if of_x.ndim > 2 else of_x).sum(1)
        return totals / len(x)

    q = family(outputs)
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
    return log_p, elbo if samples == 1 else repeated(OBJECTIVES[method.objective]), gaps


def _of_proposal(settings: Settings, model: Trained, generator: torch.Generator) -> Measured:
    """Of q(i|n), under the empiricalised model."""
    _, x = model.data_set()
    q = proposal(model.truth, model.cell, model.points, model.seed, model.draw)
    (_, samples), outputs = model.cell.terms(model.points), model.decode(model.encode(x))
    log_p, inference = [], []
    totals = torch.zeros(settings.samples, dtype=torch.float64)
    for rows in torch.arange(settings.points).split(BLOCK):
        log_likelihood, part = model.log_likelihood(x[rows], outputs), q[rows]
        log_p.append(empiricalised_log_likelihood(log_likelihood))
        inference.append(categorical_kl(part.log_q, index_log_posterior(log_likelihood)))
        log_joint = Uniform(log_likelihood)
        for repetition in range(settings.samples):
            drawn = noise.draw(MAPA().noise(samples, len(rows)), generator, dtype=torch.float64)
            totals[repetition] += MAPA().estimate(part, log_joint, drawn).value.sum()
    empiricalised = torch.cat(log_p)
    gaps = {
        "inference_gap": float(torch.cat(inference).mean()),
        "recovery_gap": float((empiricalised - model.log_evidence(x[: settings.points])).mean()),
    }
    return empiricalised, totals / settings.points, gaps
