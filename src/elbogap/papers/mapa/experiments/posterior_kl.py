"""How far MAPA is from the empiricalised posterior, and that from the true one (mapa, Figures 6 to 10).

The measures are ours. Figures 6 to 10 draw log N p(i|x, Z) over log p(z|x) as if equal, but they differ by
-log p(z_i) + [log p(x) - log p_N(x)], where p_N(x) = (1/N) sum_j p(x|z_j) is the empiricalised evidence.
"""

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from elbogap.densities import categorical_kl, standard_gaussian_log_density
from elbogap.evaluation import quadrature
from elbogap.inference.empirical import empiricalised_log_likelihood
from elbogap.papers.mapa.log_posteriors import over_indices
from elbogap.papers.mapa.model import GroundTruth
from elbogap.papers.mapa.settings import PosteriorKL as Settings
from elbogap.runtime import Run


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """One row per problem and data set; the inputs are the surrogates by problem.

    Returns:
        `posterior_kl`, means over the N observations of a data set, in nats: `kl_p_to_q` =
        KL(p(i|x_n, Z) || q(i|n)), its reverse, and `kl_p_to_uniform` for the proposal 1 / N, with their ratio
        `kl_share`; `decorrelation`, 1 - the correlation of log q(i|n) with log p(i|x_n, Z) over all i;
        `..._over_clusters`, ratios to the values for Clusters; `difference`, the mean over i ~ p(i|x_n, Z) of
        log N p(i|x_n, Z) - log p(z_i|x_n), `prior_term`, -log p(z_i) in it, `offset_rms`, the root mean
        square of the rest, log p(x_n) - log p_N(x_n), and the fraction of n for which it is at most two
        standard errors of p_N, 2 sqrt([int p(x|z)^2 p(z) dz / p(x)^2 - 1] / N).
    """
    truths = [GroundTruth.load(name, path) for name, path in run.inputs.items()]
    table = pd.DataFrame(
        {**truth.key(), "draw": draw, "points": settings.points, **_means(truth, draw, settings)}
        for draw in tqdm(range(settings.draws), desc="posteriors", mininterval=5)
        for truth in truths
    )
    table["offset_rms"] **= 0.5
    table["kl_share"] = table["kl_p_to_q"] / table["kl_p_to_uniform"]
    clusters = table[table["problem"] == "clusters"].set_index("draw")
    for measure in ("kl_p_to_q", "kl_share", "decorrelation"):
        table[f"{measure}_over_clusters"] = table[measure] / table["draw"].map(clusters[measure])
    return {"posterior_kl": table}


def _means(truth: GroundTruth, draw: int, settings: Settings) -> dict[str, float]:
    """Over the observations; of the offset's square as `offset_rms`."""
    z, x = truth.data_set(settings.points, settings.seed, draw)
    log_prior = standard_gaussian_log_density(z)
    panels = quadrature.adapted_panels(truth.decode, truth.log_likelihood, x, block=settings.block)
    uniform = torch.full((len(z),), -np.log(len(z)), dtype=torch.float64)
    sums: dict[str, float] = {}
    for rows, log_likelihood, log_p, log_q in over_indices(truth, z, x, settings.block):
        log_evidence = quadrature.log_evidence(truth.decode, truth.log_likelihood, rows, panels)
        offset = log_evidence - empiricalised_log_likelihood(log_likelihood)
        log_square = quadrature.log_evidence(
            truth.decode, lambda x, outputs: 2 * truth.log_likelihood(x, outputs), rows, panels
        )
        error = (torch.expm1(log_square - 2 * log_evidence) / len(z)).sqrt()
        prior_term = -(log_p.exp() @ log_prior)
        left, right = (value - value.mean(-1, keepdim=True) for value in (log_p, log_q))
        values = {
            "kl_p_to_q": categorical_kl(log_p, log_q),
            "kl_q_to_p": categorical_kl(log_q, log_p),
            "kl_p_to_uniform": categorical_kl(log_p, uniform),
            "decorrelation": 1 - torch.cosine_similarity(left, right, dim=-1),
            "difference": prior_term + offset,
            "prior_term": prior_term,
            "offset_rms": offset.square(),
            "offset_within_error": (offset.abs() <= 2 * error).double(),
        }
        for name, value in values.items():
            sums[name] = sums.get(name, 0.0) + float(value.sum())
    return {name: total / len(x) for name, total in sums.items()}
