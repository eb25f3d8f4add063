"""Evidence lower bounds as functions of log-weights log w_s = log p(x, z_s) - log q(z_s | x), z_s ~ q(. | x).

Log-weights have shape `[..., S, B]`: S draws of each of B data points; further axes, such as members, are
kept. All values are in nats and differentiable.
"""

from collections.abc import Callable

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


def doubly_reparameterised_iwae(draws: Tensor, log_weights: Callable[[Tensor], Tensor]) -> Tensor:
    """The value of L_IWAE with the doubly reparameterised gradient (Tucker et al. 2019, eq. 8).

    Its gradient is sum_s w~_s d log w_s / d theta for the model, as that of :func:`iwae`, and
    sum_s w~_s^2 (d log w_s / d z_s) (d z_s / d phi) for the encoder. Both are unbiased; the second has none
    of the noise of the score d log q / d phi, whose mean is 0, and does not fade as S grows.

    Args:
        draws: z_s, differentiable in phi through the reparameterisation alone, `[..., S, B, D]`.
        log_weights: maps the draws to log w_s `[..., S, B]`, with the parameters of q detached: phi may enter
            through the draws only.

    Returns:
        `[..., B]`, in nats.
    """
    weights: list[Tensor] = []
    if draws.requires_grad:
        draws.register_hook(lambda gradient: gradient * weights[0][..., None])
    log_w = log_weights(draws)
    weights.append(normalised_weights(log_w.detach()))
    surrogate = (weights[0] * log_w).sum(-2)
    return iwae(log_w.detach()) + surrogate - surrogate.detach()
