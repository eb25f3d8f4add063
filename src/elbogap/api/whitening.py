"""Coordinates in which a posterior is nearly a standard normal: the mode and curvature, then a Gaussian fit.

Scales of covariates, and correlations, are gone before a method begins: all of them see v with u = m + L v.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from elbogap.api.approximations import FullRank, MeanField, Setup
from elbogap.api.ascent import ascend
from elbogap.api.methods import METHODS
from elbogap.api.step import Step
from elbogap.api.target import DECLARE, Target
from elbogap.densities import LOG_2PI
from elbogap.errors import UserError
from elbogap.inference import lbfgs
from elbogap.inference.families.base import LogJoint

STARTS = 3  # besides u = 0
ROUNDS = 3
DRAWS = 512
STEPS = 300  # of the Gaussian fit
MOST_DENSE = 300  # dimensions with a covariance
LEAST_CURVATURE = 1e-6  # of -log p in the coordinates of a round: no scale grows a thousandfold in one


@dataclass(frozen=True)
class Affine:
    """u = m + L v, with `mean` m `[D]` and `scale_tril` L `[D, D]`, whose diagonal is positive."""

    mean: Tensor
    scale_tril: Tensor

    @classmethod
    def at(cls, point: Tensor) -> "Affine":
        """u = m + v."""
        return cls(point, torch.eye(len(point), dtype=point.dtype, device=point.device))

    def __call__(self, v: Tensor) -> Tensor:
        """u of v, `[..., D]`."""
        return self.mean + v @ self.scale_tril.mT

    def inverse(self, u: Tensor) -> Tensor:
        """v of u, `[..., D]`."""
        centred = (u - self.mean).unsqueeze(-1)
        return torch.linalg.solve_triangular(self.scale_tril, centred, upper=False).squeeze(-1)

    @property
    def log_det(self) -> Tensor:
        """log |L|."""
        return self.scale_tril.diagonal().log().sum()

    def pull(self, log_density: LogJoint) -> LogJoint:
        """The log-density of v whose u has this one."""
        return lambda v: log_density(self(v)) + self.log_det

    def then(self, inner: "Affine") -> "Affine":
        """The map of v by `inner`, then by this."""
        return Affine(self(inner.mean), self.scale_tril @ inner.scale_tril)


def laplace(target: Target, start: Affine) -> Affine:
    """The Gaussian at the mode that L-BFGS finds from the mean of `start`, in its coordinates.

    The precision is -H, with H the second derivatives by central differences of the gradient. Where it is not
    positive definite, its eigenvalues count by magnitude.
    """
    log_density = start.pull(target)

    def loss(v: Tensor) -> Tensor:
        v = v.to(target.device).view_as(v)
        if v.requires_grad:
            v.register_hook(lambda gradient: gradient.nan_to_num(0, 0, 0))
        value = -log_density(v[None])[0]
        return torch.where(value.isfinite(), value, 1e30)

    mode = lbfgs.minimise(loss, torch.zeros_like(start.mean, device="cpu"), options={"maxiter": 300})[0]
    mode = mode.to(target.device)
    step = torch.finfo(target.dtype).eps ** (1 / 3)
    offsets = step * torch.eye(len(mode), dtype=mode.dtype, device=mode.device)
    v = torch.cat([mode + offsets, mode - offsets]).requires_grad_()
    (slopes,) = torch.autograd.grad(log_density(v).sum(), v)
    ahead, behind = slopes.nan_to_num(0, 0, 0).chunk(2)
    precision = (behind - ahead) / (2 * step)
    values, vectors = torch.linalg.eigh((precision + precision.mT) / 2)
    root = vectors * values.abs().clamp(min=LEAST_CURVATURE).rsqrt()
    scale_tril = torch.linalg.qr(root.mT).R.mT  # L L^T = root root^T, without squaring its condition
    return start.then(Affine(mode, scale_tril * scale_tril.diagonal().sign()))


def elbo(target: Target, q: Affine, generator: torch.Generator) -> float:
    """The ELBO of the Gaussian N(m, L L^T); -inf if log p is not finite at more than 1% of its draws."""
    with torch.no_grad():
        value = q.pull(target)(_normal(q, generator))
    finite = value[value.isfinite()]
    entropy = len(q.mean) * (1 + LOG_2PI) / 2
    return float(finite.mean()) + entropy if len(finite) >= 0.99 * DRAWS else -math.inf


def fitted(target: Target, start: Affine, generator: torch.Generator) -> Affine:
    """The Gaussian of the highest ELBO, after some steps from `start`; of a diagonal L if D is large."""
    kind = FullRank if target.space.dimensions <= MOST_DENSE else MeanField
    q = kind(Setup(start.scale_tril, generator))
    step = Step(METHODS["full_rank"], q, start.pull(target), generator)
    if ascend(q, step, q.optimiser(0.03), steps=STEPS).interrupted:
        raise KeyboardInterrupt
    gaussian = q.family().detach()
    return start.then(Affine(gaussian.mean, gaussian.scale_tril))


def whiten(target: Target, generator: torch.Generator) -> Affine:
    """The Gaussian of the highest ELBO among N(0, I) and Laplace's at several modes, then fitted to the ELBO.

    UserError if log p is NaN or -inf where that Gaussian has its mass.
    """
    zero = torch.zeros(target.space.dimensions, dtype=torch.float64, device=target.device)

    def better(*candidates: Affine) -> Affine:
        return max(candidates, key=lambda q: elbo(target, q, generator))

    best = Affine.at(zero)
    if len(zero) <= MOST_DENSE:
        starts = [zero, *_normal(best, generator, STARTS)]
        best = better(best, *(laplace(target, Affine.at(start)) for start in starts))
        for _ in range(ROUNDS):  # an ill-conditioned mode is found in coordinates that are better each time
            best = better(best, laplace(target, best))
    best = better(best, fitted(target, best, generator))
    points = best(_normal(best, generator))
    with torch.no_grad():
        value = target(points)
    target.refuse_nan(points, value)
    if elbo(target, best, generator) == -math.inf:
        raise UserError(
            f"the log-density is -inf at {int(value.isinf().sum())} of {DRAWS} draws of the Gaussian that "
            f"fits it best: if z has a bound, {DECLARE}"
        )
    return best


def _normal(q: Affine, generator: torch.Generator, count: int = DRAWS) -> Tensor:
    return torch.randn(count, len(q.mean), generator=generator, dtype=q.mean.dtype, device=q.mean.device)
