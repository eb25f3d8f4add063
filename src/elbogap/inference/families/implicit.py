"""Implicit distributions: draws without a density (lecture, part I)."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from elbogap.errors import UserError
from elbogap.inference.families.base import Family
from elbogap.inference.noise import Noise, Spec, Specs, take


@dataclass(frozen=True)
class Implicit(Family):
    """z = f(e), e ~ N(0, I) of E `dimensions`; the `transform` f maps `[..., E]` to `[..., D]`."""

    transform: Callable[[Tensor], Tensor]
    dimensions: int

    def noise(self, *batch: int) -> Specs:
        """`normal` e, `[*batch, E]`."""
        return {"normal": Spec((*batch, self.dimensions))}

    def rsample(self, noise: Noise) -> Tensor:
        """z = f(e)."""
        return self.transform(take(noise, "normal", self.dimensions))

    def log_prob(self, z: Tensor, noise: Noise | None = None) -> Tensor:
        """UserError: q has no density."""
        raise UserError("an implicit distribution has no density; maximise DensityRatio, which needs none")
