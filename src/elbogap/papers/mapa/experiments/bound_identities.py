"""What holds of MAPA's bound whatever is trained, measured (mapa, sections 4 and 5, equations 10, 14 and 29).

The codes are the latent values that made the data and the decoder is the ground truth, so that nothing is
trained; the identities hold for any codes and decoder.
"""

import math

import pandas as pd
import torch
from tqdm import tqdm

from elbogap.inference import noise
from elbogap.inference.empirical import empiricalised_log_likelihood, index_log_posterior
from elbogap.inference.families.proposal import Proposal
from elbogap.inference.objectives.mapa import MAPA, Uniform
from elbogap.papers.mapa.model import GroundTruth
from elbogap.papers.mapa.settings import BoundIdentities as Settings
from elbogap.runtime import Run, torch_generator


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """One row per problem, k and number of sampled terms; inputs are surrogates by problem.

    Returns:
        `identities`, means over the N observations in nats: `bound` (eq. 29), over all repetitions, and its
        standard error `bound_se`, 0 where nothing is sampled; `exact` (eq. 4), log (1/N) sum_i p(x_n|f(z_i)),
        and `exact_plus_error`, three standard errors more; `autoencoder` (eq. 14), log p(x_n|f(z_n)) - log N;
        `minus_exact` and `minus_autoencoder`, the largest distance of the bound of one observation to either,
        of which the first is 0 for k = N and the second for k = 1 without samples. Also `N`, and whether
        k = N as `all_terms`.
    """
    rows = []
    for name, path in tqdm(run.inputs.items(), desc="identities", mininterval=5):
        rows += _rows(GroundTruth.load(name, path), settings)
    return {"identities": pd.DataFrame(rows)}


def _rows(truth: GroundTruth, settings: Settings) -> list[dict[str, object]]:
    count = settings.points
    z, x = truth.data_set(count, settings.seed, draw=0)
    log_likelihood = truth.log_likelihood(x, truth.decode(z))
    log_q = index_log_posterior(truth.log_likelihood(x, x))
    log_joint = Uniform(log_likelihood)
    exact = empiricalised_log_likelihood(log_likelihood)
    autoencoder = log_likelihood.diagonal() - math.log(count)
    rows = []
    for k in (*(k for k in settings.terms if k < count), count):
        for samples in settings.samples:
            generator = torch_generator(settings.seed, "mapa bound", truth.name, k, samples)
            repetitions = settings.repetitions if samples > 0 and k < count else 1
            estimates = []
            for _ in range(repetitions):
                q = Proposal.prepare(log_q, k, generator)
                drawn = noise.draw(MAPA().noise(samples, count), generator, dtype=torch.float64)
                estimates.append(MAPA().estimate(q, log_joint, drawn).value)
            bounds = torch.stack(estimates)
            means = bounds.mean(1)
            error = float(means.std() / math.sqrt(repetitions)) if repetitions > 1 else 0.0
            rows.append(
                {
                    "document": "mapa",
                    "problem": truth.name,
                    "N": count,
                    "k": k,
                    "sampled": samples,
                    "all_terms": k == count,
                    "bound": float(means.mean()),
                    "bound_se": error,
                    "exact": float(exact.mean()),
                    "exact_plus_error": float(exact.mean()) + 3 * error,
                    "autoencoder": float(autoencoder.mean()),
                    "minus_exact": float((bounds - exact).abs().max()),
                    "minus_autoencoder": float((bounds - autoencoder).abs().max()),
                }
            )
    return rows
