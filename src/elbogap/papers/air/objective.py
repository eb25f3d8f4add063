"""What the methods of document air maximise: L_k with clean encoder inputs, noisy ones, or both."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from elbogap.ensemble import Batch, Stream, minibatches
from elbogap.nn.mlp import Network
from elbogap.papers.air.autoencoder import bound, posterior


@dataclass(frozen=True)
class Denoising:
    """alpha L_k(x; f(x + sigma e)) + (1 - alpha) L_k(x; f(x)), e ~ N(0, I), the mean of m copies.

    alpha = 0 is the VAE or IWAE, alpha = 1 the denoising one (eq. 13); between them lies eq. 16, with one
    network f for both terms: ln p - alpha E KL(f(x + sigma e) || p) - (1 - alpha) KL(f(x) || p). Members of
    equal seed share minibatches and noise, which sigma scales, so that strengths are compared on common
    random numbers.

    Attributes:
        images: `[N, 784]` in {0, 1}, float32.
        batch: images per step.
        k: importance samples.
        m: copies of the bound, with draws of z of their own and the same e.
        latent: dimensions of z.
        alpha: share of the noisy term.
        deviations: sigma of each member, `[M]`, on the device of the images.
        seeds: place of each member's seed among the streams, `[M]`, there too.
        streams: of each seed, the order of images by epoch over the data.
        noises: of each seed, the noise by round.
        steps: steps of a round, the unit in which data and noise are drawn.
    """

    images: Tensor
    batch: int
    k: int
    m: int
    latent: int
    alpha: float
    deviations: Tensor
    seeds: Tensor
    streams: Sequence[Stream]
    noises: Sequence[Stream]
    steps: int

    reported: ClassVar[tuple[str, ...]] = ()

    @property
    def views(self) -> int:
        """Encoder inputs per image: noisy, clean, or both."""
        return 2 if 0 < self.alpha < 1 else 1

    @cached_property
    def shares(self) -> Tensor:
        """Weight of each view, `[V]`, the noisy one first."""
        shares = [self.alpha, 1 - self.alpha]
        return torch.tensor([one for one in shares if one > 0], device=self.images.device)

    def prepare(self, epoch: int) -> Batch:
        """A round's `rows` `[seeds, K, B]`, `draws` `[seeds, K, V, m k, B, L]` and, if denoising, `noise`."""
        rows, draws, noise = [], [], []
        for stream, source in zip(self.streams, self.noises, strict=True):
            rows.append(self._rows(epoch, stream))
            generator = source(epoch)
            shape = (self.steps, self.views, self.m * self.k, self.batch, self.latent)
            draws.append(torch.randn(shape, generator=generator, device=self.images.device))
            if self.alpha > 0:
                shape_of_noise = (self.steps, self.batch, self.images.shape[1])
                noise.append(torch.randn(shape_of_noise, generator=generator, device=self.images.device))
        prepared = {"rows": torch.stack(rows), "draws": torch.stack(draws)}
        return prepared | {"noise": torch.stack(noise)} if noise else prepared

    def value(self, networks: Mapping[str, Network], batch: Batch) -> Tensor:
        """The objective's mean over the minibatch, `[M]`, in nats."""
        x = self.images[batch["rows"]][self.seeds]
        views = []
        if self.alpha > 0:
            views.append(x + self.deviations[:, None, None] * batch["noise"][self.seeds])
        if self.alpha < 1:
            views.append(x)
        q = posterior(networks["encoder"], torch.stack(views, 1)[:, :, None])  # [M, V, m, B, L]
        z = q.placed(batch["draws"][self.seeds].unflatten(2, (self.m, self.k)))
        copies = bound(networks["decoder"], x[:, None, None], q, z).mean((-2, -1))
        return copies @ self.shares

    def _rows(self, epoch: int, stream: Stream) -> Tensor:
        """Indices `[K, B]` of a round's minibatches, which go on where those of the last round ended."""
        per_pass = len(self.images) // self.batch
        first, last = epoch * self.steps, (epoch + 1) * self.steps
        passes = range(first // per_pass, math.ceil(last / per_pass))
        rows = torch.cat([minibatches(len(self.images), self.batch, stream(one)) for one in passes])
        start = first - passes[0] * per_pass
        return rows[start : start + self.steps]
