"""The ELBO of a semi-implicit q between two estimates that close as the noises grow in number."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from elbogap.densities import gaussian_log_density, pairwise_gaussian_log_density
from elbogap.inference.families.base import LogJoint
from elbogap.inference.families.semi_implicit import SemiImplicit


@dataclass(frozen=True)
class Between:
    """Two estimates in nats, of which the ELBO is above the one and below the other on average.

    Attributes:
        low: the SIVI bound of T further noises, `[]`.
        high: the same with a mixture that leaves out z's own noise, `[]`.
        error: standard error of `low`, `[]`.
    """

    low: Tensor
    high: Tensor
    error: Tensor


@torch.no_grad()
def elbo_between(
    log_joint: LogJoint,
    family: SemiImplicit,
    *,
    draws: int,
    noises: int,
    blocks: int,
    generator: torch.Generator,
) -> Between:
    """The ELBO of one member from `blocks` independent blocks, in float64.

    Args:
        log_joint: log p(x, z), `[1, B, D]` to `[1, B]`.
        family: q with parameters in float64, of one member; without mixing noise both estimates are exact but
            for the draws.
        draws: draws of z in a block.
        noises: further noises T in a block, the same for all its draws.
        blocks: at least 2.
        generator: source of all draws, on the device of q.
    """

    def normal(*shape: int) -> Tensor:
        return torch.randn(1, *shape, generator=generator, dtype=torch.float64, device=generator.device)

    scale, estimates = family.log_scale.exp(), []
    for _ in range(blocks):
        means = family.mean(normal(draws, family.mixing))
        z = means + scale * normal(*means.shape[1:])
        others = family.mean(normal(noises, family.mixing))
        standard = pairwise_gaussian_log_density(z / scale, others / scale, 1.0)
        log_sum = standard.logsumexp(-1) - family.log_scale.sum(-1)
        own = gaussian_log_density(z, means, 2 * family.log_scale)
        log_sum_with_own = torch.logaddexp(log_sum, own)
        log_q = torch.stack([log_sum_with_own - math.log(noises + 1), log_sum - math.log(noises)])
        estimates.append((log_joint(z) - log_q).mean((1, 2)))
    low, high = torch.stack(estimates).unbind(1)
    return Between(low.mean(), high.mean(), low.std() / blocks**0.5)
