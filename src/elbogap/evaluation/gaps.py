"""The approximation gap and the amortisation gap of a Gaussian q(z|x) for a one-dimensional z ~ N(0, 1).

For q = N(m, s^2) and the posterior p(z|x) of a decoder,

    log p(x) - ELBO[q] = KL(q || p(z|x)) = approximation gap + amortisation gap,

where the approximation gap is the divergence of the best Gaussian for that x, and the amortisation gap is
what the encoder loses against it (Cremer et al. 2018, "Inference suboptimality in variational autoencoders").

Expectations under q are sums over quadrature panels that all observations share; panels are halved until they
are narrow against q and no expectation changes. Derivatives with respect to m and log s are sums over the
same nodes, weighted by polynomials in u = (z - m) / s: Newton's method needs no derivative of the decoder.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from elbogap.densities import LOG_2PI, standard_gaussian_log_density
from elbogap.errors import Unresolved
from elbogap.evaluation.quadrature import Decoder, PairwiseLogLikelihood, Panels, halve_while
from elbogap.inference.families.gaussian import DiagonalGaussian

REACH = 8.0  # q is integrated over m +- 8 s; what that leaves out weighs exp(-32) = 1e-14
TOLERANCE = 1e-7  # nats by which halving all panels may change an ELBO
WIDEST = 2.0  # panels within reach of q, in units of s: their nodes then see the Gaussian itself
ROUNDS = 40
ITERATIONS = 200
ROUNDING = 1e-13  # relative error of an ELBO that does not count as a step downhill
STATIONARY = 1e-6  # length of the gradient at which a maximum counts as found, about 1e-12 nats below it
MINOR = 1e-3  # least mass of a mode that is a start: a Gaussian inside it diverges by log 1000 = 6.9 nats
ROWS = 64  # observations per block; sorted by m, they need a short stretch of the latent line


@dataclass(frozen=True)
class Optimum:
    """The Gaussian of largest ELBO for each of N observations."""

    q: DiagonalGaussian  # with parameters [N, 1]
    elbo: Tensor  # [N], in nats
    gradient: Tensor  # length of the ELBO's in (m / s, log s), [N], in nats; 0 at an exact maximum


def gaussian_elbo(
    decoder: Decoder, log_likelihood: PairwiseLogLikelihood, x: Tensor, panels: Panels, q: DiagonalGaussian
) -> Tensor:
    """E_q log p(x|z) - KL(q || N(0, 1)) for each x and its own q, without Monte Carlo, `[N]` in nats.

    For a :data:`~elbogap.evaluation.quadrature.Decoder`, observations `[N, D]`, panels on which p(x|z) p(z)
    is settled for every x, of `quadrature.adapted_panels`, and N Gaussians with parameters `[N, 1]`.
    Unresolved if an expectation does not settle, or something is not finite.
    """
    table = _Table(decoder, log_likelihood, x.double(), panels)
    return _settled(table, torch.arange(len(x)), _coordinates(q), iterations=0)[:, 2].contiguous()


def best_gaussians(
    decoder: Decoder, log_likelihood: PairwiseLogLikelihood, x: Tensor, panels: Panels, q: DiagonalGaussian
) -> Optimum:
    """The Gaussian of least KL(q || p(z|x)) for each x on its own, by Newton's method from several starts.

    The starts are the given Gaussians, so that the optimum is no worse than they are, and Gaussians with the
    moments of the posterior and of each of its modes, a mode being what lies between two minima of the
    density. A maximum that none of them leads to would be missed. Arguments and errors are those of
    :func:`gaussian_elbo`.
    """
    table = _Table(decoder, log_likelihood, x.double(), panels)
    rows, starts = _posterior_starts(table)
    rows = torch.cat([torch.arange(len(x)), rows])
    ends = _settled(table, rows, torch.cat([_coordinates(q), starts]), ITERATIONS)
    falling = torch.argsort(ends[:, 2], descending=True, stable=True)
    _, first = np.unique(rows[falling], return_index=True)  # the largest ELBO of each observation
    mean, log_scale, elbo, gradient = ends[falling[first]].mT.contiguous()
    return Optimum(DiagonalGaussian(mean[:, None], 2 * log_scale[:, None]), elbo, gradient)


def _coordinates(q: DiagonalGaussian) -> Tensor:
    """m and log s, `[N, 2]`."""
    return torch.cat([q.mean, 0.5 * q.log_variance], 1)


def _reach(q: Tensor) -> tuple[Tensor, Tensor]:
    """m - 8 s and m + 8 s."""
    mean, scale = q[:, 0], q[:, 1].exp()
    return mean - REACH * scale, mean + REACH * scale


class _Table:
    """A decoder's outputs at the nodes of panels from left to right; the nodes' weights are without prior."""

    @torch.no_grad()
    def __init__(
        self, decoder: Decoder, log_likelihood: PairwiseLogLikelihood, x: Tensor, panels: Panels
    ) -> None:
        self.decoder, self.log_likelihood, self.x = decoder, log_likelihood, x
        self.panels = panels[torch.argsort(panels.left)]
        z, log_weight = self.panels.nodes()
        self.z, self.log_weight = z[:, 0], log_weight - standard_gaussian_log_density(z)
        self.outputs = decoder(z).double()

    def on(self, panels: Panels) -> "_Table":
        """The same on other panels."""
        return _Table(self.decoder, self.log_likelihood, self.x, panels)

    def fitted(self, q: Tensor) -> "_Table":
        """With panels out to where q has mass, ever wider ones, and halved ones where they are wide for q."""
        panels = self.panels
        low, high = _reach(q)
        first, last, width = panels.left.min(), panels.right.max(), float(panels.width.max())
        for end, beyond, sign in ((first, first - low.min(), -1), (last, high.max() - last, 1)):
            if beyond > 0:
                steps = torch.arange(2 + math.log2(1 + float(beyond) / width), dtype=torch.float64)
                edges, _ = (end + sign * width * (2**steps - 1)).sort()
                panels = panels.joined(Panels(edges[:-1], edges[1:], panels.order))

        def too_wide(panels: Panels) -> Tensor:
            reached = (panels.right > low[:, None]) & (panels.left < high[:, None])
            return (reached & (panels.width > WIDEST * q[:, 1:].exp())).any(0)

        panels = halve_while(too_wide, panels)
        return self if len(panels) == len(self.panels) else self.on(panels)

    @torch.no_grad()
    def terms(self, rows: Tensor, q: Tensor) -> Iterator[tuple[Tensor, slice, Tensor, Tensor]]:
        """The sums E_q log p(x|z) for observations `rows` under their q `[R]`, term by term.

        For Gaussians with about the same mean: their indices `[B]`, the panels that they reach, u at the
        nodes of these panels `[B, P order]`, and q(z) dz log p(x|z) there.
        """
        low, high = _reach(q)
        for part in torch.argsort(q[:, 0], stable=True).split(ROWS):
            first = int(torch.searchsorted(self.panels.right, low[part].min()))
            last = int(torch.searchsorted(self.panels.left, high[part].max()))
            nodes = slice(first * self.panels.order, last * self.panels.order)
            mean, log_s = q[part, :1], q[part, 1:]
            u = (self.z[nodes] - mean) * (-log_s).exp()
            weight = (-0.5 * (u.square() + LOG_2PI) + self.log_weight[nodes] - log_s).exp_()
            log_likelihood = self.log_likelihood(self.x[rows[part]], self.outputs[nodes])
            yield part, slice(first, last), u, weight * log_likelihood

    def expansion(self, rows: Tensor, q: Tensor) -> Tensor:
        """ELBOs and their derivatives a, b, aa, ab, bb in a = dm / s and b = d log s, `[R, 6]`."""
        power = torch.empty(len(rows), 5, dtype=torch.float64)
        for part, _, u, terms in self.terms(rows, q):
            for order in range(5):
                power[part, order] = terms.sum(1)
                terms.mul_(u)
        _refuse_not_finite(power)
        u0, u1, u2, u3, u4 = power.unbind(1)
        m, log_s = q.unbind(1)
        s = log_s.exp()
        value = [
            u0 + log_s + 0.5 * (1 - m**2 - s**2),
            u1 - m * s,
            u2 - u0 + 1 - s**2,
            u2 - u0 - s**2,
            u3 - 3 * u1,
            u4 - 4 * u2 + u0 - 2 * s**2,
        ]
        return torch.stack(value, 1)

    def by_panel(self, rows: Tensor, q: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """What every panel contributes to E_q log p(x|z): which Gaussians `[B]`, and values `[B, P]`."""
        for part, panels, _, terms in self.terms(rows, q):
            values = torch.zeros(len(part), len(self.panels), dtype=torch.float64)
            values[:, panels] = terms.unflatten(1, (-1, self.panels.order)).sum(2)
            yield part, values


def _settled(table: _Table, rows: Tensor, q: Tensor, iterations: int) -> Tensor:
    """Newton's method from each q, on panels whose halving changes no ELBO by more than the tolerance.

    Returns m, log s, the ELBO and the length of its gradient at the ends, `[R, 4]`.
    """
    _refuse_not_finite(q)
    ends = torch.cat([q, torch.full_like(q, -math.inf)], 1)
    waiting = torch.arange(len(rows))
    for _ in range(ROUNDS):
        ends[waiting], table = _ascend(table, rows[waiting], ends[waiting, :2], iterations)
        change, by_panel = _changes(table, rows[waiting], ends[waiting, :2])
        waiting = waiting[change > TOLERANCE]
        if len(waiting) == 0:
            return ends
        rough = by_panel > TOLERANCE / len(by_panel)
        table = table.on(table.panels[~rough].joined(table.panels[rough].halved()))
    raise Unresolved(
        f"gaps: expectations under q did not settle in {ROUNDS} halvings; the decoder varies too fast"
    )


def _changes(table: _Table, rows: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    """By how much halving all panels changes each ELBO `[R]`, and the most it changes in each panel `[P]`."""
    fine = table.on(table.panels.halved())
    change = torch.empty(len(rows), dtype=torch.float64)
    most = torch.zeros(len(table.panels), dtype=torch.float64)
    for (part, before), (_, after) in zip(table.by_panel(rows, q), fine.by_panel(rows, q), strict=True):
        difference = before - after.unflatten(1, (-1, 2)).sum(2)
        change[part] = difference.sum(1).abs()
        most = torch.maximum(most, difference.abs().amax(0))
    return change, most


def _ascend(table: _Table, rows: Tensor, q: Tensor, iterations: int) -> tuple[Tensor, _Table]:
    """Newton's method with Levenberg's damping, all rows at once; each stops at its own maximum.

    Returns the ends as :func:`_settled` does, and the table with panels that are narrow against all Gaussians
    on the way.
    """
    q, table = q.clone(), table.fitted(q)
    value = table.expansion(rows, q)
    damping = torch.zeros(len(rows), dtype=torch.float64)
    for _ in range(iterations):
        moving = (value[:, 1:3].norm(dim=1) > STATIONARY).nonzero()[:, 0]
        if len(moving) == 0:
            break
        a, b = _newton_step(value[moving], damping[moving])
        mean, log_scale = q[moving].unbind(1)
        trial = torch.stack([mean + log_scale.exp() * a, log_scale + b], 1)
        table = table.fitted(trial)
        new, old = table.expansion(rows[moving], trial), value[moving, 0]
        accepted = new[:, 0] >= old - ROUNDING * old.abs()
        damping[moving] = torch.where(accepted, damping[moving] / 8, 4 * damping[moving] + 0.1)
        q[moving[accepted]], value[moving[accepted]] = trial[accepted], new[accepted]
    return torch.cat([q, value[:, :1], value[:, 1:3].norm(dim=1, keepdim=True)], 1), table


def _newton_step(value: Tensor, damping: Tensor) -> tuple[Tensor, Tensor]:
    """(lambda I - H)^-1 g, at most of length 1, with lambda large enough for a step uphill."""
    _, ga, gb, haa, hab, hbb = value.unbind(1)
    largest = 0.5 * (haa + hbb + ((haa - hbb) ** 2 + 4 * hab**2).sqrt())
    shift = damping + torch.where(largest > -1e-3, largest + 0.1, 0)
    paa, pbb = shift - haa, shift - hbb
    determinant = paa * pbb - hab**2
    a, b = (pbb * ga + hab * gb) / determinant, (hab * ga + paa * gb) / determinant
    length = (a**2 + b**2).sqrt().clamp_min(1)
    return a / length, b / length


@torch.no_grad()
def _posterior_starts(table: _Table) -> tuple[Tensor, Tensor]:
    """Moments of the posterior and of its modes: for each start the index of its x, and m and log s."""
    log_weight = table.log_weight + standard_gaussian_log_density(table.z[:, None])
    starts = []
    for part in torch.arange(len(table.x)).split(ROWS):
        mass = (table.log_likelihood(table.x[part], table.outputs) + log_weight).softmax(1)
        moments = [
            (mass * table.z**power).unflatten(1, (-1, table.panels.order)).sum(2) for power in range(3)
        ]
        density = moments[0] / table.panels.width
        # A minimum is a panel below its left neighbour and not above its right one; a mode ends before it.
        minimum = torch.zeros_like(density, dtype=torch.long)
        minimum[:, 1:-1] = (density[:, 1:-1] < density[:, :-2]) & (density[:, 1:-1] <= density[:, 2:])
        mode = minimum.cumsum(1)
        empty = torch.zeros(len(part), int(mode.max()) + 1, dtype=torch.float64)
        per_mode = [empty.scatter_add(1, mode, each) for each in moments]
        # Column 0 is the whole posterior; a mode that has nearly all of its mass would be the same start.
        total, first, second = (torch.cat([each.sum(1, keepdim=True), each], 1) for each in per_mode)
        kept = (total > MINOR) & (total < 1 - MINOR)
        kept[:, 0] = True
        row, column = kept.nonzero().unbind(1)
        mean, square = (moment[row, column] / total[row, column] for moment in (first, second))
        # Rounding may leave nothing of the variance of a mode that is narrow and far from 0.
        log_scale = (square - mean**2).clamp_min(1e-20).sqrt().log()
        starts.append((part[row], torch.stack([mean, log_scale], 1)))
    rows, q = map(torch.cat, zip(*starts, strict=True))
    return rows, q


def _refuse_not_finite(values: Tensor) -> None:
    if not values.isfinite().all():
        raise Unresolved("gaps: the decoder or the encoder is not finite; check the weights and the data")
