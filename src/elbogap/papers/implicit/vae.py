"""Models with one latent variable per image, their amortised q, and how each method trains both.

p(z) = N(0, I), p(x|z) Bernoulli; q(z|x) is a diagonal Gaussian with networks for mean and scale, or
semi-implicit with a network of image and noise for the mean and one scale for all images.

Deviation: a datum's control variate starts from the running mean over all data when the datum first comes,
not after a fixed number of steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from elbogap.ensemble import Stream, Variational, round_of_minibatches
from elbogap.inference import hmc
from elbogap.inference.objectives.base import Estimate, Objective
from elbogap.inference.objectives.contrastive import VCD, ChainState, Contrast, Hoffman, RunningMeanPerDatum
from elbogap.inference.objectives.elbo import ELBO, SIVI
from elbogap.inference.objectives.uivi import UIVI
from elbogap.models.image_vae import PIXELS, log_joint
from elbogap.nn.mlp import MLP
from elbogap.papers.implicit.families import SEMI_IMPLICIT, posterior
from elbogap.papers.implicit.settings import VaeCell, VaeTrain
from elbogap.runtime import torch_generator

FIRST_SCALE = 0.5
"""Scale of a semi-implicit q given its noise, at the beginning."""
FACTOR_SCALE = 0.01
"""Standard deviation of the weights of the factorisation's decoder at the beginning."""


def latent(settings: VaeTrain, cell: VaeCell) -> int:
    """Latent dimensions of the cell's model."""
    return settings.vae_latent if cell.model == "vae" else settings.factors


def initial_networks(settings: VaeTrain, dataset: str, cell: VaeCell, seeds: Sequence[int]) -> dict[str, MLP]:
    """Decoder, and networks of q; alike for equal seeds."""
    size, hidden = latent(settings, cell), settings.hidden
    sizes: dict[str, list[int]] = {}
    if cell.method in SEMI_IMPLICIT:
        sizes["mean"] = [PIXELS + settings.noise, *hidden, size]
    else:
        sizes["mean"] = sizes["deviation"] = [PIXELS, *hidden, size]
    sizes["decoder"] = [size, *(hidden if cell.model == "vae" else ()), PIXELS]
    networks = {}
    for name, widths in sizes.items():
        generators = [torch_generator(settings.seed, "implicit.vae", dataset, name, seed) for seed in seeds]
        networks[name] = MLP.independent(widths, "relu", generators, cell.initialisation)
        if name == "decoder" and cell.model == "factorisation":
            with torch.no_grad():
                for member, generator in enumerate(generators):
                    networks[name].weights[0][member].normal_(0, FACTOR_SCALE, generator=generator)
    if cell.method in SEMI_IMPLICIT:
        networks["deviation"] = MLP.constant(torch.full((len(seeds), size), FIRST_SCALE))
    return networks


@dataclass(frozen=True)
class WatchedVCD(VCD):
    """VCD whose training curve is the ELBO."""

    def watched(self, found: Contrast) -> Tensor:
        """f(z_0)."""
        return self.alpha * found.refined + super().watched(found)


def objective_of(settings: VaeTrain, cell: VaeCell) -> Objective:
    """What a cell maximises."""
    moving = settings.noise if cell.method in SEMI_IMPLICIT else latent(settings, cell)
    adaptation, step_size = hmc.Adaptation(settings.target_acceptance), settings.step_size / moving
    if cell.method == "elbo":
        return ELBO()
    if cell.method == "sivi":
        return SIVI(settings.sivi_samples, shared=False)
    if cell.method == "uivi":
        iterations = settings.burn_in + settings.kept
        return UIVI(hmc.Kernel(iterations, settings.leapfrog_steps, settings.burn_in, adaptation), step_size)
    kernel = hmc.Kernel(cell.refinements, settings.leapfrog_steps, cell.refinements, adaptation)
    if cell.method == "hoffman":
        return Hoffman(kernel, step_size)
    return WatchedVCD(kernel, step_size, cell.alpha)


def training(settings: VaeTrain, cell: VaeCell, images: Tensor, streams: Sequence[Stream]) -> Variational:
    """The training of q and model on images `[N, 784]`; members are seeds.

    The value of a member is the mean over the minibatch of the ELBO, or of SIVI's bound for semi-implicit q
    (with L = 0 for UIVI), in nats per image, with the gradient of the sum.
    """
    objective, device = objective_of(settings, cell), images.device.type

    def state() -> nn.Module | None:
        if isinstance(objective, VCD):
            control = RunningMeanPerDatum(len(streams), len(images), device=device)
            return ChainState(len(streams), objective.step_size, control, device)
        return objective.initial_state(len(streams), device)

    specs = objective.noise(
        settings.batch,
        dimensions=latent(settings, cell),
        mixing=settings.noise if cell.method in SEMI_IMPLICIT else 0,
    )
    return Variational(
        objective=objective,
        family=lambda networks, batch: posterior(networks, cell.method, images[batch["rows"]]),
        log_joint=lambda networks, batch: log_joint(networks["decoder"], images[batch["rows"]]),
        specs={"normal": specs["normal"]} | dict(specs),  # drawn first, so that methods share it
        streams=streams,
        steps=settings.round_steps,
        rows=partial(round_of_minibatches, len(images), settings.batch, settings.round_steps),
        state=state(),
        reduce=Estimate.sum_of_gradients,
    )
