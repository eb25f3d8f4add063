"""Likelihoods p(x|z) for MAPA, each with the kernel that it takes between observations.

MAPA's kernel is the likelihood with an observation x_i in the place of its decoded code,
k(x_n|x_i) = p(x_n|x_i) (document mapa, appendix B.2). x_i is noisy, so that the kernel is too narrow, the
more so the more dimensions there are. A tempered kernel is k(x_n|x_i)^(1/c): a Gaussian one has variance
c sigma^2. The kernel of x_n with itself has no noise at all, and counts as much as the largest other.
"""

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from elbogap.densities import (
    bernoulli_log_likelihood,
    categorical_kl,
    log_softmax,
    log_sum_exp,
    pairwise_bernoulli_log_likelihood,
    pairwise_gaussian_log_density,
    softmax,
)
from elbogap.errors import UserError


@dataclass(frozen=True)
class Kernel(ABC):
    """A likelihood p(x|z) of x `[..., D]` and its kernel, tempered by c (`scale`)."""

    scale: float = dataclasses.field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        """UserError if the scale is not a positive number."""
        if not 0 < self.scale < math.inf:
            raise UserError(f"the scale c of a kernel is a positive number, not {self.scale}")

    @abstractmethod
    def log_likelihood(self, x: Tensor, decoded: Tensor) -> Tensor:
        """log p(x_b|z_u) of all pairs in nats, `[B, D]` and a decoder's outputs `[U, D]` to `[B, U]`."""

    @abstractmethod
    def log_kernel(self, x: Tensor, others: Tensor) -> Tensor:
        """log k(x|x_i) in nats, normalised over x for c = 1, `[..., D]` and `[..., D]` to `[...]`."""

    @abstractmethod
    def link(self, mean: Tensor) -> Tensor:
        """A decoder's output for the mean of x, `[..., D]`."""

    @abstractmethod
    def draw(self, decoded: Tensor, generator: torch.Generator) -> Tensor:
        """Draws of p(x|z), `[..., D]`."""

    def tempered(self, scale: float) -> Self:
        """The same with another c."""
        return dataclasses.replace(self, scale=scale)


@dataclass(frozen=True)
class Gaussian(Kernel):
    """p(x|z) = N(x; f(z), sigma^2 I); k is N(x; x_i, c sigma^2 I), normalised for every c."""

    variance: float

    def log_likelihood(self, x: Tensor, decoded: Tensor) -> Tensor:
        """log N(x_b; f(z_u), sigma^2 I)."""
        return pairwise_gaussian_log_density(x, decoded, self.variance)

    def log_kernel(self, x: Tensor, others: Tensor) -> Tensor:
        """log N(x; x_i, c sigma^2 I)."""
        variance = self.scale * self.variance
        squares = (x - others).square().sum(-1)
        return -0.5 * (squares / variance + x.shape[-1] * math.log(2 * math.pi * variance))

    def link(self, mean: Tensor) -> Tensor:
        """The mean itself."""
        return mean

    def draw(self, decoded: Tensor, generator: torch.Generator) -> Tensor:
        """f(z) + sigma e."""
        noise = torch.randn(decoded.shape, generator=generator, dtype=decoded.dtype)
        return decoded + self.variance**0.5 * noise


@dataclass(frozen=True)
class Bernoulli(Kernel):
    """p(x|z) = prod_d Bernoulli(x_d; sigmoid f_d(z)); k has the probability rho that x_d = x_id.

    Equation 21, which softens ones alone, made symmetric: log k(x|x_i) = sum_d log [rho if x_d = x_id, else
    1 - rho]. c divides the log-odds of rho, and k stays normalised.
    """

    agreement: float = 0.9

    def __post_init__(self) -> None:
        """UserError if rho is not from 1/2 to 1, or c not a positive number."""
        super().__post_init__()
        if not 0.5 < self.agreement < 1:
            raise UserError(f"the probability that pixels agree is between 0.5 and 1, not {self.agreement}")

    @property
    def _log_odds(self) -> float:
        return math.log(self.agreement / (1 - self.agreement)) / self.scale

    def log_likelihood(self, x: Tensor, decoded: Tensor) -> Tensor:
        """sum_d [x_d l_d - log(1 + exp l_d)] of logits l."""
        return pairwise_bernoulli_log_likelihood(x, decoded)

    def log_kernel(self, x: Tensor, others: Tensor) -> Tensor:
        """sum_d [x_d l_d - log(1 + exp l_d)], l_d = (2 x_id - 1) log [rho / (1 - rho)] / c."""
        return bernoulli_log_likelihood(x, self._log_odds * (2 * others - 1))

    def link(self, mean: Tensor) -> Tensor:
        """The log-odds, of means between 1 - rho and rho."""
        return mean.clamp(1 - self.agreement, self.agreement).logit()

    def draw(self, decoded: Tensor, generator: torch.Generator) -> Tensor:
        """Zeros and ones."""
        return torch.bernoulli(decoded.sigmoid(), generator=generator)


@dataclass(frozen=True)
class ContinuousBernoulli(Bernoulli):
    """As :class:`Bernoulli`, for x in [0, 1] and with the normalising constants of densities on it.

    p(x) = C(l) exp(x l) / (1 + exp l), C(l) = l / tanh(l / 2) (Loaiza-Ganem and Cunningham 2019).
    """

    def log_likelihood(self, x: Tensor, decoded: Tensor) -> Tensor:
        """The Bernoulli's and sum_d log C(l_d)."""
        return super().log_likelihood(x, decoded) + _log_normaliser(decoded).sum(-1)

    def log_kernel(self, x: Tensor, others: Tensor) -> Tensor:
        """The Bernoulli's and sum_d log C."""
        logits = self._log_odds * (2 * others - 1)
        return super().log_kernel(x, others) + _log_normaliser(logits).sum(-1)

    def draw(self, decoded: Tensor, generator: torch.Generator) -> Tensor:
        """By inversion: x = log(1 + u (exp l - 1)) / l."""
        uniform = torch.rand(decoded.shape, generator=generator, dtype=decoded.dtype)
        logits = torch.where(decoded.abs() < 1e-3, 1e-3, decoded)
        up = functional.softplus(logits + torch.logit(uniform)) - functional.softplus(torch.logit(uniform))
        return (up / logits).clamp(0, 1)


def _log_normaliser(logits: Tensor) -> Tensor:
    """log [l / tanh(l / 2)], log 2 + l^2 / 12 near 0."""
    small = logits.abs() < 1e-2
    safe = torch.where(small, 1.0, logits)
    return torch.where(small, math.log(2) + logits.square() / 12, torch.log(safe / torch.tanh(safe / 2)))


AnyKernel = TypeVar("AnyKernel", bound=Kernel)


def log_kernels(kernel: Kernel, x: Tensor) -> Tensor:
    """log k(x_n|x_i) of all pairs of x `[N, D]`, `[N, N]`; that of x_n with itself is -inf."""
    log_k = x.new_empty(
        len(x), len(x)
    )  # at once: rows between large temporary tensors would pin their memory
    for row, observation in zip(log_k, x, strict=True):
        row.copy_(kernel.log_kernel(observation, x))
    return log_k.fill_diagonal_(-math.inf)


def leave_one_out(log_k: Tensor) -> float:
    """Mean over n of log (1/(N - 1)) sum_{i != n} k(x_n|x_i) in nats, from :func:`log_kernels`."""
    return float((log_sum_exp(log_k, -1) - math.log(len(log_k) - 1)).mean())


def with_own(log_k: Tensor) -> Tensor:
    """log k with the largest of each row on the diagonal: x_n tells of its code what its nearest one does.

    The kernel of x_n with itself has no noise, and would in many dimensions outweigh all others.
    """
    own = torch.eye(len(log_k), dtype=torch.bool)
    return torch.where(own, log_k.amax(-1, keepdim=True), log_k)


def bootstrap_divergences(
    kernel: Kernel, x: Tensor, scales: Sequence[float], generator: torch.Generator
) -> list[float]:
    """For each c an estimate of the mean of KL(p || q) in nats by a parametric bootstrap, without training.

    The pilot model decodes code i to the mean of x `[N, D]` under q(.|i) of the largest c, x_i left out. New
    observations x' are drawn from it, so that their posteriors p(i|n) are known, and q(i|n) is made of x'.
    """
    pilot = log_kernels(kernel.tempered(max(scales)), x)
    decoded = kernel.link(softmax(pilot, -1) @ x)
    again = kernel.draw(decoded, generator)
    log_p = log_softmax(kernel.log_likelihood(again, decoded), -1)

    def divergence(scale: float) -> float:
        log_k = with_own(log_kernels(kernel.tempered(scale), again))
        return float(categorical_kl(log_p, log_softmax(log_k, -1)).mean())

    return [divergence(scale) for scale in scales]


def choose_scale(
    kernel: AnyKernel, x: Tensor, scales: Sequence[float], num_rows: int = 500, seed: int = 0
) -> AnyKernel:
    """The kernel with the c of least bootstrap divergence on some rows of x `[N, D]`.

    Offer scales up to about twice the square root of D: the largest makes the pilot model, which should
    rather smooth too much. The leave-one-out likelihood would choose c from 1 to 2 in any dimension, for it
    asks for a good density of x. UserError if there is no scale, or are fewer than three observations.
    """
    if not scales or len(x) < 3:
        raise UserError(
            f"{len(scales)} scales to choose from by {len(x)} observations: take 1 or more, by 3 or more"
        )
    generator = torch.Generator().manual_seed(seed)
    x = x[torch.randperm(len(x), generator=generator)[:num_rows]]
    found = bootstrap_divergences(kernel, x, scales, generator)
    return kernel.tempered(scales[found.index(min(found))])
