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
        generator: source of the draws, on the device of the images; all members have the same ones, whatever
            `rows` is.
    """
    found = []
    everyone = posterior(networks["encoder"], images[None])
    size = max(1, rows // k)
    for _ in range(draws):
        shape = (1, k, *everyone.mean.shape[1:])
        noise = torch.randn(shape, generator=generator, device=images.device)
        chunks = zip(
            images.split(size),
            everyone.mean.split(size, 1),
            everyone.log_variance.split(size, 1),
            noise.split(size, 2),
            strict=True,
        )
        parts = []
        for some, mean, log_variance, own in chunks:
            q = Gaussians(mean, log_variance)
            parts.append(bound(networks["decoder"], some, q, q.placed(own)))
        found.append(torch.cat(parts, -1))
    return torch.stack(found).mean(0)
