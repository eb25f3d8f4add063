"""The posteriors p(z|x) of document mapa's six problems, each at one observation.

The decoders are the document's formulas in torch, which has their derivatives; a test compares them with
those of :mod:`elbogap.data.synthetic`. Each observation is the noiseless one of a latent value where the
curve comes near itself, or where a staircase has a step, so that the posterior is far from Gaussian.
"""

import math
from collections.abc import Callable, Mapping
from functools import cache, partial

import torch
from torch import Tensor

from elbogap.data import synthetic
from elbogap.densities import (
    isotropic_gaussian_log_density,
    pairwise_gaussian_log_density,
    standard_gaussian_log_density,
)
from elbogap.evaluation import quadrature
from elbogap.evaluation.gaps import best_gaussians
from elbogap.inference.families.gaussian import DiagonalGaussian
from elbogap.papers.atlas.problems.base import Axis, Problem, integrated

AXIS = Axis(-6.5, 6.5, 13_001)


def _staircase(z: Tensor, pieces: float) -> Tensor:
    u = pieces * math.pi * torch.sigmoid(0.5 * math.pi * z)
    height = (u / 2).floor()
    return torch.tanh(10 * u - 20 * height - 10) + 2 * height + 1


def _circle(angle: Tensor) -> Tensor:
    return torch.cat([angle.cos(), angle.sin()], -1)


def _lemniscate(angle: Tensor) -> Tensor:
    first = math.sqrt(0.5) * angle.cos()
    return torch.cat([first, 2 * first * angle.sin()], -1) / (angle.sin().square() + 1)


def _spiral(angle: Tensor) -> Tensor:
    return angle * _circle(angle)


DECODERS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "absolute_value": lambda z: torch.special.ndtr(z).expand(*z.shape[:-1], 2),
    "absolute_value_folded": lambda z: (torch.special.ndtr(z) - 0.5).abs().expand(*z.shape[:-1], 2),
    "circle": lambda z: _circle(2 * math.pi * torch.special.ndtr(z)),
    "clusters": lambda z: _circle(2 * _staircase(z, 2)),
    "figure_8": lambda z: _lemniscate((0.6 + 1.8 * torch.special.ndtr(z)) * math.pi),
    "spiral_dots": lambda z: _spiral(_staircase(z, 4)),
}
"""f, `[..., 1]` to `[..., 2]`."""

OBSERVED = {
    "absolute_value": 1.0,
    "absolute_value_folded": 0.7,
    "circle": 2.0,
    "clusters": 0.0,
    "figure_8": 0.0,
    "spiral_dots": 0.0,
}
"""The latent value whose image is observed."""


def posterior(name: str) -> Problem:
    """p~(z) = p(x, z) of z ~ N(0, 1) and x ~ N(f(z), sigma^2 I)."""
    origin, decoder = synthetic.problem(name), DECODERS[name]
    variance = origin.noise_variance
    x = decoder(torch.tensor([OBSERVED[name]], dtype=torch.float64))

    def log_density(z: Tensor) -> Tensor:
        likelihood = isotropic_gaussian_log_density(x.to(z), decoder(z), variance)
        return standard_gaussian_log_density(z) + likelihood

    @cache
    def best_gaussian(correlated: bool) -> float:
        parts = decoder, partial(pairwise_gaussian_log_density, variance=variance), x[None]
        start = DiagonalGaussian(*torch.zeros(2, 1, 1, dtype=torch.float64))
        return best_gaussians(*parts, quadrature.adapted_panels(*parts), start).elbo.item()

    return integrated(
        log_density,
        (AXIS,),
        title=origin.title,
        kind="mapa",
        known="log p(x), moments, draws and the best Gaussian by quadrature",
        best_gaussian=best_gaussian,
    )


PROBLEMS: Mapping[str, Callable[[], Problem]] = {
    name: partial(posterior, name) for name in synthetic.PROBLEMS
}
