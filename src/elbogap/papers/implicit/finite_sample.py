"""A discriminator trained to the end on a finite sample of q = N(m, I) and p = N(0, I), in D dimensions.

All elements of m are equal, and KL(q || p) = |m|^2 / 2 is the same whatever D. So is then the law of the
exact log ratio, T* = m.z - |m|^2 / 2, which is N(KL, 2 KL) under q and N(-KL, 2 KL) under p: what changes
with D is due to the estimate alone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor
from torch.special import ndtr

from elbogap.ensemble import Batch, Stream, fit, minibatches
from elbogap.inference.objectives.adversarial import discriminator_objective
from elbogap.nn.mlp import MLP, Network
from elbogap.papers.implicit.settings import FiniteSample as Settings
from elbogap.runtime import torch_generator
from elbogap.training import Work

CERTAIN = 0.99
"""A discriminator above this, or below one less this, counts as certain."""

LEAST_LOGIT = math.log(CERTAIN / (1 - CERTAIN))


@dataclass(frozen=True)
class Classification:
    """Tell a finite sample of q from one of p, `[M, N, D]` each."""

    q: Tensor
    p: Tensor
    batch: int
    streams: Sequence[Stream]
    reported: ClassVar[tuple[str, ...]] = ()

    @property
    def steps(self) -> int:
        """Steps per pass over the points."""
        return self.q.shape[1] // self.batch

    def prepare(self, epoch: int) -> Batch:
        """The points in random order, `[M, K, B, D]` of each class."""
        members = [(one, stream(epoch)) for one, stream in enumerate(self.streams)]
        count = self.q.shape[1]
        chosen = [
            {
                name: points[one][minibatches(count, self.batch, generator)]
                for name, points in (("q", self.q), ("p", self.p))
            }
            for one, generator in members
        ]
        return {name: torch.stack([one[name] for one in chosen]) for name in ("q", "p")}

    def value(self, networks: Mapping[str, Network], batch: Batch) -> Tensor:
        """The discriminator's objective, `[M]`."""
        logits = networks["discriminator"](torch.cat([batch["q"], batch["p"]], 1)).squeeze(-1)
        return discriminator_objective(*logits.split(self.batch, -1))


def measured(
    settings: Settings, dimension: int, seed: int, work: Work, device: str
) -> dict[str, dict[str, Tensor]]:
    """Train one discriminator per seed, and look at it on the points it was trained on and on others.

    Returns:
        For `training` and `held-out` points, of each member `[M]`: `kl_estimate` E_q[T] in nats; `accuracy`,
        the share of points on the right side of D = 1/2; `certain`, the share with D outside [0.01, 0.99].

    Raises:
        UserError: all members diverged.
        OutOfTime: the deadline has passed.
    """
    streams = [
        partial(torch_generator, seed, "implicit.finite_sample", dimension, one, device=device)
        for one in range(settings.seeds)
    ]
    sizes = {"training": settings.points, "held-out": settings.held_out}
    points = {
        part: {
            name: torch.stack(
                [
                    torch.randn(size, dimension, generator=stream(part, name), device=device) + shift
                    for stream in streams
                ]
            )
            for name, shift in (("q", math.sqrt(2 * settings.divergence / dimension)), ("p", 0.0))
        }
        for part, size in sizes.items()
    }
    network = MLP.independent(
        [dimension, *settings.hidden, 1],
        "relu",
        [
            torch_generator(seed, "implicit.finite_sample", dimension, one, "weights")
            for one in range(settings.seeds)
        ],
    )
    found = fit(
        Classification(**points["training"], batch=settings.batch, streams=streams),
        {"discriminator": network},
        epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        record_epochs=settings.epochs,
        work=work,
        device=device,
    )
    discriminator = found.networks["discriminator"].to(device)
    return {part: _looked_at(discriminator, **both) for part, both in points.items()}


def exact(divergence: float) -> dict[str, float]:
    """`accuracy` and `certain` of the best discriminator D* = q / (q + p)."""
    deviation = math.sqrt(2 * divergence)
    below, above = ((limit - divergence) / deviation for limit in (-LEAST_LOGIT, LEAST_LOGIT))
    certain = ndtr(torch.tensor([below, -above], dtype=torch.float64)).sum()
    return {
        "accuracy": float(ndtr(torch.tensor(deviation / 2, dtype=torch.float64))),
        "certain": float(certain),
    }


@torch.no_grad()
def _looked_at(discriminator: MLP, q: Tensor, p: Tensor) -> dict[str, Tensor]:
    at_q, at_p = (discriminator(z).squeeze(-1).double() for z in (q, p))
    both = torch.cat([at_q, -at_p], -1)
    return {
        "kl_estimate": at_q.mean(-1).cpu(),
        "accuracy": (both > 0).double().mean(-1).cpu(),
        "certain": (both.abs() > LEAST_LOGIT).double().mean(-1).cpu(),
    }
