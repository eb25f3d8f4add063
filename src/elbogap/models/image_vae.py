"""Autoencoders of binary images: Gaussian q(z|x), Bernoulli p(x|z) on 784 pixels, p(z) = N(0, I).

Images broadcast against draws z: B images with S draws each are `[M, 1, B, 784]`, and z `[M, S, B, L]`.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from elbogap.data.formats import PIXELS, bits
from elbogap.densities import bernoulli_log_likelihood
from elbogap.inference import noise
from elbogap.inference.families.base import LogJoint
from elbogap.inference.families.gaussian import DiagonalGaussian
from elbogap.inference.objectives.base import StandardNormalPrior
from elbogap.inference.objectives.elbo import IWAE, ClosedFormELBO
from elbogap.nn.mlp import MLP, Activation, Network
from elbogap.tables import Arrays


def unpacked(arrays: Arrays, part: str, device: str = "cpu", count: int | None = None) -> Tensor:
    """The first `count` or all images of a part, whose bits are packed by rows: float32 `[N, 784]`."""
    return torch.from_numpy(bits(arrays[part][:count]).astype(np.float32)).to(device)


def initial_networks(
    encoder: Sequence[int],
    latent: int,
    decoder: Sequence[int],
    activation: Activation,
    generators: Callable[[str], Sequence[torch.Generator]],
) -> dict[str, MLP]:
    """Encoder 784 - hidden - 2 L (means, then log-variances) and decoder L - hidden - 784 (logits).

    Weights are Glorot's, biases 0. The generators, one for each member, are asked for by a network's name.
    """
    sizes = {"encoder": [PIXELS, *encoder, 2 * latent], "decoder": [latent, *decoder, PIXELS]}
    return {
        name: MLP.independent(widths, activation, generators(name), "xavier")
        for name, widths in sizes.items()
    }


def posterior(encoder: Network, images: Tensor) -> DiagonalGaussian:
    """q(z|x) of images `[M, ..., 1, B, 784]`."""
    return DiagonalGaussian(*encoder(images).chunk(2, -1))


def log_joint(decoder: MLP, images: Tensor) -> StandardNormalPrior:
    """log p(x_b, z) in nats for images that broadcast against draws z, `[M, ..., L]` to `[M, ...]`."""

    def log_likelihood(network: Network) -> LogJoint:
        return lambda z: bernoulli_log_likelihood(images, network(z))

    return StandardNormalPrior(log_likelihood(decoder), log_likelihood(decoder.layers().detach()))


def bound(k: int) -> ClosedFormELBO | IWAE:
    """L_k: the ELBO, with its divergence in closed form, or with k > 1 draws the IWAE bound."""
    return ClosedFormELBO() if k == 1 else IWAE()


@torch.no_grad()
def bounds(
    networks: Mapping[str, MLP], images: Tensor, *, k: int, draws: int, rows: int, generator: torch.Generator
) -> Tensor:
    """Mean over independent draws of L_k with the encoders' q on images `[N, 784]`, `[M, N]` in nats.

    All members share the images, the draws and their generator, which is on the images' device. At most
    `rows` decoder rows of one member are in memory at once; the draws do not depend on that.
    """
    size, objective = max(1, rows // k), bound(k)
    q = posterior(networks["encoder"], images[None, None])
    repetitions = []
    for _ in range(draws):
        normal = noise.draw(q.noise(1, k, len(images)), generator)["normal"]
        chunks = zip(*(x.split(size, -2) for x in (images, q.mean, q.log_variance, normal)), strict=True)
        parts = [
            objective.estimate(
                DiagonalGaussian(mean, log_variance), log_joint(networks["decoder"], some), {"normal": own}
            ).value.flatten(1)
            for some, mean, log_variance, own in chunks
        ]
        repetitions.append(torch.cat(parts, -1))
    return torch.stack(repetitions).mean(0)
