"""The targets of UIVI's toys: banana, x-shaped and multimodal (lecture, "UIVI: Toy Experiments").

Their parameters stand in UIVI's code. All three are p(z) = 1/2 N(b; m_1, S_1) + 1/2 N(b; m_2, S_2) of the
bent b = (z_1, z_2 + c (z_1^2 + 1)), whose Jacobian is 1; c is 1 for the banana, whose components are equal,
else 0.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from elbogap.densities import LOG_2PI

Point = tuple[float, float]
Matrix = tuple[Point, Point]


@dataclass(frozen=True)
class Target:
    """One target, and the part of the plane that the lecture shows.

    Attributes:
        means: m_1 and m_2.
        covariances: S_1 and S_2.
        bend: c.
        horizontal: range of z_1 in the figure.
        vertical: range of z_2.
    """

    means: tuple[Point, Point]
    covariances: tuple[Matrix, Matrix]
    bend: float
    horizontal: Point
    vertical: Point


_ORIGIN, _UNIT, _CURVED = (0.0, 0.0), ((1.0, 0.0), (0.0, 1.0)), ((1.0, 0.9), (0.9, 1.0))
_RISING, _FALLING = ((2.0, 1.8), (1.8, 2.0)), ((2.0, -1.8), (-1.8, 2.0))

TARGETS: Mapping[str, Target] = {
    "banana": Target((_ORIGIN, _ORIGIN), (_CURVED, _CURVED), 1.0, (-3.0, 3.0), (-8.0, 1.0)),
    "x_shaped": Target((_ORIGIN, _ORIGIN), (_RISING, _FALLING), 0.0, (-6.0, 6.0), (-6.0, 6.0)),
    "multimodal": Target(((-2.0, 0.0), (2.0, 0.0)), (_UNIT, _UNIT), 0.0, (-6.0, 6.0), (-4.0, 4.0)),
}


@dataclass(frozen=True)
class LogDensities:
    """log p of M targets, one for each member.

    Attributes:
        means: `[M, 2, 1, 2]`, of the components.
        whitening: inverse Cholesky factors of the covariances, transposed, `[M, 2, 2, 2]`.
        constants: log of weight and normalisation of the components, `[M, 2, 1]`.
        bends: c, `[M, 1]`.
    """

    means: Tensor
    whitening: Tensor
    constants: Tensor
    bends: Tensor

    @classmethod
    def of(
        cls, names: Sequence[str], device: str = "cpu", dtype: torch.dtype = torch.float32
    ) -> "LogDensities":
        """The targets of these names, one for each of M = len(names) members."""
        targets = [TARGETS[name] for name in names]
        covariances = torch.tensor([one.covariances for one in targets], dtype=torch.float64)
        whitening = torch.linalg.inv(torch.linalg.cholesky(covariances)).mT
        constants = whitening.diagonal(dim1=-2, dim2=-1).log().sum(-1) - LOG_2PI - math.log(2)
        means = torch.tensor([one.means for one in targets], dtype=torch.float64)
        bends = torch.tensor([[one.bend] for one in targets], dtype=torch.float64)
        tensors = (means[:, :, None], whitening, constants[..., None], bends)
        return cls(*(one.to(device, dtype) for one in tensors))

    def __call__(self, z: Tensor) -> Tensor:
        """log p in nats, `[M, B, 2]` to `[M, B]`."""
        first, second = z.unbind(-1)
        bent = torch.stack([first, second + self.bends * (first.square() + 1)], -1)
        white = (bent.unsqueeze(1) - self.means) @ self.whitening
        return torch.logsumexp(self.constants - 0.5 * white.square().sum(-1), 1)
