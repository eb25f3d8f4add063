"""Exponential-family VAEs with discrete codes z, computed exactly by enumerating the codes.

p(x|z) = h(x) exp(<nu(x), f(z)> - A(f(z))),  q(z|x) = h'(z) exp(<psi(z), g(x)> - B(g(x)))    (efvae, eq. 4)

psi(z) of all K codes is a matrix `[K, T]`, exp B a sum over its rows. All values are in nats.
"""

import itertools
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from elbogap.densities import categorical_kl, log_softmax, log_sum_exp, standard_gaussian_log_density

CERTAIN = 3.0  # absolute logit of the bits at which the search for factorised posteriors starts, beside 0


class ExponentialFamily(ABC):
    """p(x; f) = h(x) exp(<nu(x), f> - size(x) A(f)), by default with nu(x) = x, h(x) = 1 and size(x) = 1.

    x `[..., D]` may be the sum of `size(x)` draws, such as the words of a document.
    """

    def statistics(self, x: Tensor) -> Tensor:
        """nu(x), `[..., S]`."""
        return x

    def log_base(self, x: Tensor) -> Tensor:
        """log h(x), `[...]`."""
        return torch.zeros_like(x[..., 0])

    @abstractmethod
    def log_partition(self, natural: Tensor) -> Tensor:
        """A of one draw, `[..., S]` to `[...]`."""

    def size(self, x: Tensor) -> Tensor:
        """How many draws x sums up, `[...]`."""
        return torch.ones_like(x[..., 0])


@dataclass(frozen=True)
class Gaussian(ExponentialFamily):
    """N(x; f, variance I) with nu(x) = x / variance, so that the natural parameter f is the mean."""

    variance: float

    def statistics(self, x: Tensor) -> Tensor:
        """x / variance."""
        return x / self.variance

    def log_base(self, x: Tensor) -> Tensor:
        """log N(x; 0, variance I)."""
        log_scales = 0.5 * x.shape[-1] * math.log(self.variance)
        return standard_gaussian_log_density(x / math.sqrt(self.variance)) - log_scales

    def log_partition(self, natural: Tensor) -> Tensor:
        """|f|^2 / (2 variance)."""
        return natural.square().sum(-1) / (2 * self.variance)


@dataclass(frozen=True)
class Binary(ExponentialFamily):
    """Independent coordinates in {low, 1}: Bernoulli variables for `low` = 0, spins for -1."""

    low: float = 0.0

    def log_partition(self, natural: Tensor) -> Tensor:
        """sum_d log(exp(low f_d) + exp(f_d))."""
        return torch.logaddexp(self.low * natural, natural).sum(-1)


class Multinomial(ExponentialFamily):
    """Counts of D words in a document of l words, given l (eq. 13), with logits f; categorical for l = 1."""

    def log_base(self, x: Tensor) -> Tensor:
        """log(l! / prod_d x_d!)."""
        return torch.lgamma(x.sum(-1) + 1) - torch.lgamma(x + 1).sum(-1)

    def log_partition(self, natural: Tensor) -> Tensor:
        """log sum_d exp f_d."""
        return natural.logsumexp(-1)

    def size(self, x: Tensor) -> Tensor:
        """l = sum_d x_d."""
        return x.sum(-1)


def pairwise_log_density(family: ExponentialFamily, x: Tensor, natural: Tensor) -> Tensor:
    """log h(x_b) + <nu(x_b), f_k> - size(x_b) A(f_k), `[..., B, K]`, x `[..., B, D]`, f `[..., K, S]`."""
    inner = family.statistics(x) @ natural.mT
    partition = family.size(x).unsqueeze(-1) * family.log_partition(natural).unsqueeze(-2)
    return family.log_base(x).unsqueeze(-1) + inner - partition


def binary_codes(length: int, low: float = 0.0, dtype: torch.dtype = torch.float64) -> Tensor:
    """All codes of {low, 1}^L, `[2^L, L]`; the last coordinate changes fastest."""
    return torch.tensor(list(itertools.product((low, 1.0), repeat=length)), dtype=dtype)


def log_encoder(natural: Tensor, statistics: Tensor, log_base: Tensor | float = 0.0) -> Tensor:
    """log q(z_k|x_b) = log h'(z_k) + <psi(z_k), g(x_b)> - B(g(x_b)) (eq. 4b), `[..., B, K]`.

    `natural` is g(x) `[..., B, T]`, `statistics` psi of all codes `[K, T]`, `log_base` log h' `[K]`.
    """
    return log_softmax(natural @ statistics.mT + log_base, -1)


@dataclass(frozen=True)
class Bound:
    """log p(x) = ELBO + gap (eq. 1b) of each x, `[..., B]`, and log p(z|x), `[..., B, K]`.

    The ELBO is sum_z q(z|x) [log p(x, z) - log q(z|x)]. The gap KL(q(z|x) || p(z|x)) is summed from
    log-ratios, and so is accurate even far below the ELBO's rounding error.
    """

    log_evidence: Tensor
    elbo: Tensor
    gap: Tensor
    log_posterior: Tensor


def enumerated(log_joint: Tensor, log_q: Tensor) -> Bound:
    """The :class:`Bound` from log p(x, z) and log q(z|x), both `[..., B, K]`."""
    log_evidence = log_sum_exp(log_joint, -1)
    log_posterior = log_joint - log_evidence.unsqueeze(-1)
    gap = categorical_kl(log_q, log_posterior)
    return Bound(log_evidence, log_evidence - gap, gap, log_posterior)


def best_factorised(log_joint: Tensor, bits: Tensor, sweeps: int = 50) -> Tensor:
    """log q(z) `[..., K]` of the factorised q of largest ELBO for each x; no factorised encoder exceeds it.

    `log_joint` is log p(x, z) `[..., K]` of the codes `bits` in {0, 1}, `[K, L]`. Coordinate ascent,
    log q_j(1) / q_j(0) = E_{q of the others} log [p(x, z_j = 1) / p(x, z_j = 0)], with `sweeps` updates of
    each bit, from a q near each code and from the uniform one; the best end is returned, without gradient.
    The ELBO has local optima: that this end is the global one is tested for two bits, but not proven.
    """
    with torch.no_grad():
        bits = bits.to(log_joint)
        signs = 2 * bits - 1
        starts = CERTAIN * torch.cat([signs, torch.zeros_like(signs[:1])])
        logits = starts.view(len(starts), *[1] * (log_joint.ndim - 1), bits.shape[1])
        logits = logits.repeat(1, *log_joint.shape[:-1], 1)
        pulls = [2 * sign * log_joint for sign in signs.mT]
        for _ in range(sweeps):
            for j, pull in enumerate(pulls):
                logits[..., j] = 0  # a fair bit, with probability 1/2 of either value: hence the 2 above
                logits[..., j] = (_log_bits(logits, bits).exp() * pull).sum(-1)
        log_q = _log_bits(logits, bits)
        elbo = (log_q.exp() * (log_joint - log_q)).sum(-1)
        best = elbo.argmax(0)[None, ..., None].expand(1, *log_joint.shape)
        return log_q.gather(0, best).squeeze(0)


def _log_bits(logits: Tensor, bits: Tensor) -> Tensor:
    """sum_j log q_j(z_j) of independent bits, `[..., L]` to `[..., K]`."""
    return logits @ bits.mT + functional.logsigmoid(-logits).sum(-1, keepdim=True)


@dataclass(frozen=True)
class Harmonium:
    """EF-Harmonium (Welling et al. 2005; eq. 7): the joint models with p(z|x) exactly in the encoder family.

    p(x, z) = c h(x) h'(z) exp(nu(x)^T W psi(z) + a^T nu(x) + b^T psi(z))

    With Gaussian or Bernoulli x and binary codes it is a restricted Boltzmann machine. For a multinomial x it
    is conditional on the number of words. `observed` is the family of x, `statistics` psi of all codes
    `[K, T]`, `interaction` W `[..., S, T]`, `observed_bias` a `[..., S]`, `code_bias` b `[..., T]`, and
    `log_base` log h' of all codes `[K]`.
    """

    observed: ExponentialFamily
    statistics: Tensor
    interaction: Tensor
    observed_bias: Tensor
    code_bias: Tensor
    log_base: Tensor | float = 0.0

    def decoder(self) -> Tensor:
        """f(z) = W psi(z) + a of all codes (eq. 5), `[..., K, S]`."""
        return self.statistics @ self.interaction.mT + self.observed_bias.unsqueeze(-2)

    def encoder(self, x: Tensor) -> Tensor:
        """g(x) = W^T nu(x) + b (eq. 6), `[..., B, D]` to `[..., B, T]`."""
        return self.observed.statistics(x) @ self.interaction + self.code_bias.unsqueeze(-2)

    def log_prior(self, size: Tensor) -> Tensor:
        """log p(z) = log h'(z) + b^T psi(z) + size A(f(z)) + log c, `[..., B]` to `[..., B, K]`.

        W, a and b determine it: the integral of h(x) exp(<nu(x), f(z)>) over x is exp(size A(f(z))).
        """
        partition = self.observed.log_partition(self.decoder()).unsqueeze(-2)
        bias = (self.statistics @ self.code_bias.unsqueeze(-1)).mT + self.log_base
        return log_softmax(size.unsqueeze(-1) * partition + bias, -1)

    def log_joint(self, x: Tensor) -> Tensor:
        """log p(x, z), normalised, `[..., B, D]` to `[..., B, K]`."""
        log_prior = self.log_prior(self.observed.size(x))
        return log_prior + pairwise_log_density(self.observed, x, self.decoder())
