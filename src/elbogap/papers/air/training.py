"""Members of document air that are trained together: one method on one data set, by strength and seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from elbogap.ensemble import Fit, Stream, Variational, continued_minibatches, exponential_decay, fit
from elbogap.inference.objectives.denoising import Denoising
from elbogap.models import image_vae
from elbogap.nn.mlp import MLP
from elbogap.nn.norm_bounded import NormBoundedMLP
from elbogap.papers.air.methods import WEIGHT_NORM, Method
from elbogap.papers.air.settings import Cell, Train
from elbogap.runtime import torch_generator

Member = tuple[int, float]  # number of the seed, and strength


@dataclass(frozen=True)
class Training:
    """What is trained together. Members of equal seed share initial weights, minibatches and noise.

    Input noise is scaled by sigma, so that strengths are compared on common random numbers.
    """

    settings: Train
    dataset: str
    cell: Cell
    method: Method
    members: Sequence[Member]

    def initial_networks(self) -> dict[str, MLP]:
        """Encoder and decoder, alike for equal seeds."""
        settings, layers = self.settings, self.settings.layers(self.dataset, self.cell)
        widths = (layers.encoder, settings.latent, layers.decoder)
        seeds, strengths = zip(*self.members, strict=True)
        networks = image_vae.initial_networks(
            *widths, settings.activation, lambda name: list(map(self._stream(name), seeds))
        )
        if self.method.name == WEIGHT_NORM:
            networks["encoder"] = NormBoundedMLP.around(networks["encoder"], strengths)
        return networks

    def objective(self, images: Tensor) -> Variational:
        """The mean of m copies of L_k on training images `[N, 784]`, with input noise and z of their own."""
        settings, cell, device = self.settings, self.cell, images.device.type
        objective = Denoising(image_vae.bound(cell.k), self.method.alpha, images.shape[1])
        of_members, strengths = zip(*self.members, strict=True)
        scale, seeds = torch.tensor(strengths, device=device), sorted(set(of_members))
        noises, orders = (
            [self._stream(purpose, seed, device=device) for seed in seeds] for purpose in ("noise", "order")
        )
        rows = partial(continued_minibatches, len(images), settings.batch, settings.round_steps)
        return Variational(
            objective=objective,
            family=lambda networks, batch: image_vae.posterior(
                networks["encoder"],
                objective.views(images[batch["rows"]][:, None], scale, batch)[:, :, :, None],
            ),
            log_joint=lambda networks, batch: image_vae.log_joint(
                networks["decoder"], images[batch["rows"]][:, None, None, None]
            ),
            specs=objective.noise(cell.m, cell.k, settings.batch, dimensions=settings.latent),
            streams=noises,
            orders=[partial(rows, order) for order in orders],
            steps=settings.round_steps,
            seeds=torch.tensor([seeds.index(seed) for seed in of_members], device=device),
        )

    def rows_per_member(self) -> int:
        """Decoder rows that one member takes per step."""
        views = 2 if 0 < self.method.alpha < 1 else 1
        return self.settings.batch * self.cell.k * self.cell.m * views

    def fit(self, images: Tensor, **options: Any) -> Fit:
        """Train on images `[N, 784]` with the rate of eq. 43; the options are those of `ensemble.fit`."""
        return fit(
            self.objective(images),
            self.initial_networks(),
            learning_rate=self.settings.learning_rate,
            final_fraction=self.settings.final_share,
            schedule=exponential_decay,
            device=images.device.type,
            **options,
        )

    def _stream(self, purpose: str, *keys: int, device: str = "cpu") -> Stream:
        return partial(
            torch_generator, self.settings.seed, "air.train", self.dataset, purpose, *keys, device=device
        )
