"""Evidence lower bounds as functions of log-weights log w_s = log p(x, z_s) - log q(z_s | x), z_s ~ q(. | x).

Log-weights have shape `[..., S, B]`: S draws of each of B data points; further axes, such as members, are
kept. All values are in nats and differentiable.
"""

from torch import Tensor

from elbogap.densities import log_mean_exp


def elbo(log_weights: Tensor) -> Tensor:
    """L_VAE = (1/S) sum_s log w_s, `[..., S, B]` to `[..., B]` (Kingma and Welling 2014)."""
    return log_weights.mean(-2)


def iwae(log_weights: Tensor) -> Tensor:
    """L_IWAE = log (1/S) sum_s w_s, `[..., S, B]` to `[..., B]` (Burda et al. 2016, eq. 8).

    Its gradient for reparameterised draws is sum_s w~_s d log w_s with w~ of :func:`normalised_weights`.
    """
    return log_mean_exp(log_weights, -2)


def normalised_weights(log_weights: Tensor) -> Tensor:
    """w~_s = w_s / sum_j w_j, `[..., S, B]` to `[..., S, B]` (Cremer et al. 2017, algorithm 1, line 5)."""
    return log_weights.softmax(-2)
