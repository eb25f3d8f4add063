"""What holds of MAPA's bound whatever is trained, measured at the ground truth (mapa, eq. 10, 14 and 29)."""

import math
from itertools import product

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
        `identities`, means over the N observations in nats: `bound` (eq. 29) with its standard error over
        repetitions, `exact` (eq. 4), log (1/N) sum_i p(x_n|f(z_i)), `exact_plus_error`, three standard errors
        more, `autoencoder` (eq. 14), log p(x_n|f(z_n)) - log N, and the largest distances to these.
    """
    count, rows = settings.points, []
    ks = (*(k for k in settings.terms if k < count), count)
    for name, path in tqdm(run.inputs.items(), desc="identities", mininterval=5):
        truth = GroundTruth.load(name, path)
        z, x = truth.data_set(count, settings.seed, draw=0)
        log_likelihood = truth.log_likelihood(x, truth.decode(z))
        log_q = index_log_posterior(truth.log_likelihood(x, x))
        log_joint = Uniform(log_likelihood)
        exact = empiricalised_log_likelihood(log_likelihood)
        autoencoder = log_likelihood.diagonal() - math.log(count)
        for k, samples in product(ks, settings.samples):
            generator = torch_generator(settings.seed, "mapa bound", name, k, samples)
            estimates = []
            for _ in range(settings.repetitions if samples > 0 and k < count else 1):
                q = Proposal.prepare(log_q, k, generator)
                drawn = noise.draw(MAPA().noise(samples, count), generator, dtype=torch.float64)
                estimates.append(MAPA().estimate(q, log_joint, drawn).value)
            bounds = torch.stack(estimates)
            means = bounds.mean(1)
            error = float(means.std() / math.sqrt(len(means))) if len(means) > 1 else 0.0
            rows.append(
                {
                    **truth.key(),
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
    return {"identities": pd.DataFrame(rows)}
