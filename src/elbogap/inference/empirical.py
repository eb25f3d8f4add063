"""Empiricalised models and MAPA, the model-agnostic posterior approximation (document mapa, sections 3 to 5).

Deviations: the printed softened Bernoulli kernel (eq. 21) softens in one direction only, since x_i = 0 and
x_n = 1 still give 0; here it is symmetric, so that the kernel is never 0. The document leaves open whether
the k deterministic terms count towards the budget of S terms; both readings are here (:func:`budget`).

Everything is a function of rows of an N-column matrix, log q(i|n) `[B, N]` for B of the N points, so that one
pass over blocks of rows suffices, and stays in the log domain, since in single precision the tail's mass
often underflows to 0 / 0. A proposal other than MAPA is another matrix of the same shape: eq. 7 under the
true model (MAPA-GT), or -log N (MAPA-naive). Kernels log k(x_n|x_i) `[B, N]` must be finite; the Gaussian
one is `elbogap.densities.pairwise_gaussian_log_density` with the noise variance (appendix B.2).
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from elbogap.densities import log_mean_exp, log_softmax, log_sum_exp, pairwise_bernoulli_log_likelihood
from elbogap.errors import UserError

TIE = 1e-9
"""Values of log q closer than this are ties, in nats."""

Reading = Literal["within", "beyond"]
"""Whether the k deterministic terms count within the budget S (S - k are sampled) or come beyond it."""


def bernoulli_log_kernel(x: Tensor, data: Tensor, rho: float) -> Tensor:
    """log prod_d [rho if x_nd = x_id else 1 - rho]: eq. 21 made symmetric, for binary data.

    Args:
        x: `[B, D]`, binary.
        data: `[N, D]`, binary.
        rho: probability of agreement in one dimension, in (1/2, 1).

    Returns:
        `[B, N]`.
    """
    return pairwise_bernoulli_log_likelihood(x, (2 * data - 1) * math.log(rho / (1 - rho)))


def index_log_posterior(log_values: Tensor) -> Tensor:
    """log of v_i / sum_j v_j over the last axis, `[..., N]` to `[..., N]`.

    With v_i = k(x_n|x_i) this is MAPA, log q(i|n) (eq. 8); with v_i = p(x_n|f(z_i)) it is the posterior of
    the empiricalised model, log p(i|x_n, Z) (eq. 7).
    """
    return log_softmax(log_values, -1)


def budget(total: int, share: float, reading: Reading) -> tuple[int, int]:
    """The number k of deterministic terms and of sampled terms for a budget S, k being a share of S.

    Args:
        total: S.
        share: k / S, in (0, 1]; k is rounded and at least 1.
        reading: see :data:`Reading`.
    """
    k = max(1, round(share * total))
    return k, total - k if reading == "within" else total


def empiricalised_log_likelihood(log_likelihood: Tensor) -> Tensor:
    """log (1/N) sum_i p(x_n|f(z_i)) (eq. 4 and 6), `[..., B, N]` to `[..., B]`, in nats."""
    return log_mean_exp(log_likelihood, -1)


@dataclass(frozen=True)
class Terms:
    """Which terms of the sum over i a bound evaluates for each of B points.

    Attributes:
        head: the k indices of largest q(i|n), the set B_n(k), `[B, k]`.
        tail: indices sampled from the renormalised rest of q, `[B, S]`.
        log_tail: their log-probabilities log q~(i|n) (eq. 9), `[B, S]`.
    """

    head: Tensor
    tail: Tensor
    log_tail: Tensor

    @property
    def indices(self) -> Tensor:
        """Head, then tail, `[B, k + S]`."""
        return torch.cat([self.head, self.tail], -1)

    @property
    def log_weights(self) -> Tensor:
        """log of 1 for the head and of 1 / (S q~(i|n)) for the tail, `[B, k + S]`."""
        samples = max(1, self.tail.shape[-1])
        head = torch.zeros_like(self.head, dtype=self.log_tail.dtype)
        return torch.cat([head, -self.log_tail - math.log(samples)], -1)

    def unique(self, count: int) -> Tensor:
        """The distinct indices among all of these, of `count` points: what a network must be evaluated on."""
        used = torch.zeros(count, dtype=torch.bool, device=self.head.device)
        used[self.indices.flatten()] = True
        return used.nonzero()[:, 0]


@dataclass(frozen=True)
class Proposal:
    """Rows of q, prepared for choosing terms again and again (eq. 9); B_n(k) depends on q alone.

    Attributes:
        head: the set B_n(k), `[B, k]`.
        log_tail: log q~(i|n), `[B, N]`, -inf in the head.
        cumulative: sums of q~ up to each index, `[B, N]`, float64.
    """

    head: Tensor
    log_tail: Tensor
    cumulative: Tensor

    @classmethod
    def prepare(cls, log_q: Tensor, k: int, generator: torch.Generator) -> "Proposal":
        """Set the k largest of each row aside, and sum up the rest.

        Args:
            log_q: normalised log q(i|n), `[B, N]`.
            k: terms taken for certain, 0 to N.
            generator: breaks ties, on the device of `log_q`: where q is uniform, B_n(k) is a random set.

        Raises:
            UserError: k is out of range.
        """
        count = log_q.shape[-1]
        if not 0 <= k <= count:
            raise UserError(f"k = {k} terms cannot be the largest of N = {count}; choose k between 0 and N")
        noise = torch.rand(log_q.shape, dtype=torch.float64, device=log_q.device, generator=generator)
        head = torch.topk(log_q + TIE * noise, k, dim=-1, sorted=False).indices
        log_tail = index_log_posterior(log_q.scatter(-1, head, -math.inf))
        return cls(head, log_tail, log_tail.double().exp().cumsum(-1))

    def to(self, device: str) -> "Proposal":
        """The same on another device; generators that draw from it must be there, too."""
        return Proposal(self.head.to(device), self.log_tail.to(device), self.cumulative.to(device))

    def draw(self, samples: int, generator: torch.Generator) -> Terms:
        """The head and `samples` draws from the tail of each row, none if the head is everything.

        A draw inverts the cumulative sum by bisection: S = 0, k = 1 is the autoencoder.
        """
        if self.head.shape[-1] == self.log_tail.shape[-1]:
            samples = 0
        whole = self.cumulative[..., -1:]
        shape = (*self.head.shape[:-1], samples)
        uniform = torch.rand(shape, dtype=torch.float64, device=whole.device, generator=generator)
        # Rounding may carry the largest uniform up to the whole mass, past every index: keep it just below.
        position = torch.minimum(uniform * whole, torch.nextafter(whole, torch.zeros_like(whole)))
        tail = torch.searchsorted(self.cumulative, position, right=True)
        return Terms(self.head, tail, self.log_tail.gather(-1, tail))


def choose_terms(log_q: Tensor, k: int, samples: int, generator: torch.Generator) -> Terms:
    """The k largest terms and `samples` draws from the rest, chosen once (:class:`Proposal`)."""
    return Proposal.prepare(log_q, k, generator).draw(samples, generator)


def mapa_bound(log_likelihood: Tensor, terms: Terms, count: int) -> Tensor:
    """log [sum_{i in head} p(x_n|f(g(x_i))) + (1/S) sum_{i in tail} p(x_n|f(g(x_i))) / q~(i|n)] - log N.

    Equations 10 and 29, where S counts the samples that were drawn. The bracket is an unbiased estimate of
    the sum over all i, so the bound's mean is at most the empiricalised log p(x_n), and equals it for k = N.

    Args:
        log_likelihood: log p(x_n|f(g(x_i))) at the terms' indices, `[..., B, k + S]`.
        terms: from :func:`choose_terms`.
        count: N.

    Returns:
        `[..., B]`, in nats.
    """
    return log_sum_exp(log_likelihood + terms.log_weights, -1) - math.log(count)
