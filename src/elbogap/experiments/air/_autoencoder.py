"""The autoencoders of document air: Gaussian q(z|x), Bernoulli p(x|z) on 784 pixels, p(z) = N(0, I)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from elbogap.densities import (
    bernoulli_log_likelihood,
    gaussian_kl_to_standard,
    standard_gaussian_log_density,
)
from elbogap.evaluation.iw_svi import Gaussians, LogJoint
from elbogap.inference.bounds import elbo, iwae
from elbogap.nn.mlp import Network

PIXELS = 28 * 28


def posterior(encoder: Network, inputs: Tensor) -> Gaussians:
    """q(z|x) of images `[M, ..., B, 784]`."""
    return Gaussians(*encoder(inputs).chunk(2, -1))


def log_joint(decoder: Network, images: Tensor) -> LogJoint:
    """log p(x_b, z) in nats for images `[B, 784]` or `[M, B, 784]` and draws z `[M, S, B, L]`."""

    def of_draws(z: Tensor) -> Tensor:
        return bernoulli_log_likelihood(images.unsqueeze(-3), decoder(z)) + standard_gaussian_log_density(z)

    return of_draws


def bound(decoder: Network, images: Tensor, q: Gaussians, z: Tensor) -> Tensor:
    """L_k of draws z `[..., k, B, L]` of q: `[..., B]` in nats (eq. 5 and 20).

    For k = 1 the divergence is in closed form. The gradient is the plain reparameterised one.
    """
    if z.shape[-3] == 1:
        log_likelihood = bernoulli_log_likelihood(images.unsqueeze(-3), decoder(z))
        return elbo(log_likelihood) - gaussian_kl_to_standard(q.mean, q.log_variance)
    return iwae(q.log_weights(log_joint(decoder, images), z))


@torch.no_grad()
def bounds(
    networks: Mapping[str, Network],
    images: Tensor,
    *,
    k: int,
    draws: int,
    rows: int,
    generator: torch.Generator,
) -> Tensor:
    """Mean over independent draws of L_k with the encoder's q of the clean images, `[M, B]` in nats.

    Args:
        networks: encoder and decoder of M members.
        images: `[B, 784]`, the same for all members.
        k: importance samples.
        draws: independent repetitions.
        rows: decoder rows of one member held in memory at once.
        generator: source of the draws, on the device of the images; all members have the same.
    """
    parts = []
    for some in images.split(max(1, rows // k)):
        q = posterior(networks["encoder"], some[None])
        shape = (draws, 1, k, *q.mean.shape[1:])
        noises = torch.randn(shape, generator=generator, device=some.device)
        repeated = [bound(networks["decoder"], some, q, q.placed(noise)) for noise in noises]
        parts.append(torch.stack(repeated).mean(0))
    return torch.cat(parts, -1)
