"""Exact log p(x) and p(z|x) where the latent z ~ N(0, 1) is one-dimensional: the oracle for all estimates.

p(x) = int p(x|z) N(z; 0, 1) dz is computed in float64 with Gauss-Lobatto panels that are halved where the
integrand of some x still changes. The trapezoid rule converges faster on a smooth integrand, but it must be
fine everywhere to be fine at a step: decoders here climb from plateau to plateau within 0.04 units of z or
have kinks (ReLU), where equidistant nodes converge like h or h^2, while halving costs a few panels per factor
two. Lobatto nodes include the panel's ends, so a peak or step just beside an edge is seen from both sides;
Gauss-Legendre nodes missed those. All x share one set of nodes: the decoder is evaluated once per node.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from elbogap.densities import standard_gaussian_log_density
from elbogap.errors import UserError

Decoder = Callable[[Tensor], Tensor]
"""Maps z `[Q, 1]` to what the likelihood needs, `[Q, ...]`; it is given float64."""

PairwiseLogLikelihood = Callable[[Tensor, Tensor], Tensor]
"""Maps x `[B, D]` and decoder outputs `[Q, ...]` to log p(x_b|z_q) `[B, Q]`, e.g. a partial application of
`elbogap.densities.pairwise_gaussian_log_density` or `pairwise_bernoulli_log_likelihood` itself."""


@dataclass(frozen=True)
class Panels:
    """Gauss-Lobatto panels on the latent line.

    Attributes:
        left: left ends `[P]`, float64.
        right: right ends `[P]`.
        order: nodes per panel.
    """

    left: Tensor
    right: Tensor
    order: int

    @classmethod
    def uniform(cls, bound: float, count: int, order: int) -> "Panels":
        """`count` equal panels that cover [-bound, bound]."""
        edges = torch.linspace(-bound, bound, count + 1, dtype=torch.float64)
        return cls(edges[:-1], edges[1:], order)

    def nodes(self) -> tuple[Tensor, Tensor]:
        """Nodes z `[P order, 1]` and log-weights that include the prior, log w + log N(z; 0, 1)."""
        points, weights = _lobatto(self.order)
        half = 0.5 * (self.right - self.left)
        z = (0.5 * (self.left + self.right)[:, None] + half[:, None] * points).reshape(-1, 1)
        log_width = (half[:, None] * weights).log().reshape(-1)
        return z, log_width + standard_gaussian_log_density(z)

    def halved(self) -> "Panels":
        """Twice as many panels, halves side by side: panel p becomes 2 p and 2 p + 1."""
        middle = 0.5 * (self.left + self.right)
        left, right = (torch.stack(ends, 1).flatten() for ends in ((self.left, middle), (middle, self.right)))
        return Panels(left, right, self.order)

    def __getitem__(self, selected: Tensor) -> "Panels":
        """The panels of a mask or of indices."""
        return Panels(self.left[selected], self.right[selected], self.order)

    def joined(self, others: "Panels") -> "Panels":
        """These panels and others of the same order."""
        return Panels(torch.cat([self.left, others.left]), torch.cat([self.right, others.right]), self.order)


def adapted_panels(
    decoder: Decoder,
    log_likelihood: PairwiseLogLikelihood,
    x: Tensor,
    *,
    tolerance: float = 1e-10,
    bound: float = 10.0,
    initial: int = 160,
    order: int = 10,
    rounds: int = 60,
    block: int = 1024,
) -> Panels:
    """Panels on which int p(x|z) N(z; 0, 1) dz is settled for every given x.

    A mode of the posterior that is far narrower than the first panels' node spacing (steep decoders with
    little noise, |f'| / sigma above some 500) can lie between nodes and be missed; raise `initial` there.

    A panel is halved while its two halves differ from the whole by more than `tolerance` p(x) for any x; what
    is kept are the halves, whose error is far smaller than that difference.

    Args:
        decoder: see :data:`Decoder`.
        log_likelihood: see :data:`PairwiseLogLikelihood`.
        x: observations `[N, D]`.
        tolerance: largest change per panel, relative to p(x).
        bound: the panels cover [-bound, bound]; N(0, 1) leaves e^-52 outside of 10.
        initial: panels to begin with.
        order: nodes per panel.
        rounds: most halvings in a row; a panel is then 2^-rounds of its first width.
        block: observations held in memory at once.

    Raises:
        UserError: the integrand does not settle within `rounds`, or is not finite.
    """
    x = x.double()
    waiting, settled = Panels.uniform(bound, initial, order), None
    log_settled = torch.full((len(x),), -math.inf, dtype=torch.float64)
    for _ in range(rounds):
        halves = waiting.halved()
        whole_integrals = _log_integrals(decoder, log_likelihood, x, waiting, block)
        half_integrals = _log_integrals(decoder, log_likelihood, x, halves, block)
        change = torch.zeros(len(waiting.left), dtype=torch.float64)
        fine = []
        start = 0
        for whole, both in zip(whole_integrals, half_integrals, strict=True):
            sums = torch.logsumexp(both.unflatten(1, (-1, 2)), -1)
            rows = slice(start, start := start + len(sums))
            total = torch.logaddexp(log_settled[rows], torch.logsumexp(sums, 1))[:, None]
            change = torch.maximum(change, ((sums - total).exp() - (whole - total).exp()).abs().amax(0))
            fine.append(sums)
        if not change.isfinite().all():
            raise UserError(
                "quadrature: the decoder or likelihood is not finite; check the weights and the data"
            )
        done = change <= tolerance
        log_settled = torch.logaddexp(log_settled, torch.logsumexp(torch.cat(fine)[:, done], 1))
        kept = halves[done.repeat_interleave(2)]
        settled = kept if settled is None else settled.joined(kept)
        if done.all():
            return settled
        waiting = halves[~done.repeat_interleave(2)]
    raise UserError(f"quadrature did not settle in {rounds} halvings; raise the tolerance of {tolerance:g}")


def log_evidence(
    decoder: Decoder, log_likelihood: PairwiseLogLikelihood, x: Tensor, panels: Panels, block: int = 1024
) -> Tensor:
    """log p(x) = log int p(x|z) N(z; 0, 1) dz in nats, `[N, D]` to `[N]`, `block` observations at a time."""
    integrals = _log_integrals(decoder, log_likelihood, x.double(), panels, block)
    return torch.cat([torch.logsumexp(values, 1) for values in integrals])


def log_evidence_error(
    decoder: Decoder, log_likelihood: PairwiseLogLikelihood, x: Tensor, panels: Panels, block: int = 1024
) -> Tensor:
    """|log p(x) with these panels - with twice as many|, in nats, `[N, D]` to `[N]`."""
    coarse, fine = (
        log_evidence(decoder, log_likelihood, x, each, block) for each in (panels, panels.halved())
    )
    return (coarse - fine).abs()


def log_posterior(
    z: Tensor, decoder: Decoder, log_likelihood: PairwiseLogLikelihood, x: Tensor, log_p: Tensor
) -> Tensor:
    """log p(z|x) = log p(x|z) + log N(z; 0, 1) - log p(x), the posterior density (document mapa, eq. 41).

    Args:
        z: latent values `[Q, 1]`.
        decoder: see :data:`Decoder`.
        log_likelihood: see :data:`PairwiseLogLikelihood`.
        x: observations `[N, D]`.
        log_p: log p(x) `[N]`, from :func:`log_evidence`.

    Returns:
        `[N, Q]`, nats per unit of z.
    """
    outputs = _without_gradient(decoder, z.double())
    likelihood = _without_gradient(log_likelihood, x.double(), outputs)
    return likelihood + standard_gaussian_log_density(z.double()) - log_p[:, None]


def _log_integrals(
    decoder: Decoder, log_likelihood: PairwiseLogLikelihood, x: Tensor, panels: Panels, block: int
) -> Iterator[Tensor]:
    """log of the integral over each panel, `[B, P]` for one block of observations after the other."""
    z, log_weights = panels.nodes()
    outputs = _without_gradient(decoder, z)
    for rows in x.split(block):
        log_terms = _without_gradient(log_likelihood, rows, outputs) + log_weights
        yield torch.logsumexp(log_terms.unflatten(1, (-1, panels.order)), -1)


@torch.no_grad()
def _without_gradient(function: Callable[..., Tensor], *arguments: Tensor) -> Tensor:
    return function(*arguments)


def _lobatto(order: int) -> tuple[Tensor, Tensor]:
    """Nodes -1, 1 and the roots of P'_{n-1} with weights 2 / (n (n - 1) P_{n-1}^2), n = order."""
    legendre = np.polynomial.Legendre.basis(order - 1)
    points = np.concatenate([[-1.0], np.sort(legendre.deriv().roots().real), [1.0]])
    return torch.from_numpy(points), torch.from_numpy(2 / (order * (order - 1) * legendre(points) ** 2))
