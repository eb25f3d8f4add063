"""MAPA's bound on the empiricalised log-likelihood: importance weighting over the indices of the data."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from elbogap.densities import log_sum_exp
from elbogap.errors import UserError
from elbogap.inference.families.base import LogJoint
from elbogap.inference.families.proposal import Proposal
from elbogap.inference.noise import Noise, Spec, Specs
from elbogap.inference.objectives.base import Estimate, Objective


@dataclass(frozen=True)
class Uniform:
    """p(x_n, i) = p(x_n|f(z_i)) / N, a log-joint of indices with a uniform prior.

    Attributes:
        log_likelihood: log p(x_n|f(z_i)) in nats, or less what it shares for all i, of indices `[..., T, 1]`:
            `[..., T]`.
        constant: -log N, and what is shared, which a bound adds once.
    """

    log_likelihood: LogJoint
    constant: float

    def __call__(self, z: Tensor) -> Tensor:
        """log p(x_n, i)."""
        return self.log_likelihood(z) + self.constant


def indexed(log_likelihood: Tensor) -> Uniform:
    """The log-joint whose log p(x_n|f(z_i)) are known for all i, `[B, N]`."""
    return Uniform(
        lambda z: torch.take_along_dim(log_likelihood, z.squeeze(-1), -1),
        -math.log(log_likelihood.shape[-1]),
    )


@dataclass(frozen=True)
class MAPA(Objective[Proposal]):
    """log sum_t w_t p(x_n, i_t) / q(i_t|n), with the k largest i_t for certain and S drawn (eq. 10 and 29):

        log [sum_{i in B_n(k)} p(x_n|f(z_i)) + (1/S) sum_s p(x_n|f(z_{i_s})) / q~(i_s|n)] - log N.

    The bracket is an unbiased estimate of the sum over all i, so the bound's mean is at most the
    empiricalised log p(x_n) (eq. 4), and equals it for k = N. There is no gradient in q.
    """

    def noise(self, *batch: int, dimensions: int = 1, mixing: int = 0) -> Specs:
        """`uniform`, `[..., B, S, 1]`; `batch` is (..., S, B): S draws beside the certain ones, B points."""
        *lead, samples, points = batch
        return {"uniform": Spec((*lead, points, samples, 1), uniform=True)}

    def estimate(
        self, q: Proposal, log_joint: LogJoint, noise: Noise, state: nn.Module | None = None
    ) -> Estimate:
        """`[..., B]` in nats.

        Raises:
            UserError: the log-joint is not :class:`Uniform`.
        """
        if not isinstance(log_joint, Uniform):
            raise UserError("MAPA takes Uniform(log_likelihood, -log N) of indices as log-joint")
        indices, log_weights = q.detach().terms(noise)
        return self.at(log_joint.log_likelihood(indices.unsqueeze(-1)) + log_weights, log_joint.constant)

    def at(self, log_values: Tensor, constant: float) -> Estimate:
        """The same where the terms are chosen already, which takes no parameter that is trained.

        Args:
            log_values: log w_t p(x_n|f(z_{i_t})) / q(i_t|n), `[..., T]`.
            constant: -log N, and what is left out of the likelihood.
        """
        return Estimate.of(log_sum_exp(log_values, -1) + constant)
