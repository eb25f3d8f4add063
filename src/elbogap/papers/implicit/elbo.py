"""The ELBO of a semi-implicit q between two estimates that close as the noises grow in number."""

import math

import torch
from torch import Tensor

from elbogap.densities import gaussian_log_density, pairwise_gaussian_log_density
from elbogap.inference.families.base import LogJoint
from elbogap.inference.families.semi_implicit import SemiImplicit


@torch.no_grad()
def elbo_between(
    log_joint: LogJoint,
    q: SemiImplicit,
    *,
    num_draws: int,
    num_mixing: int,
    blocks: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """The ELBO of one member from independent blocks, in float64.

    Args:
        log_joint: log p(x, z), `[1, B, D]` to `[1, B]`.
        q: with parameters in float64; without mixing noise both estimates are exact but for the draws.
        num_draws: draws of z in a block.
        num_mixing: further noises T in a block, the same for all its draws.
        blocks: at least 2.
        generator: source of all draws, on the device of q.

    Returns:
        In nats, the SIVI bound of T further noises, below the ELBO on average; the same with a mixture that
        leaves out z's own noise, above it; and the standard error of the bound.
    """

    def normal(*shape: int) -> Tensor:
        return torch.randn(1, *shape, generator=generator, dtype=torch.float64, device=generator.device)

    scale, estimates = q.log_scale.exp(), []
    for _ in range(blocks):
        means = q.mean(normal(num_draws, q.mixing))
        z = means + scale * normal(*means.shape[1:])
        others = q.mean(normal(num_mixing, q.mixing))
        standard = pairwise_gaussian_log_density(z / scale, others / scale, 1.0)
        log_sum = standard.logsumexp(-1) - q.log_scale.sum(-1)
        log_sum_with_own = torch.logaddexp(log_sum, gaussian_log_density(z, means, 2 * q.log_scale))
        log_q = torch.stack([log_sum_with_own - math.log(num_mixing + 1), log_sum - math.log(num_mixing)])
        estimates.append((log_joint(z) - log_q).mean((1, 2)))
    low, high = torch.stack(estimates).unbind(1)
    return low.mean(), high.mean(), low.std() / blocks**0.5
