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
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from elbogap import provenance
from elbogap.config.efvae import Toy as Settings
from elbogap.ensemble import fit
from elbogap.experiments.efvae._search import maximise
from elbogap.experiments.efvae._toy import (
    BITS,
    CODES,
    Mixture,
    Population,
    best_bound,
    best_means,
    harmonium,
    measured,
)
from elbogap.inference.exponential_family import Harmonium, enumerated
from elbogap.nn.mlp import MLP
from elbogap.runtime import Run, torch_generator
from elbogap.training import Work

VIEW = 4.0  # the figure shows [-4, 4]^2
PATH = (-0.5, 2.0)  # from before the ground truth, 0, to beyond the decoder with the best ELBO, 1
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

    Raises:
        OutOfTime: the time budget is spent.
    """
    mixture = Mixture()
    truth = mixture.means()
    x, mass = mixture.lattice(settings.spacing)
    best = best_means(mixture, x, mass)
    rbm = _aligned(mixture, _rbm(settings, mixture, x, mass), settings.pixels)
    pretrained, joint = _trained(settings, run, mixture)
    means = _means(joint["decoder"])

    rows = []

    def add(stage: str, encoder: str, seed: int, decoder: Tensor, elbo: Tensor, loglik: Tensor) -> None:
        best_elbo = elbo if encoder == "exact" else mass @ best_bound(mixture, x, decoder)[0].elbo
        keys = {"document": "efvae", "stage": stage, "encoder": encoder, "seed": seed}
        values = {"elbo": elbo, "loglik": loglik, "best_elbo": best_elbo, "affine_distance": _bent(decoder)}
        rows.append(keys | {name: value.item() for name, value in values.items()})

    for stage, decoder in (("ground_truth", truth), ("joint", best)):
        bound = best_bound(mixture, x, decoder)[0]
        add(stage, "best", 0, decoder, mass @ bound.elbo, mass @ bound.log_evidence)
    for stage, networks, decoders in (
        ("ground_truth", pretrained, truth.expand_as(means)),
        ("joint", joint, means),
    ):
        log_q = measured(networks["encoder"], x)
        bound = enumerated(mixture.log_joint(x, decoders), log_q)
        for seed, decoder in enumerate(decoders):
            add(stage, "network", seed, decoder, mass @ bound.elbo[seed], mass @ bound.log_evidence[seed])
    evidence = mass @ rbm.log_joint(x).logsumexp(-1)
    add("rbm", "exact", 0, rbm.decoder(), evidence, evidence)
    table = pd.DataFrame(rows)
    ceiling = table.loc[table["stage"] == "ground_truth", "loglik"].max()
    table = table.assign(gap=table["loglik"] - table["elbo"], approximation_error=ceiling - table["loglik"])

    pixels, axis = _pixels(settings.pixels)
    decided = {
        "ground_truth": mixture.log_joint(pixels, truth).argmax(-1).expand(settings.seeds, -1),
        "encoder": measured(joint["encoder"], pixels).argmax(-1),
        "posterior": mixture.log_joint(pixels, means).argmax(-1),
        "rbm": rbm.log_joint(pixels).argmax(-1).expand(settings.seeds, -1),
    }
    line = torch.linspace(*PATH, settings.path_points, dtype=torch.float64)
    bounds = [best_bound(mixture, x, truth + t * (best - truth))[0] for t in line]
    shown = {"probabilities": mixture.log_joint(pixels, truth).softmax(-1)}
    shown |= {name: codes[0] for name, codes in decided.items()}
    square = (settings.pixels, settings.pixels)
    panels = {
        "axis": axis,
        **{name: values.unflatten(0, square) for name, values in shown.items()},
        "means_ground_truth": truth,
        "means_joint": means[0],
        "means_rbm": rbm.decoder(),
        "step": line,
        "loglik": torch.stack([mass @ bound.log_evidence for bound in bounds]),
        "elbo": torch.stack([mass @ bound.elbo for bound in bounds]),
    }
    weight = mixture.log_joint(pixels, truth).logsumexp(-1).softmax(-1)
    maps = pd.DataFrame(_agreements(decided, weight, settings.pixels))
    return {"table": table, "maps": maps, "panels": {name: values.numpy() for name, values in panels.items()}}


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
                mixture, mixture.means(), settings.train_spacing, settings.round_steps, streams, run.device
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
    inside = torch.ones(pixels, pixels, dtype=torch.bool)
    inside[1:-1, 1:-1] = False
    border = inside.flatten()
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
