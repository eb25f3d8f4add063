"""The artificial example (section 4.1, Figure 2, C.1): what the ELBO does to a mixture of Gaussians.

Encoders of two independent bits are trained at the ground-truth decoder, then decoder and encoder together
from there. Deviations: means, optimiser and the number of samples are lost; see `_toy.py` for the means and
the data. Beside networks there is the best factorised q(z|x) of each x by itself, which has no amortisation
error. The RBM's hidden units are named as they agree best with the ground truth; it is also rotated by a
third of a turn where that helps, which the data do not tell apart. Panel (f), a sketch in the document, is
measured here: bound and likelihood along the line from the ground truth to the decoder with the best ELBO.
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from elbogap import provenance
from elbogap.ensemble import fit
from elbogap.inference.exponential_family import Bound, Harmonium, enumerated
from elbogap.nn.mlp import MLP
from elbogap.papers.efvae.search import maximise
from elbogap.papers.efvae.settings import Toy as Settings
from elbogap.papers.efvae.toy_model import (
    BITS,
    CODES,
    Mixture,
    Population,
    best_bound,
    best_means,
    harmonium,
    measured,
)
from elbogap.runtime import Run, torch_generator
from elbogap.training import Work

VIEW = 4.0  # the figure shows [-4, 4]^2
PATH = (-0.5, 2.0)  # from before the ground truth, 0, to beyond the decoder with the best ELBO, 1
PLANE = ((-0.5, 2.5), (-1.25, 1.25))  # of Figure 1, along and across the way to that decoder, in units of x
MAPS = ("ground_truth", "encoder", "posterior", "rbm")


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Train all seeds and measure, in nats, by sums over lattices.

    Returns:
        `table`, by `stage` (ground_truth: decoder fixed there; joint; rbm), `encoder` (network; best: the
        best factorised q of each x; exact: the posterior) and `seed`: the `elbo`, the decoder's `loglik`,
        their difference `gap`, the `approximation_error` (eq. 2), the best likelihood, which is that of the
        ground truth, less `loglik`, `best_elbo` with the best factorised q's at this decoder, and
        `affine_distance`, the length of mu(00) - mu(01) - mu(10) + mu(11), which is 0 in consistent models.
        `maps`: where the most probable code of a `map` (ground_truth; encoder and posterior after joint
        training; rbm) is that of the ground truth, of the posterior and of the RBM, as shares
        `agreement_<other>` of the data in the figure's square; `centre_border`, the share of the square's
        border that has the centre's code. By `seed`.
        `panels`: what the figure shows, of the first seed: `axis` in units of x, p*(z|x) of the ground truth
        `probabilities` `[P, P, 4]`, the most probable codes `<map>` `[P, P]` with x_1 along the first axis,
        the means `means_<model>`, and `step`, `loglik` and `elbo` along the line.
        `plane`, for Figure 1: decoders truth + s d + t e with d towards the best decoder and e such that the
        gradient of the likelihood there is in the plane; `along` s and `across` t, in units of x, `loglik`
        and `gap` `[S, T]`, the best decoder's place `best` `[2]`, and there the gradients `of_loglik` and
        `of_gap` `[2]`, in nats per unit.

    Raises:
        OutOfTime: the time budget is spent.
    """
    mixture = Mixture()
    x, mass = mixture.lattice(settings.spacing)
    pretrained, joint = _trained(settings, run, mixture)
    rbm = _aligned(mixture, _rbm(settings, mixture, x, mass), settings.pixels)
    models = Models(
        mixture.means(), best_means(mixture, x, mass), _means(joint["decoder"]), rbm,
        pretrained["encoder"], joint["encoder"],
    )  # fmt: skip
    pixels, axis = _pixels(settings.pixels)
    log_truth = mixture.log_joint(pixels, models.truth)
    decided = {
        "ground_truth": log_truth.argmax(-1).expand(settings.seeds, -1),
        "encoder": measured(models.encoder, pixels).argmax(-1),
        "posterior": mixture.log_joint(pixels, models.joint).argmax(-1),
        "rbm": rbm.log_joint(pixels).argmax(-1).expand(settings.seeds, -1),
    }
    square = (settings.pixels, settings.pixels)
    panels = {
        "axis": axis,
        "probabilities": log_truth.softmax(-1).unflatten(0, square),
        **{name: codes[0].unflatten(0, square) for name, codes in decided.items()},
        "means_ground_truth": models.truth,
        "means_joint": models.joint[0],
        "means_rbm": rbm.decoder(),
        **_line(settings, mixture, models, x, mass),
    }
    plane = _plane(settings, mixture, models, x, mass)
    weight = log_truth.logsumexp(-1).softmax(-1)
    return {
        "table": _table(mixture, models, x, mass),
        "maps": pd.DataFrame(_agreements(decided, weight, settings.pixels)),
        "panels": {name: values.numpy() for name, values in panels.items()},
        "plane": {name: values.numpy() for name, values in plane.items()},
    }


@dataclass(frozen=True)
class Models:
    """Everything found.

    Attributes:
        truth: means of the ground truth, `[4, 2]`.
        best: means with the best ELBO of all, without encoder network, `[4, 2]`.
        joint: means of all seeds after joint training, `[M, 4, 2]`.
        rbm: of maximal likelihood.
        pretrained: encoders at the ground-truth decoder.
        encoder: encoders after joint training.
    """

    truth: Tensor
    best: Tensor
    joint: Tensor
    rbm: Harmonium
    pretrained: MLP
    encoder: MLP


def _table(mixture: Mixture, models: Models, x: Tensor, mass: Tensor) -> pd.DataFrame:
    rows: list[dict[str, object]] = []

    def add(stage: str, encoder: str, decoders: Tensor, bound: Bound) -> None:
        """Rows of all seeds, for decoders `[M, 4, 2]` and bounds `[M, N]`."""
        elbo, loglik = bound.elbo @ mass, bound.log_evidence @ mass
        for seed, decoder in enumerate(decoders):
            best = elbo[seed] if encoder == "exact" else best_bound(mixture, x, decoder).elbo @ mass
            keys = {"document": "efvae", "stage": stage, "encoder": encoder, "seed": seed}
            values = {
                "elbo": elbo[seed],
                "loglik": loglik[seed],
                "best_elbo": best,
                "affine_distance": _bent(decoder),
            }
            rows.append(keys | {name: value.item() for name, value in values.items()})

    for stage, decoder in (("ground_truth", models.truth), ("joint", models.best)):
        add(stage, "best", decoder[None], best_bound(mixture, x, decoder[None]))
    for stage, encoder, decoders in (
        ("ground_truth", models.pretrained, models.truth.expand_as(models.joint)),
        ("joint", models.encoder, models.joint),
    ):
        add(stage, "network", decoders, enumerated(mixture.log_joint(x, decoders), measured(encoder, x)))
    log_joint = models.rbm.log_joint(x)[None]
    add("rbm", "exact", models.rbm.decoder()[None], enumerated(log_joint, log_joint.log_softmax(-1)))
    table = pd.DataFrame(rows)
    ceiling = table.loc[table["stage"] == "ground_truth", "loglik"].max()
    return table.assign(gap=table["loglik"] - table["elbo"], approximation_error=ceiling - table["loglik"])


def _line(settings: Settings, mixture: Mixture, models: Models, x: Tensor, mass: Tensor) -> dict[str, Tensor]:
    """Panel (f): likelihood and best ELBO along the line from the ground truth to the best decoder."""
    step = torch.linspace(*PATH, settings.path_points, dtype=torch.float64)
    bounds = [best_bound(mixture, x, models.truth + t * (models.best - models.truth)) for t in step]
    return {
        "step": step,
        "loglik": torch.stack([mass @ bound.log_evidence for bound in bounds]),
        "elbo": torch.stack([mass @ bound.elbo for bound in bounds]),
    }


def _plane(
    settings: Settings, mixture: Mixture, models: Models, x: Tensor, mass: Tensor
) -> dict[str, Tensor]:
    """Figure 1, measured: likelihood and gap in the plane of decoders where both pull at the best one."""
    point = models.best.clone().requires_grad_()
    bound = best_bound(mixture, x, point)
    loglik, elbo = mass @ bound.log_evidence, mass @ bound.elbo
    (of_loglik,) = torch.autograd.grad(loglik, point, retain_graph=True)
    (of_gap,) = torch.autograd.grad(loglik - elbo, point)
    way = models.best - models.truth
    along = way / way.norm()
    rest = of_loglik - (of_loglik * along).sum() * along
    across = rest / rest.norm()
    axes = [torch.linspace(*ends, settings.plane_points, dtype=torch.float64) for ends in PLANE]
    bounds = [
        [best_bound(mixture, x, models.truth + s * along + t * across) for t in axes[1]] for s in axes[0]
    ]
    return {
        "along": axes[0],
        "across": axes[1],
        "loglik": torch.stack([torch.stack([mass @ one.log_evidence for one in row]) for row in bounds]),
        "gap": torch.stack(
            [torch.stack([mass @ (one.log_evidence - one.elbo) for one in row]) for row in bounds]
        ),
        "best": torch.stack([way.norm(), torch.zeros_like(way.norm())]),
        "of_loglik": torch.stack([(of_loglik * one).sum() for one in (along, across)]),
        "of_gap": torch.stack([(of_gap * one).sum() for one in (along, across)]),
    }


def _trained(settings: Settings, run: Run, mixture: Mixture) -> tuple[Mapping[str, MLP], Mapping[str, MLP]]:
    """`encoder` after training at the ground-truth decoder; `encoder` and `decoder` after joint training."""
    seeds = range(settings.seeds)
    identity = provenance.identity(__name__, settings, run)
    generators = [torch_generator(settings.seed, "efvae.toy", "initial", seed) for seed in seeds]
    encoder = MLP.independent([2, *settings.hidden, BITS], "relu", generators)
    start = mixture.means().float().flatten().expand(settings.seeds, -1)

    def stage(name: str, networks: Mapping[str, MLP], rounds: int, rate: float) -> Mapping[str, MLP]:
        streams = [
            partial(torch_generator, settings.seed, "efvae.toy", name, seed, device=run.device)
            for seed in seeds
        ]
        return fit(
            Population(
                mixture,
                mixture.means().to(run.device),
                settings.train_spacing,
                settings.round_steps,
                streams,
                run.device,
            ),
            networks,
            epochs=rounds,
            learning_rate=rate,
            final_share=settings.final_share,
            record_epochs=1,
            work=Work.of(run, name, identity, settings.checkpoint_seconds),
            device=run.device,
        ).networks

    pretrained = stage("pretraining", {"encoder": encoder}, settings.pretrain_rounds, settings.pretrain_rate)
    both = {"encoder": pretrained["encoder"], "decoder": MLP.constant(start)}
    return pretrained, stage("joint", both, settings.joint_rounds, settings.joint_rate)


@torch.no_grad()
def _means(decoder: MLP) -> Tensor:
    """All members' means, `[M, 4, 2]`."""
    return decoder(torch.zeros(decoder.members, 1, 0)).double().view(-1, CODES, 2)


def _rbm(settings: Settings, mixture: Mixture, x: Tensor, mass: Tensor) -> Harmonium:
    """The best of several searches for the Gaussian-Bernoulli RBM of maximal likelihood."""

    def likelihood(parameters: Tensor) -> Tensor:
        return mass @ harmonium(mixture, parameters).log_joint(x).logsumexp(-1)

    generator = torch_generator(settings.seed, "efvae.toy", "rbm")
    starts = torch.randn(settings.rbm_starts, 2 * BITS + 2 + BITS, generator=generator, dtype=torch.float64)
    ends = [maximise(likelihood, start) for start in starts]
    return harmonium(mixture, max(ends, key=lambda end: likelihood(end).item()))


def _aligned(mixture: Mixture, rbm: Harmonium, pixels: int) -> Harmonium:
    """The same model but for the names of its bits and a turn of the plane (module docstring)."""
    x, _ = _pixels(pixels)
    truth = mixture.log_joint(x, mixture.means())
    weight, codes = truth.logsumexp(-1).softmax(-1), truth.argmax(-1)
    w, a, b = rbm.interaction, rbm.observed_bias, rbm.code_bias
    candidates = []
    for turn, order, flips in itertools.product(
        range(3), itertools.permutations(range(BITS)), itertools.product((False, True), repeat=BITS)
    ):
        angle = 2 * math.pi * turn / 3
        rotation = torch.tensor(
            [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=torch.float64
        )
        flip = torch.tensor(flips, dtype=torch.float64)  # z' = 1 - z: W z = W - W z'
        sign = 1 - 2 * flip
        renamed = ((w * sign)[:, order], a + w @ flip, (b * sign)[list(order)])
        turned = (rotation @ renamed[0], rotation @ renamed[1], renamed[2])
        candidates.append(harmonium(mixture, torch.cat([part.flatten() for part in turned])))
    return max(candidates, key=lambda one: (weight @ (one.log_joint(x).argmax(-1) == codes).double()).item())


def _bent(means: Tensor) -> Tensor:
    """|mu(00) - mu(01) - mu(10) + mu(11)|, how far the means are from affine in the bits."""
    return (means[0] - means[1] - means[2] + means[3]).norm()


def _pixels(count: int) -> tuple[Tensor, Tensor]:
    """Centres of the pixels of the figure's square, `[P^2, 2]`, and one axis `[P]`."""
    axis = VIEW * ((2 * torch.arange(count, dtype=torch.float64) + 1) / count - 1)
    return torch.cartesian_prod(axis, axis), axis


def _agreements(decided: Mapping[str, Tensor], weight: Tensor, pixels: int) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    frame = torch.ones(pixels, pixels, dtype=torch.bool)
    frame[1:-1, 1:-1] = False
    border = frame.flatten()
    for name in MAPS:
        for seed, codes in enumerate(decided[name]):
            shares = {
                f"agreement_{other}": (weight @ (codes == decided[other][seed]).double()).item()
                for other in ("ground_truth", "posterior", "rbm")
            }
            centre = (codes[border] == 0).double().mean().item()
            keys = {"document": "efvae", "map": name, "seed": seed}
            rows.append(keys | shares | {"centre_border": centre})
    return rows
