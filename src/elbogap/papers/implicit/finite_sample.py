"""A discriminator trained to the end on a finite sample of q = N(m, I) and p = N(0, I), in D dimensions.

All elements of m are equal, and KL(q || p) = |m|^2 / 2 is the same whatever D. So is then the law of the
exact log ratio, T* = m.z - |m|^2 / 2, which is N(KL, 2 KL) under q and N(-KL, 2 KL) under p: what changes
with D is due to the estimate alone.
"""

import functools
import math

import torch
from torch import Tensor
from torch.special import ndtr

from elbogap.ensemble import minibatches
from elbogap.papers.implicit.game import Discriminator
from elbogap.papers.implicit.members import normal, streams
from elbogap.papers.implicit.settings import FiniteSample as Settings
from elbogap.training import Work, train

CERTAIN = 0.99
"""A discriminator above this, or below one less this, counts as certain."""

LEAST_LOGIT = math.log(CERTAIN / (1 - CERTAIN))


def measured(
    settings: Settings, dimension: int, seed: int, work: Work, device: str
) -> dict[str, dict[str, Tensor]]:
    """Train one discriminator per seed, and look at it on the points it was trained on and on others.

    Returns:
        For `training` and `held-out` points, of each member `[M]`: `kl_estimate` E_q[T] in nats; `accuracy`,
        the fraction of points on the right side of D = 1/2; `certain`, that with D outside [0.01, 0.99].

    Raises:
        UserError: all members diverged.
        OutOfTime: the deadline has passed.
    """
    own = functools.partial(streams, seed, "implicit.finite_sample", dimension, members=range(settings.seeds))
    on_device = own(device=device)
    shift = math.sqrt(2 * settings.divergence / dimension)

    def points(part: str, name: str, count: int) -> Tensor:
        return normal([stream(part, name) for stream in on_device], count, dimension)

    sizes = {"training": settings.points, "held-out": settings.held_out}
    samples = {part: (points(part, "q", n) + shift, points(part, "p", n)) for part, n in sizes.items()}
    layers, weights = [dimension, *settings.hidden, 1], [stream("weights") for stream in own()]
    discriminator = Discriminator(layers, weights, settings.learning_rate, device)
    steps, members = settings.points // settings.batch, torch.arange(settings.seeds)[:, None]

    @functools.lru_cache(1)
    def rows(epoch: int) -> Tensor:
        """Points of q and of p in random order, `[2, M, K, B]`."""
        generators = [stream(epoch) for stream in on_device]
        both = [[minibatches(settings.points, settings.batch, own) for _ in "qp"] for own in generators]
        return torch.stack([torch.stack(pair) for pair in both], 1)

    def step(i: int) -> Tensor:
        epoch, k = divmod(i - 1, steps)
        chosen = zip(samples["training"], rows(epoch)[:, :, k], strict=True)
        return discriminator.improve(*(points[members, own] for points, own in chosen))

    total = settings.epochs * steps
    train(step, steps=total, record_every=total, parts=discriminator.parts("discriminator"), work=work)
    return {part: _looked_at(discriminator, *both) for part, both in samples.items()}


def exact(divergence: float) -> dict[str, float]:
    """`accuracy` and `certain` of the best discriminator D* = q / (q + p)."""
    scale = math.sqrt(2 * divergence)  # of the exact log ratio under q
    below, above = ((limit - divergence) / scale for limit in (-LEAST_LOGIT, LEAST_LOGIT))
    right, *tails = ndtr(torch.tensor([scale / 2, below, -above], dtype=torch.float64)).tolist()
    return {"accuracy": right, "certain": sum(tails)}


@torch.no_grad()
def _looked_at(discriminator: Discriminator, q: Tensor, p: Tensor) -> dict[str, Tensor]:
    at_q, at_p = (discriminator.logits(z).double().cpu() for z in (q, p))
    both = torch.cat([at_q, -at_p], -1)
    return {
        "kl_estimate": at_q.mean(-1),
        "accuracy": (both > 0).double().mean(-1),
        "certain": (both.abs() > LEAST_LOGIT).double().mean(-1),
    }
