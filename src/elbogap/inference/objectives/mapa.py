"""MAPA's bound on the empiricalised log-likelihood, by importance weighting over the indices of the data."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from elbogap.densities import log_sum_exp
from elbogap.errors import UserError
from elbogap.inference.families.base import LogJoint
from elbogap.inference.families.proposal import Proposal
from elbogap.inference.noise import Noise, Spec, Specs
from elbogap.inference.objectives.base import Estimate, Objective, State


@dataclass(frozen=True)
class Uniform:
    """p(x_n, i) = p(x_n|f(z_i)) / N, a log-joint of indices, from all log p(x_n|f(z_i)) `[B, N]` in nats."""

    log_likelihood: Tensor

    def __call__(self, z: Tensor) -> Tensor:
        """log p(x_n, i), `[..., T, 1]` to `[..., T]`."""
        return self.likelihood(z.squeeze(-1)) - math.log(self.log_likelihood.shape[-1])

    def likelihood(self, indices: Tensor) -> Tensor:
        """log p(x_n|f(z_i)), `[..., T]` to `[..., T]`."""
        return torch.take_along_dim(self.log_likelihood, indices, -1)


@dataclass(frozen=True)
class MAPA(Objective[Proposal]):
    """log sum_t w_t p(x_n, i_t) / q(i_t|n) over the k likeliest i_t and S random others (eq. 10 and 29):

        log [sum_{i in B_n(k)} p(x_n|f(z_i)) + (1/S) sum_s p(x_n|f(z_{i_s})) / q~(i_s|n)] - log N.

    For S > 0 the bracket is an unbiased estimate of the sum over all i. On average the bound is at most the
    empiricalised log p(x_n) (eq. 4), which it equals for k = N. There is no gradient in q.
    """

    def noise(self, *batch: int, dimensions: int = 1, mixing: int = 0) -> Specs:
        """`uniform`, `[..., B, S, 1]`, for `batch` = (..., S, B): S random draws at each of B points."""
        *lead, samples, points = batch
        return {"uniform": Spec((*lead, points, samples, 1), uniform=True)}

    def estimate(self, q: Proposal, log_joint: LogJoint, noise: Noise, state: State = None) -> Estimate:
        """The bound, `[..., B]` in nats; UserError if the log-joint is not :class:`Uniform`."""
        if not isinstance(log_joint, Uniform):
            raise UserError("MAPA takes Uniform(log_likelihood) of indices as log-joint")
        indices, log_weights = q.detach().terms(noise)
        constant = -math.log(log_joint.log_likelihood.shape[-1])
        return self.at(log_joint.likelihood(indices) + log_weights, constant)

    def at(self, log_values: Tensor, constant: float) -> Estimate:
        """The bound from its terms log [w_t p(x_n|f(z_{i_t})) / q(i_t|n)], `[..., T]` to `[...]`.

        The constant is -log N, plus whatever constant was left out of the log-likelihood.
        """
        return Estimate.of(log_sum_exp(log_values, -1) + constant)
