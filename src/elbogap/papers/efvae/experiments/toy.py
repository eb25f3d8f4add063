"""The artificial example (section 4.1, Figure 2, C.1): what the ELBO does to a mixture of Gaussians.

Encoders of two independent bits are trained at the ground-truth decoder, then decoder and encoder together
from there. Beside networks there is the best factorised q(z|x) of each x by itself, which has no amortisation
error. Deviations: optimiser and number of samples are lost. The RBM is the maximum of the likelihood that is
found from the affine part of the decoder with the best ELBO, so that its bits have the same names.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from elbogap.inference import exponential_family as ef
from elbogap.nn.mlp import MLP
from elbogap.papers.efvae import toy_model
from elbogap.papers.efvae.settings import Toy as Settings
from elbogap.papers.efvae.toy_model import BITS, TRUTH, Data, harmonium, log_joint
from elbogap.runtime import Run, torch_generator
from elbogap.training import Work

VIEW = 4.0  # the figure shows [-4, 4]^2
PLANE = ((-0.5, 2.5), (-1.0, 2.0))  # of Figure 1, along and across the way to that decoder, in units of x
COMPARED = ("ground_truth", "posterior", "rbm")  # maps with which all others are compared

Case = tuple[str, str, Tensor, ef.Bound]  # Stage, encoder, means `[M, 4, 2]` and bounds `[M, N]` of all seeds


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Train all seeds and measure, in nats, by sums over lattices.

    Returns `table` by stage, encoder and seed; `maps`, by `map` and `seed`: where its most probable codes are
    those of the others, as fractions of the data in the figure's square. `panels` of Figure 2, of the first
    seed: `axis` `[P]` in units of x, p*(z|x) of the ground truth `probabilities` `[P, P, 4]`, the most
    probable codes `<map>` `[P, P]` with x_1 along the first axis, and the means `means_<model>`. `plane`
    of Figure 1: `loglik` and `gap` `[S, T]` of decoders truth + s d + t e with d towards the best decoder and
    e such that the nearest consistent decoder to that is in the plane; `along` s and `across` t, in units of
    x, `best` and `consistent` `[2]`, the coordinates of both, and the gradients at the best one in this
    plane, `of_loglik` and `of_gap` `[2]`, in nats per unit.
    """
    data = Data.on_lattice(settings.spacing)
    best, (pixels, axis) = data.best_means(), _pixels(settings.pixels)
    pretrained, trained = _trained(settings, run)
    with torch.no_grad():
        joint = toy_model.decoded(trained["decoder"]).double()
    rbm = _rbm(data, best)
    exact = rbm.log_joint(data.x)[None]
    fixed = TRUTH.expand_as(joint)
    cases: list[Case] = [
        ("ground_truth", "best", TRUTH[None], data.best_bound(TRUTH[None])),
        ("joint", "best", best[None], data.best_bound(best[None])),
        ("ground_truth", "network", fixed, data.bound(fixed, pretrained["encoder"])),
        ("joint", "network", joint, data.bound(joint, trained["encoder"])),
        ("rbm", "exact", rbm.decoder()[None], ef.enumerated(exact, exact.log_softmax(-1))),
    ]
    log_truth = log_joint(pixels, TRUTH)
    decisions = {
        "ground_truth": log_truth.argmax(-1).expand(settings.seeds, -1),
        "encoder": toy_model.encoder_log_prob(trained["encoder"], pixels).argmax(-1),
        "posterior": log_joint(pixels, joint).argmax(-1),
        "rbm": rbm.log_joint(pixels).argmax(-1).expand(settings.seeds, -1),
    }
    square = (settings.pixels, settings.pixels)
    panels = {
        "axis": axis,
        "probabilities": log_truth.softmax(-1).unflatten(0, square),
        **{name: codes[0].unflatten(0, square) for name, codes in decisions.items()},
        "means_ground_truth": TRUTH,
        "means_joint": joint[0],
        "means_rbm": rbm.decoder(),
    }
    return {
        "table": _table(data, cases),
        "maps": _agreements(decisions, log_truth.logsumexp(-1).softmax(-1), settings.pixels),
        "panels": {name: values.numpy() for name, values in panels.items()},
        "plane": {name: values.numpy() for name, values in _plane(settings, data, best).items()},
    }


def _trained(settings: Settings, run: Run) -> tuple[Mapping[str, MLP], Mapping[str, MLP]]:
    """`encoder` after training at the ground-truth decoder; `encoder` and `decoder` after joint training."""
    generator = partial(torch_generator, settings.seed, "efvae.toy")
    seeds = range(settings.seeds)

    def train(stage: str, networks: Mapping[str, MLP], rounds: int, rate: float) -> Mapping[str, MLP]:
        shifts = [partial(generator, stage, seed, device=run.device) for seed in seeds]
        means, spacing = TRUTH.to(run.device), settings.train_spacing
        population = toy_model.Population(means, spacing, settings.round_steps, shifts)
        work, final = Work.in_module(__name__, settings, run, stage), settings.final_share
        return population.maximise(networks, work, epochs=rounds, learning_rate=rate, final_fraction=final)

    initial = [generator("initial", seed) for seed in seeds]
    encoder = MLP.independent([2, *settings.hidden, BITS], "relu", initial)
    pretrained = train("pretraining", {"encoder": encoder}, settings.pretrain_rounds, settings.pretrain_rate)
    decoder = MLP.constant(TRUTH.float().flatten().expand(settings.seeds, -1))
    both = {"encoder": pretrained["encoder"], "decoder": decoder}
    return pretrained, train("joint", both, settings.joint_rounds, settings.joint_rate)


def _rbm(data: Data, means: Tensor) -> ef.Harmonium:
    """The Gaussian-Bernoulli RBM of maximal likelihood near the affine part of a decoder `[4, 2]`."""
    signs = ef.binary_codes(BITS, low=-1.0)
    slopes = 2 * (signs.mT @ means / len(signs)).mT  # by each bit from 0 to 1
    start = torch.cat([slopes.flatten(), means.mean(0) - slopes.sum(1) / 2, torch.zeros(BITS).double()])
    return harmonium(
        toy_model.maximise(lambda at: data.mass @ harmonium(at).log_joint(data.x).logsumexp(-1), start)
    )


def _table(data: Data, cases: Sequence[Case]) -> pd.DataFrame:
    frames = []
    for stage, encoder, means, bound in cases:
        best = bound if encoder == "exact" else data.best_bound(means)
        values = {"elbo": bound.elbo, "loglik": bound.log_evidence, "best_elbo": best.elbo}
        averages = {name: value @ data.mass for name, value in values.items()}
        bend = means[:, 0] - means[:, 1] - means[:, 2] + means[:, 3]
        key = {"document": "efvae", "stage": stage, "encoder": encoder, "seed": range(len(means))}
        frames.append(pd.DataFrame(key | averages | {"affine_distance": bend.norm(dim=1)}))
    table = pd.concat(frames, ignore_index=True)
    ceiling = table.loc[table["stage"] == "ground_truth", "loglik"].max()
    return table.assign(gap=table["loglik"] - table["elbo"], approximation_error=ceiling - table["loglik"])


def _averages(data: Data, decoders: Tensor) -> Tensor:
    """Likelihood, and ELBO of the best factorised q's, of decoders `[..., 4, 2]`, `[2, ...]`."""
    bounds = [data.best_bound(means) for means in decoders.flatten(0, -3)]
    averages = [torch.stack([data.mass @ bound.log_evidence, data.mass @ bound.elbo]) for bound in bounds]
    return torch.stack(averages, 1).unflatten(1, decoders.shape[:-2])


def _plane(settings: Settings, data: Data, best: Tensor) -> dict[str, Tensor]:
    """Figure 1: likelihood and gap in the plane of the truth, the best and the nearest consistent decoder."""
    point = best.clone().requires_grad_()
    loglik, elbo = _averages(data, point[None]).squeeze(1)
    (of_loglik,) = torch.autograd.grad(loglik, point, retain_graph=True)
    (of_gap,) = torch.autograd.grad(loglik - elbo, point)
    way = best - TRUTH
    along = way / way.norm()
    further = _nearest_consistent(best) - best
    rest = further - (further * along).sum() * along
    axes = along, rest / rest.norm()
    best_at = functional.pad(way.norm()[None], (0, 1))
    s, t = (torch.linspace(*ends, settings.plane_points, dtype=torch.float64) for ends in PLANE)
    loglik, elbo = _averages(data, TRUTH + s[:, None, None, None] * axes[0] + t[:, None, None] * axes[1])
    return {
        "along": s,
        "across": t,
        "loglik": loglik,
        "gap": loglik - elbo,
        "best": best_at,
        "consistent": best_at + torch.stack([(further * axis).sum() for axis in axes]),
        "of_loglik": torch.stack([(of_loglik * axis).sum() for axis in axes]),
        "of_gap": torch.stack([(of_gap * axis).sum() for axis in axes]),
    }


def _nearest_consistent(means: Tensor) -> Tensor:
    """The nearest decoder with factorised posteriors, rectangle c + z_1 u + z_2 v, z in {-1, 1}^2, u ⊥ v."""
    signs = ef.binary_codes(BITS, low=-1.0)
    u, v = signs.mT @ means / len(signs)
    turn = 0.5 * torch.atan2(u.prod() - v.prod(), 0.5 * (u[0] ** 2 - u[1] ** 2 - v[0] ** 2 + v[1] ** 2))
    e, f = (torch.stack([(turn + right).cos(), (turn + right).sin()]) for right in (0.0, math.pi / 2))
    return means.mean(0) + signs @ torch.stack([(u @ e) * e, (v @ f) * f])


def _pixels(count: int) -> tuple[Tensor, Tensor]:
    """Centres of the pixels of the figure's square, `[P^2, 2]`, and one axis `[P]`."""
    axis = VIEW * ((2 * torch.arange(count, dtype=torch.float64) + 1) / count - 1)
    return torch.cartesian_prod(axis, axis), axis


def _agreements(decisions: Mapping[str, Tensor], weight: Tensor, pixels: int) -> pd.DataFrame:
    """A row per map and seed; `centre_border` is the fraction of the border that has the centre's code."""
    border = torch.ones(pixels, pixels, dtype=torch.bool)
    border[1:-1, 1:-1] = False
    frames = []
    for name, codes in decisions.items():
        columns = {f"agreement_{other}": (codes == decisions[other]).double() @ weight for other in COMPARED}
        columns["centre_border"] = (codes[:, border.flatten()] == 0).double().mean(-1)
        frames.append(pd.DataFrame({"document": "efvae", "map": name, "seed": range(len(codes)), **columns}))
    return pd.concat(frames, ignore_index=True)
