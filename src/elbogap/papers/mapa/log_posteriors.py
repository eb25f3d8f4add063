"""Posteriors over latent values and over indices, of a model with codes of a data set (Figures 6 to 12)."""

import math
from collections.abc import Iterator, Sequence

from torch import Tensor

from elbogap.densities import categorical_kl, standard_gaussian_log_density
from elbogap.evaluation import quadrature
from elbogap.inference.empirical import index_log_posterior
from elbogap.papers.mapa.model import Model


def of_ranks(z: Tensor, quantiles: Sequence[float]) -> Tensor:
    """Indices of the observations whose latent values `[N, 1]` have these ranks."""
    return z[:, 0].argsort()[[min(int(quantile * len(z)), len(z) - 1) for quantile in quantiles]]


def over_indices(
    model: Model, codes: Tensor, x: Tensor, block: int
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Blocks of x `[B, 2]` and log p(x_n|f(z_i)), log p(i|x_n, Z) (eq. 7), log q(i|n) (eq. 8), `[B, N]`."""
    outputs = model.decode(codes)
    for rows in x.split(block):
        log_likelihood = model.log_likelihood(rows, outputs)
        log_q = index_log_posterior(model.log_likelihood(rows, x))
        yield rows, log_likelihood, index_log_posterior(log_likelihood), log_q


def curves(model: Model, codes: Tensor, x: Tensor, chosen: Tensor, nodes: Tensor) -> dict[str, Tensor]:
    """Log-posteriors of the chosen observations `[n]` in nats, as they are drawn.

    Returns:
        `log_evidence` = log p(x_n) and `kl` = KL(p(i|x_n, Z) || q(i|n)), `[n]`; `empiricalised`,
        log N p(i|x_n, Z), and `mapa`, log N q(i|n), `[n, N]`; at nodes `[G, 1]` the log-density `true`
        (eq. 41), `[n, G]`, and `prior` `[G]`.
    """
    problem = (model.decode, model.log_likelihood, x[chosen])
    log_evidence = quadrature.log_evidence(*problem, quadrature.adapted_panels(*problem))
    log_p = index_log_posterior(model.log_likelihood(x[chosen], model.decode(codes)))
    log_q = index_log_posterior(model.log_likelihood(x[chosen], x))
    return {
        "log_evidence": log_evidence,
        "kl": categorical_kl(log_p, log_q),
        "empiricalised": log_p + math.log(len(x)),
        "mapa": log_q + math.log(len(x)),
        "true": quadrature.log_posterior(nodes, *problem, log_evidence),
        "prior": standard_gaussian_log_density(nodes),
    }
