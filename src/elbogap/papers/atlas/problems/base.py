"""What a problem is: a log-density on R^D, and what is known of it without any method."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from elbogap.inference.families.base import LogJoint

Sample = Callable[[int, torch.Generator], Tensor]
"""Draws `[N, D]` in float64 with a CPU generator."""


class Axis(NamedTuple):
    """An interval that holds all but about 1e-7 of the mass of one coordinate, and points to resolve it."""

    low: float
    high: float
    points: int


@dataclass(frozen=True, kw_only=True)
class Problem:
    """An unnormalised log-density p~ on all of R^D, the posterior p = p~ / Z, and what is known exactly.

    The log-density maps `[..., D]` to `[...]`, in nats, in the precision of its argument. A positive
    parameter enters by its logarithm, with the derivative's; `parameters` maps coordinates `[..., D]` to the
    model's own parameters `[..., P]`, of which `mean` and `sd` `[P]` are the posterior's moments.
    """

    title: str
    kind: str
    dim: int
    log_density: LogJoint
    known: str  # what is known, and how
    sample: Sample
    mean: Tensor
    sd: Tensor
    log_evidence: float | None = None  # log Z
    log_evidence_error: float = 0.0  # its standard error, in nats
    best_gaussian: Callable[[bool], float | None] = lambda correlated: (
        None
    )  # the largest ELBO of one, in nats
    axes: tuple[Axis, ...] = ()  # for quadrature, in one and two dimensions
    parameters: Callable[[Tensor], Tensor] = lambda z: z
    data: str = ""  # `real` or `stand-in`, where it rests on a data set


@dataclass(frozen=True)
class Grid:
    """Equidistant nodes `[N, D]` in float64 on a box of one or two dimensions, and the volume of a cell.

    Sums over them are trapezoidal rules of functions that vanish at the ends, which converge exponentially.
    """

    nodes: Tensor
    cell: float
    shape: tuple[int, ...]

    @classmethod
    def of(cls, axes: tuple[Axis, ...]) -> Self:
        """The product of the axes."""
        lines = [torch.linspace(*axis, dtype=torch.float64) for axis in axes]
        cell = torch.stack([line[1] - line[0] for line in lines]).prod().item()
        nodes = torch.cartesian_prod(*lines).view(-1, len(axes))
        return cls(nodes, cell, tuple(axis.points for axis in axes))

    def log_integral(self, log_values: Tensor) -> Tensor:
        """log of the integral of exp v, `[..., N]` to `[...]`."""
        return log_values.logsumexp(-1) + torch.tensor(self.cell).log()

    def moments(self, log_values: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation `[D]` under the density proportional to exp v, v `[N]`."""
        mass = log_values.softmax(0)
        mean = mass @ self.nodes
        return mean, (mass @ (self.nodes - mean).square()).sqrt()

    def sample(self, log_values: Tensor) -> Sample:
        """Draws of the piecewise constant density proportional to exp v on the cells around the nodes."""
        mass, low = log_values.softmax(0), self.nodes[0]
        width = (self.nodes[-1] - low) / (torch.tensor(self.shape, dtype=torch.float64) - 1)

        def drawn(count: int, generator: torch.Generator) -> Tensor:
            chosen = self.nodes[mass.multinomial(count, replacement=True, generator=generator)]
            within = torch.rand(chosen.shape, generator=generator, dtype=torch.float64) - 0.5
            return chosen + width * within

        return drawn


@torch.no_grad()
def integrated(
    log_density: LogJoint, axes: tuple[Axis, ...], *, sample: Sample | None = None, **known: Any
) -> Problem:
    """A problem with log Z, moments and, unless there are others, draws by quadrature on its axes."""
    grid = Grid.of(axes)
    log_p = log_density(grid.nodes)
    mean, sd = grid.moments(log_p)
    return Problem(
        dim=len(axes),
        log_density=log_density,
        sample=sample or grid.sample(log_p),
        mean=mean,
        sd=sd,
        log_evidence=grid.log_integral(log_p).item(),
        axes=axes,
        **known,
    )
