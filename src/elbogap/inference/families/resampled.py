"""The distribution q_IW that importance-weighted bounds imply (Cremer et al. 2017, algorithm 1)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from elbogap.inference.families.base import Family, LogJoint
from elbogap.inference.importance import choose, log_marginal
from elbogap.inference.noise import Noise, Spec, Specs, take


@dataclass(frozen=True)
class Resampled(Family):
    """One of k draws of q, chosen with probability w_j / sum_l w_l, w = p(x, z) / q(z|x).

    The `proposal` q has an exact log-density, and parameters that broadcast against its k (`num_proposals`)
    draws `[..., k, B, D]`. M (`num_batches`) batches of k - 1 other draws estimate log q_IW(z).
    """

    bias = "below"
    has_rsample = False

    proposal: Family
    log_joint: LogJoint
    num_proposals: int
    num_batches: int = 1

    def noise(self, *batch: int) -> Specs:
        """The noise of k draws of q, and uniform `choice` `[..., k, B]`, for `batch` = (..., B)."""
        shape = (*batch[:-1], self.num_proposals, batch[-1])
        return dict(self.proposal.noise(*shape)) | {"choice": Spec(shape, uniform=True)}

    @torch.no_grad()
    def sample(self, noise: Noise) -> Tensor:
        """z_j with j ~ Cat(w~), `[..., B, D]`."""
        z = self.proposal.sample(noise)
        return choose(z, self._log_weights(z), take(noise, "choice", self.num_proposals, z.shape[-2]))

    def log_prob_noise(self, *batch: int) -> Specs:
        """The noise of M (k - 1) draws of q for each of B points."""
        others = self.num_batches * (self.num_proposals - 1)
        return self.proposal.noise(*batch[:-1], others, batch[-1])

    def log_prob(self, z: Tensor, noise: Noise | None = None) -> Tensor:
        """log (1/M) sum_m q_IW(z|x, z_2..z_k of batch m), below log q_IW(z) on average, `[..., B]`."""
        specs = self.log_prob_noise(*z.shape[:-1])
        checked = {name: take(noise, name, *spec.shape) for name, spec in specs.items()}
        others = self._log_weights(self.proposal.rsample(checked))
        others = others.unflatten(-2, (self.num_batches, self.num_proposals - 1))
        own = z.unsqueeze(-3)
        log_q, log_weight = self.proposal.log_prob(own).squeeze(-2), self._log_weights(own).squeeze(-2)
        return log_marginal(log_q, log_weight, others)

    def _log_weights(self, z: Tensor) -> Tensor:
        return self.log_joint(z) - self.proposal.log_prob(z)
