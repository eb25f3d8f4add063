"""Empiricalised models and MAPA, the model-agnostic posterior approximation (document mapa, sections 3 to 5).

An empiricalised model has N latent codes z_i, one of which, chosen uniformly, is decoded to x. Its
posterior, and a proposal q(i|n) for it, are rows `[B, N]` for B of the N points, computed block by block.
MAPA takes a finite log k(x_n|x_i), such as `elbogap.densities.pairwise_gaussian_log_density` with the noise
variance (appendix B.2). MAPA-GT is eq. 7 under the true model, MAPA-naive q(i|n) = 1 / N. Draws of a proposal
are in :mod:`elbogap.inference.families.proposal`, the bound in :mod:`elbogap.inference.objectives.mapa`.
"""

from torch import Tensor

from elbogap.densities import log_mean_exp, log_softmax


def index_log_posterior(log_values: Tensor) -> Tensor:
    """log (v_i / sum_j v_j) from log v over the last axis, `[..., N]` to `[..., N]`.

    With v_i = k(x_n|x_i) this is MAPA, log q(i|n) (eq. 8); with v_i = p(x_n|f(z_i)) it is the posterior of
    the empiricalised model, log p(i|x_n, Z) (eq. 7).
    """
    return log_softmax(log_values, -1)


def empiricalised_log_likelihood(log_likelihood: Tensor) -> Tensor:
    """log p(x_n) = log (1/N) sum_i p(x_n|f(z_i)) (eq. 4 and 6), `[..., B, N]` to `[..., B]`, in nats."""
    return log_mean_exp(log_likelihood, -1)
