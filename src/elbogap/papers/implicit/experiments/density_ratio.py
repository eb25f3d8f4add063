"""Adversarial training by density ratio estimation, and its three limitations (lecture, part I; implicit).

The lecture states them without an experiment; both here are ours. In two dimensions (`game`) the
discriminator takes few steps per step of q, as in practice, and the ELBO that it sees is compared with the
true one, which counts q's draws in cells. Where q has shrunk to few cells its entropy comes out too large, so
that the ELBO of a collapsed q is lower than what is shown.

In D dimensions it is trained to the end on a finite sample of q = N(m, I) and p = N(0, I). All elements of m
are equal, and KL(q || p) = |m|^2 / 2 is the same whatever D. So is then the law of the exact log ratio,
T* = m.z - |m|^2 / 2, which is N(KL, 2 KL) under q and N(-KL, 2 KL) under p: what changes with D is due to the
estimate alone.
"""

import functools
import math

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.special import ndtr

from elbogap.ensemble import minibatches
from elbogap.nn.mlp import MLP
from elbogap.papers.implicit.frames import by_seed, keyed, last, over_seeds
from elbogap.papers.implicit.game import Game, best_gaussian, improve, log_ratio, posterior
from elbogap.papers.implicit.methods import normal, streams
from elbogap.papers.implicit.settings import DensityRatio as Settings
from elbogap.papers.implicit.settings import FiniteSample
from elbogap.runtime import Run
from elbogap.training import Part, Work, train

CERTAIN = 0.99  # a discriminator above this, or below one less this, counts as certain
LEAST_LOGIT = math.log(CERTAIN / (1 - CERTAIN))


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Play the game with each number of discriminator steps, and train a discriminator in each dimension.

    Returns `curves`: by `step` of q, `elbo_estimate` E_q[log p(x|z) - T(z)] and `elbo`, from a histogram of
    q's draws, in nats; `training`: their last half on average, beside the best Gaussian's; `samples`: the
    `posterior` on a grid, draws `z` of the first seed's q, and `log_evidence`; `dimensions`: the
    discriminators of :func:`measured`; `table`: means over their seeds, beside the best discriminator.
    """
    own, finite, tables, draws = settings.game, settings.finite_sample, [], []
    work = functools.partial(Work.in_module, __name__, settings, run, seconds=10)
    step = own.round_steps * np.arange(1, own.rounds + 1)
    for steps in own.discriminator_steps:
        game = Game(own, steps, settings.seed, run.device)
        estimate, elbo = game.train(work(f"discriminator-steps-{steps}")).permute(1, 2, 0).numpy()
        values = by_seed({"elbo_estimate": estimate, "elbo": elbo}, step=step)
        tables.append(keyed(values, discriminator_steps=steps))
        draws.append(game.sample(own.shown)[0].cpu().numpy())
    curves = pd.concat(tables, ignore_index=True)
    samples = posterior(own) | {
        "discriminator_steps": np.array(own.discriminator_steps),
        "z": np.stack(draws),
    }
    tables = []
    for dimension in finite.dimensions:
        at = work(f"dimension-{dimension}")
        for part, values in measured(finite, dimension, settings.seed, at, run.device).items():
            table = by_seed({name: value.numpy() for name, value in values.items()})
            table["error"] = (table["kl_estimate"] - finite.divergence).abs()
            tables.append(keyed(table, dimension=dimension, part=part, kl=finite.divergence))
    dimensions = pd.concat(tables, ignore_index=True)
    table = over_seeds(dimensions, ["document", "dimension", "part", "kl"])
    log_evidence, keys = float(samples["log_evidence"]), ["document", "discriminator_steps", "seed"]
    training = last(curves, keys, 0.5, "step").rename(columns={"elbo_time_sd": "elbo_sd"})
    training["kl"] = log_evidence - training["elbo"]
    training["overestimate"] = training["elbo_estimate"] - training["elbo"]
    training["gaussian_kl"] = log_evidence - best_gaussian(own)
    return {
        "curves": curves,
        "training": training.drop(columns="elbo_estimate_time_sd"),
        "samples": samples,
        "dimensions": dimensions,
        "table": table.assign(**{f"exact_{name}": value for name, value in exact(finite.divergence).items()}),
    }


def measured(
    settings: FiniteSample, dimension: int, seed: int, work: Work, device: str
) -> dict[str, dict[str, Tensor]]:
    """Train one discriminator per seed, and evaluate it on its `training` and on `held-out` points.

    Returns Of each member, `[M]`: `kl_estimate` E_q[T] in nats; `accuracy`, the fraction of points on the
    right side of D = 1/2; `certain`, that with D outside [0.01, 0.99].
    """
    own = functools.partial(streams, seed, "implicit.finite_sample", dimension, members=range(settings.seeds))
    on_device = own(device=device)
    shift = math.sqrt(2 * settings.divergence / dimension)

    def points(part: str, name: str, count: int) -> Tensor:
        return normal([stream(part, name) for stream in on_device], count, dimension)

    sizes = {"training": settings.points, "held-out": settings.held_out}
    samples = {part: (points(part, "q", n) + shift, points(part, "p", n)) for part, n in sizes.items()}
    layers, weights = [dimension, *settings.hidden, 1], [stream("weights") for stream in own()]
    discriminator = MLP.independent(layers, "relu", weights).to(device)
    optimiser = torch.optim.Adam(discriminator.parameters(), settings.learning_rate, fused=True)
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
        return improve(discriminator, optimiser, *(points[members, own] for points, own in chosen))

    total = settings.epochs * steps
    parts: dict[str, Part] = {"discriminator": discriminator, "optimiser": optimiser}
    train(step, steps=total, record_every=total, parts=parts, work=work)
    return {part: _evaluated(discriminator, *both) for part, both in samples.items()}


@torch.no_grad()
def _evaluated(discriminator: MLP, q: Tensor, p: Tensor) -> dict[str, Tensor]:
    at_q, at_p = (log_ratio(discriminator, z).double().cpu() for z in (q, p))
    both = torch.cat([at_q, -at_p], -1)
    return {
        "kl_estimate": at_q.mean(-1),
        "accuracy": (both > 0).double().mean(-1),
        "certain": (both.abs() > LEAST_LOGIT).double().mean(-1),
    }


def exact(divergence: float) -> dict[str, float]:
    """`accuracy` and `certain` of the best discriminator D* = q / (q + p)."""
    scale = math.sqrt(2 * divergence)  # of the exact log ratio under q
    below, above = ((limit - divergence) / scale for limit in (-LEAST_LOGIT, LEAST_LOGIT))
    right, *tails = ndtr(torch.tensor([scale / 2, below, -above], dtype=torch.float64)).tolist()
    return {"accuracy": right, "certain": sum(tails)}
