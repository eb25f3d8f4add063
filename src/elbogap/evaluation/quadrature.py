"""Exact log p(x) and p(z|x) for a one-dimensional latent z ~ N(0, 1): the oracle for all estimates.

p(x) = int p(x|z) N(z; 0, 1) dz is computed in float64 on Gauss-Lobatto panels, which are halved where the
integrand of some x still changes: a step or kink (ReLU) of the decoder then costs a few panels, while
equidistant nodes would have to be fine everywhere. All x share the nodes, at which the decoder is evaluated
once.

An integral that no longer changes may still miss a posterior mode narrower than the node spacing. Three
checks exclude that. They assume that l(x, f) = log p(x|f) is concave in the decoder's outputs f, and that the
Jensen gap between two outputs is the same for all x,

    gap(f, g) = 2 l(x, (f + g) / 2) - l(x, f) - l(x, g),

as for exponential families: |f - g|^2 / (4 sigma^2) for a Gaussian of fixed variance.

1. The polyline through the outputs at the nodes is within half a standard deviation of the decoder's curve
   (gap 1/16).
2. Concavity gives l(x, .) <= max(l(x, f), l(x, g)) + gap(f, g) on the segment from f to g. Where neighbouring
   outputs are more than two standard deviations apart (gap 1), the mass under this bound matters for no x.
3. For an x that lies r standard deviations off the curve, a bend of the curve by one standard deviation
   counts r nats, which the first check ignores. For the 32 x with the lowest peaks, the lines through
   neighbouring nodes are therefore extended, which bounds a log-integrand that is concave there; the mass
   under a line that rises by more than 3 nats must not matter.

Not seen are excursions of the decoder that begin and end between neighbouring nodes of the first panels, at
most 0.0052 units of z apart; a step within 1e-12 units counts as a discontinuity. Where the likelihood breaks
the assumptions, the bounds are estimates.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from elbogap.densities import standard_gaussian_log_density
from elbogap.errors import Unresolved

ORDER = 10  # nodes per panel
PER_UNIT = 8  # panels per unit of z to begin with
TOLERANCE = 1e-10  # change of p(x) by halving one panel, relative to p(x), that does not matter
TRACED = 1 / 16  # gap between the decoder's curve and its polyline: half a standard deviation
APART = 1.0  # gap between neighbouring outputs: two standard deviations, between which no mode can hide
RISE = 3.0  # nats by which a log-integrand may rise between two nodes and still be seen from them
REMOTE = 32  # observations for which the third check is made
JUMP = 1e-12  # width in z below which a step of the decoder counts as a discontinuity
ROUNDS = 60  # halvings in a row
MOST_PANELS = 2**18
MOST_TERMS = 2**20  # log-densities held in memory at once, small enough for fast caches

Decoder = Callable[[Tensor], Tensor]
"""Maps z `[Q, 1]` to what the likelihood needs, `[Q, ...]`; it is given float64."""

PairwiseLogLikelihood = Callable[[Tensor, Tensor], Tensor]
"""Maps x `[B, D]` and decoder outputs `[Q, ...]` to log p(x_b|z_q) `[B, Q]`, e.g. a partial application of
`elbogap.densities.pairwise_gaussian_log_density` or `pairwise_bernoulli_log_likelihood` itself."""


@dataclass(frozen=True)
class Panels:
    """Gauss-Lobatto panels on the latent line: left and right ends `[P]` in float64, and nodes per panel."""

    left: Tensor
    right: Tensor
    order: int

    def __len__(self) -> int:
        """The number P of panels."""
        return len(self.left)

    @classmethod
    def uniform(cls, bound: float, count: int, order: int) -> "Panels":
        """`count` equal panels that cover [-bound, bound]."""
        edges = torch.linspace(-bound, bound, count + 1, dtype=torch.float64)
        return cls(edges[:-1], edges[1:], order)

    @property
    def width(self) -> Tensor:
        """Of each panel, `[P]`."""
        return self.right - self.left

    def nodes(self) -> tuple[Tensor, Tensor]:
        """Nodes z `[P order, 1]` and log-weights that include the prior, log w + log N(z; 0, 1)."""
        points, weights = _lobatto(self.order)
        half = 0.5 * self.width
        z = (0.5 * (self.left + self.right)[:, None] + half[:, None] * points).reshape(-1, 1)
        log_width = (half[:, None] * weights).log().reshape(-1)
        return z, log_width + standard_gaussian_log_density(z)

    def halved(self) -> "Panels":
        """Twice as many panels, halves side by side: panel p becomes 2 p and 2 p + 1."""
        middle = 0.5 * (self.left + self.right)
        left, right = (torch.stack(ends, 1).flatten() for ends in ((self.left, middle), (middle, self.right)))
        return Panels(left, right, self.order)

    def __getitem__(self, selected: Tensor | slice) -> "Panels":
        """The panels of a mask, of indices or of a slice."""
        return Panels(self.left[selected], self.right[selected], self.order)

    def joined(self, others: "Panels") -> "Panels":
        """These panels and others of the same order."""
        return Panels(torch.cat([self.left, others.left]), torch.cat([self.right, others.right]), self.order)


@torch.no_grad()
def adapted_panels(
    decoder: Decoder, log_likelihood: PairwiseLogLikelihood, x: Tensor, bound: float = 10.0, block: int = 1024
) -> Panels:
    """Panels on which int p(x|z) N(z; 0, 1) dz is settled for every x `[N, D]`, `block` of them at a time.

    A panel is halved, at most `ROUNDS` times, while its two halves differ from the whole by more than 1e-10
    p(x) for any x, or while a mode that matters can hide between nodes (module docstring). The halves are
    kept, whose error is far smaller than that difference. The panels cover [-bound, bound], all but e^-52 of
    N(0, 1) for 10; it is doubled while the integrand of some x has not decayed there. Unresolved if the
    integrand does not settle, or is not finite.
    """
    x = x.double()
    log_terms_of = partial(_log_terms, decoder, log_likelihood, block=block)
    first_panels = Panels.uniform(bound, math.ceil(2 * PER_UNIT * bound), ORDER)
    waiting = _traced(decoder, log_likelihood, x[:1], first_panels)
    settled = waiting[:0]
    pairs = [(terms.logsumexp(-1), terms.amax((1, 2))) for terms in log_terms_of(x, waiting)]
    whole, peaks = map(torch.cat, zip(*pairs, strict=True))
    remote = peaks.argsort(stable=True)[:REMOTE]
    log_settled = torch.full((len(x),), -math.inf, dtype=torch.float64)
    for _ in range(ROUNDS):
        halves = waiting.halved()
        change = torch.zeros(len(waiting), dtype=torch.float64)
        first, rise, excess = _hiding_places(decoder, log_likelihood, x[:1], halves)
        hidden = torch.full_like(rise, -math.inf)
        fine, totals, start = [], [], 0
        for terms in log_terms_of(x, halves):
            parts = torch.logsumexp(terms, -1)
            rows = slice(start, start := start + len(parts))
            terms = terms.flatten(1)
            seen = torch.logsumexp(parts if len(first) == 0 else terms - excess, 1)
            total = torch.logaddexp(log_settled[rows], seen)[:, None]
            fraction = (parts.unflatten(1, (-1, 2)).logsumexp(-1) - total).exp_()
            before = (whole[rows] - total).clamp_(max=100).exp_()
            change = torch.maximum(change, (fraction - before).abs_().amax(0))
            higher = torch.maximum(terms[:, first], terms[:, first + 1])
            hidden = torch.maximum(hidden, (higher - total).amax(0) + rise)
            fine.append(parts)
            totals.append(total)
        if not change.isfinite().all():
            raise Unresolved(
                "quadrature: the decoder or likelihood is not finite; check the weights and the data"
            )
        done = change <= TOLERANCE
        done[first[hidden > math.log(TOLERANCE)] // (2 * ORDER)] = False
        steep = _mass_under_lines(torch.cat([*log_terms_of(x[remote], halves)]), halves)
        steep = steep - torch.cat(totals)[remote] > math.log(TOLERANCE)
        done &= ~steep.any(0).unflatten(0, (-1, 2)).any(1)
        kept = done.repeat_interleave(2)
        whole = torch.cat(fine)
        log_settled = torch.logaddexp(log_settled, torch.logsumexp(whole[:, kept], 1))
        settled = settled.joined(halves[kept])
        if done.all():
            break
        waiting, whole = halves[~kept], whole[:, ~kept]
        refuse_too_many(len(settled) + 2 * len(waiting))
    else:
        raise Unresolved(f"quadrature did not settle in {ROUNDS} halvings; the decoder varies too fast")
    ends = torch.tensor([[-bound], [bound]], dtype=torch.float64)
    for part, log_p in zip(x.split(block), log_settled.split(block), strict=True):
        if (log_posterior(ends, decoder, log_likelihood, part, log_p) > math.log(TOLERANCE)).any():
            return adapted_panels(decoder, log_likelihood, x, bound=2 * bound, block=block)
    return settled


@torch.no_grad()
def log_evidence(
    decoder: Decoder, log_likelihood: PairwiseLogLikelihood, x: Tensor, panels: Panels, block: int = 1024
) -> Tensor:
    """log p(x) = log int p(x|z) N(z; 0, 1) dz in nats, `[N, D]` to `[N]`, `block` observations at a time."""
    terms = _log_terms(decoder, log_likelihood, x.double(), panels, block)
    return torch.cat([torch.logsumexp(values, (1, 2)) for values in terms])


@torch.no_grad()
def log_posterior(
    z: Tensor, decoder: Decoder, log_likelihood: PairwiseLogLikelihood, x: Tensor, log_p: Tensor
) -> Tensor:
    """log p(z|x) = log p(x|z) + log N(z; 0, 1) - log p(x), the posterior density (document mapa, eq. 41).

    For latent values `[Q, 1]`, observations `[N, D]` and their log p(x) `[N]`: `[N, Q]`, nats per unit of z.
    """
    likelihood = log_likelihood(x.double(), decoder(z.double()))
    return likelihood + standard_gaussian_log_density(z.double()) - log_p[:, None]


def _log_terms(
    decoder: Decoder, log_likelihood: PairwiseLogLikelihood, x: Tensor, panels: Panels, block: int
) -> Iterator[Tensor]:
    """Logarithms of the quadrature's terms, `[B, P, order]` for one block of observations after the other."""
    z, log_weights = panels.nodes()
    outputs = decoder(z)
    for rows in x.split(max(1, min(block, MOST_TERMS // len(z)))):
        log_terms = log_likelihood(rows, outputs) + log_weights
        yield log_terms.unflatten(1, (-1, panels.order))


def halve_while(rough: Callable[[Panels], Tensor], panels: Panels) -> Panels:
    """Panels, halved until none is rough by a mask `[P]`; `Unresolved` after `ROUNDS` halvings in a row."""
    settled = panels[:0]
    for _ in range(ROUNDS + 1):
        halving = rough(panels)
        settled, panels = settled.joined(panels[~halving]), panels[halving].halved()
        if len(panels) == 0:
            return settled
        refuse_too_many(len(settled) + len(panels))
    raise Unresolved(f"quadrature did not settle in {ROUNDS} halvings; the decoder varies too fast")


def _traced(
    decoder: Decoder, log_likelihood: PairwiseLogLikelihood, anchor: Tensor, panels: Panels
) -> Panels:
    """Halve panels until the decoder's outputs at the quarters' nodes are on the polyline (first check)."""
    points = _lobatto(panels.order)[0].numpy()
    between = np.concatenate([(points + shift) / 4 for shift in (-3, -1, 1, 3)])
    chords = torch.from_numpy(np.stack([np.interp(between, points, unit) for unit in np.eye(len(points))], 1))

    def rough(panels: Panels) -> Tensor:
        coarse = decoder(panels.nodes()[0]).double().unflatten(0, (len(panels), -1))
        fine = decoder(panels.halved().halved().nodes()[0]).double()
        polyline = (chords @ coarse.flatten(2)).view_as(fine)
        gap = jensen_gap(log_likelihood, anchor, fine, polyline).unflatten(0, (len(panels), -1))
        return (gap > TRACED).any(1) & (panels.width > JUMP)

    return halve_while(rough, panels)


def _hiding_places(
    decoder: Decoder, log_likelihood: PairwiseLogLikelihood, anchor: Tensor, panels: Panels
) -> tuple[Tensor, Tensor, Tensor]:
    """Neighbouring nodes between which a mode can hide (second check): index of the left one, `[K]`.

    Also how far the logarithm of the mass between them can exceed the larger of their two terms, `[K]`, and
    how far that of each node's term can exceed the mass around it, `[P order]`: the node may be on top of a
    mode exp(-2 gap t^2), t the distance over the spacing, which is narrower than the node's weight.
    """
    points, weights = _lobatto(panels.order)
    outputs = decoder(panels.nodes()[0]).unflatten(0, (len(panels), -1))
    gap = jensen_gap(log_likelihood, anchor, outputs[:, :-1].flatten(0, 1), outputs[:, 1:].flatten(0, 1))
    gap = gap.unflatten(0, (len(panels), -1))
    panel, pair = ((gap > APART) & (panels.width > JUMP)[:, None]).nonzero().unbind(1)
    per_weight = points.diff() / torch.minimum(weights[:-1], weights[1:])
    around = torch.maximum(functional.pad(gap, (0, 1)), functional.pad(gap, (1, 0)))
    excess = 0.5 * (around * 2 / math.pi).clamp(min=1).log()
    return panel * panels.order + pair, (gap + per_weight.log())[panel, pair], excess.flatten()


def _mass_under_lines(log_terms: Tensor, panels: Panels) -> Tensor:
    """Upper bound for the logarithm of a mode's mass between two nodes of each panel (third check).

    Of the logarithms of the quadrature's terms `[K, P, order]`; `[K, P]`, -inf where no line rises by more
    than `RISE` nats.
    """
    points, weights = _lobatto(panels.order)
    half = 0.5 * panels.width
    height = log_terms - weights.log() - half.log()[:, None]
    spacing = points.diff()
    slope = height.diff() / spacing
    line = torch.full_like(slope, -math.inf)
    line[..., 1:] = height[..., 1:-1] + slope[..., :-1] * spacing[1:]
    line[..., :-1] = torch.maximum(line[..., :-1], height[..., 1:-1] - slope[..., 1:] * spacing[:-1])
    hides = line - torch.maximum(height[..., 1:], height[..., :-1]) > RISE
    hides &= (panels.width > JUMP)[:, None]
    mass = (line + spacing.log()).where(hides, -math.inf).amax(-1)
    return mass + half.log()


def jensen_gap(log_likelihood: PairwiseLogLikelihood, anchor: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """2 l(x, (f + g) / 2) - l(x, f) - l(x, g) for outputs f and g `[Q, ...]` and one x `[1, D]`, `[Q]`."""
    middle, *ends = (log_likelihood(anchor, outputs)[0] for outputs in ((left + right) / 2, left, right))
    return 2 * middle - ends[0] - ends[1]


def refuse_too_many(panels: int) -> None:
    """Raise `Unresolved` for more than `MOST_PANELS` panels, which would exhaust memory."""
    if panels > MOST_PANELS:
        raise Unresolved(
            f"quadrature needs more than {MOST_PANELS} panels: the decoder varies too fast for this noise; "
            "check its weights, or raise the variance"
        )


def _lobatto(order: int) -> tuple[Tensor, Tensor]:
    """Nodes -1, 1 and the roots of P'_{n-1} with weights 2 / (n (n - 1) P_{n-1}^2), n = order."""
    legendre = np.polynomial.Legendre.basis(order - 1)
    points = np.concatenate([[-1.0], np.sort(legendre.deriv().roots().real), [1.0]])
    return torch.from_numpy(points), torch.from_numpy(2 / (order * (order - 1) * legendre(points) ** 2))
