"""Exact log p(x) where the latent's law is that of h(z), z ~ N(0, 1), with h monotone and piecewise linear.

For h the quantile map of N codes, p(x|f(h(z))) has a kink in z at each of N knots. As a function of the code
c = h(z) the integrand p(x|f(c)) is as smooth as f, and all roughness is in the measure mu, the law of c:
N(z(c)) dz between knots and point masses where h is flat. mu does not depend on x, so product integration
splits the two. On each panel p(x|f(c)) is interpolated at Gauss-Legendre nodes,

    p(x|f(c)) = sum_k a_k(x) P_k(t(c)),   int p(x|f(c)) dmu(c) = sum_k a_k(x) int P_k(t(c)) dmu(c),

with t from -1 to 1 on the panel, and the moments of mu are computed piece by piece between knots and panel
edges. The number of nodes at which p(x|f) is needed then depends on f alone, not on N.

Panels are halved, first, until the decoder's curve on each is at most `LENGTH` standard deviations of the
noise long, whatever x, so that no mode can hide between nodes; then while the last two coefficients a_k(x)
times the panel's mass matter for any x. Lengths are roots of the Jensen gap (see
:mod:`elbogap.evaluation.quadrature`). Not seen are excursions of the decoder that begin and end between
neighbouring nodes of the first panels.
"""

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.special import log_ndtr, ndtr

from elbogap.densities import standard_gaussian_log_density
from elbogap.errors import Unresolved
from elbogap.evaluation import quadrature
from elbogap.evaluation.quadrature import Decoder, PairwiseLogLikelihood, Panels
from elbogap.inference.prior_recovery import MonotoneMap

ORDER = 16  # nodes per panel
LENGTH = 2.5  # of the decoder's curve on one panel, in standard deviations of the noise
FIRST = 48  # panels of equal width, and as many of equal mass, to begin with
JUMP = 1e-12  # width below which a panel is left as it is, relative to the range of the codes
BOUNDS = (10.0, 20.0, 37.0)  # of z; N(0, 1) leaves e^-52, e^-204 and e^-689 outside
LOWEST = -600.0  # logarithm below which values count as e^-600: smaller ones are denormal, and slow
GPU_TERMS = 32 * quadrature.MOST_TERMS  # log-densities held in memory at once on a GPU


@torch.no_grad()
def log_evidence(
    decoder: Decoder,
    log_likelihood: PairwiseLogLikelihood,
    x: Tensor,
    law: MonotoneMap | None = None,
    *,
    tolerance: float = 1e-8,
) -> Tensor:
    """log p(x) = log int p(x|f(h(z))) N(z; 0, 1) dz in nats, `[N, D]` to `[N]`, on the device of x.

    The decoder is f, of codes in float64. The law is h, or None for h(z) = z: the integral then ends at
    `BOUNDS`, the first of them or, for an x whose integrand has not decayed there, the next; beyond the last
    N(0, 1) has no mass in float64. The tolerance is the largest interpolation error on one panel, relative to
    p(x). Unresolved if the decoder varies too fast for its noise, or is not finite.
    """
    x = x.double()
    if law is not None:
        return _log_evidence(decoder, log_likelihood, x, law.to(x.device), tolerance)
    log_p, waiting = torch.empty_like(x[:, 0]), torch.arange(len(x), device=x.device)
    for bound in BOUNDS:
        own, law = x[waiting], MonotoneMap.identity(bound).to(x.device)
        log_p[waiting] = _log_evidence(decoder, log_likelihood, own, law, tolerance)
        beyond = log_likelihood(own, decoder(law.codes[[0, -1], None])).amax(1) + log_ndtr(-law.codes[-1])
        waiting = waiting[beyond - log_p[waiting] > math.log(tolerance)]
        if not len(waiting):
            break
    return log_p


def _log_evidence(
    decoder: Decoder, log_likelihood: PairwiseLogLikelihood, x: Tensor, law: MonotoneMap, tolerance: float
) -> Tensor:
    if law.codes[0] == law.codes[-1]:
        return log_likelihood(x, decoder(law.codes[:1, None]))[:, 0]
    narrow = JUMP * (law.codes[-1] - law.codes[0])
    panels = _traced(decoder, log_likelihood, x[:1], _first_panels(law.codes), narrow)
    shift, settled = torch.zeros_like(x[:, 0]), torch.zeros_like(x[:, 0])
    smallest = torch.finfo(torch.float64).tiny
    most = quadrature.MOST_TERMS if x.device.type == "cpu" else GPU_TERMS
    for trial in range(quadrature.ROUNDS):
        moments = _moments(law, panels)
        outputs = _outputs(decoder, _nodes(panels).reshape(-1, 1))
        parts, error = x.new_empty(len(x), len(panels)), x.new_zeros(len(panels))
        blocks = torch.arange(len(x), device=x.device).split(max(1, most // len(outputs)))
        for rows in blocks:
            log_values = log_likelihood(x[rows], outputs)
            if trial == 0:  # these nodes are close enough for later values not to exceed theirs by much
                shift[rows] = log_values.amax(1)
            values = log_values.sub_(shift[rows, None]).clamp_(min=LOWEST).exp_().unflatten(1, (-1, ORDER))
            coefficients = values @ _coefficients(x.device)
            parts[rows] = masses = (coefficients * moments).sum(-1)
            total = (settled[rows] + masses.sum(1)).clamp(min=smallest)
            last = coefficients[..., -2:].abs().amax(-1)
            error = torch.maximum(error, (last / total[:, None]).amax(0) * moments[:, 0])
        if error.isnan().any():  # some p(x|f) underflows at every node: no refinement helps
            raise Unresolved("quadrature: the likelihood is not finite; check the weights and the data")
        done = (error <= tolerance) | (panels.width <= narrow)
        for rows in blocks:  # a copy of all parts would double the peak of memory
            settled[rows] += parts[rows][:, done].sum(1)
        if done.all():
            return shift + settled.log()
        panels = panels[~done].halved()
        quadrature.refuse_too_many(len(panels))
    raise Unresolved(
        f"quadrature did not settle in {quadrature.ROUNDS} halvings; raise the tolerance of {tolerance:g}"
    )


def _first_panels(codes: Tensor) -> Panels:
    """Panels with edges at equal distances over the codes' range and at quantiles of the codes."""
    even = torch.linspace(0, 1, FIRST + 1, dtype=torch.float64, device=codes.device)
    ranks = (even * (len(codes) - 1)).round().long()
    inner = torch.cat([torch.lerp(codes[0], codes[-1], even[1:-1]), codes[ranks]])
    inner = inner[(inner > codes[0]) & (inner < codes[-1])]
    edges = torch.cat([codes[:1], inner, codes[-1:]]).unique()
    return Panels(edges[:-1], edges[1:], ORDER)


def _traced(
    decoder: Decoder, log_likelihood: PairwiseLogLikelihood, anchor: Tensor, panels: Panels, narrow: Tensor
) -> Panels:
    """Halve panels until the decoder's curve, followed through their halves' nodes, is short on each."""

    def long(panels: Panels) -> Tensor:
        inner = _nodes(panels.halved()).view(len(panels), -1)
        codes = torch.cat([panels.left[:, None], inner, panels.right[:, None]], 1)
        outputs = _outputs(decoder, codes.view(-1, 1)).unflatten(0, codes.shape)
        ends = (side.flatten(0, 1) for side in (outputs[:, :-1], outputs[:, 1:]))
        gap = quadrature.jensen_gap(log_likelihood, anchor, *ends).view(len(panels), -1)
        distance = 2 * gap.clamp(min=0).sqrt()  # of neighbouring outputs, in standard deviations
        return (distance.sum(1) > LENGTH) & (panels.width > narrow)

    return quadrature.halve_while(long, panels)


def _moments(law: MonotoneMap, panels: Panels) -> Tensor:
    """int P_k(t(c)) dmu(c) over each panel, `[P, n]`; the first is the panel's mass."""
    order = panels.left.argsort()
    left, right = panels.left[order], panels.right[order]
    inner, inner_mass = _smooth_masses(law, left, right)
    atoms, atom_mass = _point_masses(law)
    codes, mass = torch.cat([inner, atoms]), torch.cat([inner_mass, atom_mass])
    # A panel owns its right edge, and the very first its left one too.
    panel = torch.searchsorted(left, codes) - 1
    panel[codes == left[0]] = 0
    mine = (panel >= 0) & (codes <= right[panel]) & ((codes > left[panel]) | (codes == law.codes[0]))
    codes, mass, panel = codes[mine], mass[mine], panel[mine]
    t = (2 * (codes - left[panel]) / (right[panel] - left[panel]) - 1).clamp(-1, 1)
    moments = torch.zeros(len(left), ORDER, dtype=torch.float64, device=left.device)
    moments.index_add_(0, panel, mass[:, None] * _legendre(t))
    return moments[order.argsort()]


def _smooth_masses(law: MonotoneMap, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes in the codes and masses of the law's smooth part on the sorted panels, a Gauss rule per piece."""
    edges = torch.cat([law.codes, left, right]).unique()
    start, end = edges[:-1], edges[1:]
    panel = torch.searchsorted(left, end) - 1
    covered = (panel >= 0) & (end <= right[panel])
    start, end = start[covered], end[covered]
    knot = torch.searchsorted(law.codes, end).clamp(1, len(law.codes) - 1)
    slope = (law.latents[knot] - law.latents[knot - 1]) / (law.codes[knot] - law.codes[knot - 1])
    points, weights = _gauss(left.device)
    half = 0.5 * (end - start)[:, None]
    codes = start[:, None] + half * (1 + points)
    z = law.latents[knot - 1, None] + (codes - law.codes[knot - 1, None]) * slope[:, None]
    mass = half * slope[:, None] * weights * standard_gaussian_log_density(z.unsqueeze(-1)).exp()
    return codes.flatten(), mass.flatten()


def _point_masses(law: MonotoneMap) -> tuple[Tensor, Tensor]:
    """Where the map is flat, beyond its knots or between tied codes: the codes and their probabilities."""
    codes, counts = law.codes.unique_consecutive(return_counts=True)
    last = counts.cumsum(0) - 1
    below, upto = ndtr(law.latents[last - counts + 1]), ndtr(law.latents[last])
    below[0], upto[-1] = 0, 1
    flat = upto > below
    return codes[flat], (upto - below)[flat]


def _outputs(decoder: Decoder, codes: Tensor) -> Tensor:
    outputs = decoder(codes).double()
    if not outputs.isfinite().all():
        raise Unresolved("quadrature: the decoder is not finite; check its weights")
    return outputs


def _nodes(panels: Panels) -> Tensor:
    """The nodes of each panel, `[P, n]`."""
    points, _ = _gauss(panels.left.device)
    half = 0.5 * panels.width
    return panels.left[:, None] + half[:, None] * (1 + points)


@lru_cache
def _gauss(device: torch.device) -> tuple[Tensor, Tensor]:
    """Nodes and weights of the Gauss-Legendre rule on [-1, 1]."""
    points, weights = np.polynomial.legendre.leggauss(ORDER)
    return torch.from_numpy(points).to(device), torch.from_numpy(weights).to(device)


@lru_cache
def _coefficients(device: torch.device) -> Tensor:
    """Values at the nodes to Legendre coefficients, `[n, n]`: a_k = (k + 1/2) sum_j w_j P_k(t_j) v_j."""
    points, weights = _gauss(device)
    scale = torch.arange(ORDER, dtype=torch.float64, device=device) + 0.5
    return weights[:, None] * _legendre(points) * scale


def _legendre(t: Tensor) -> Tensor:
    """P_0 ... P_{n-1} at t, `[Q]` to `[Q, n]`."""
    values = [torch.ones_like(t), t]
    for k in range(1, ORDER - 1):
        values.append(((2 * k + 1) * t * values[k] - k * values[k - 1]) / (k + 1))
    return torch.stack(values, 1)
