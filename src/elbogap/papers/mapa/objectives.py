"""What the methods of document mapa maximise, for ensembles of data draws and restarts.

VAE and IWAE have the mean-field Gaussian q(z|x) of section 6; MAPA has eq. 10 under three proposals (eq. 8,
eq. 7 under the true model, uniform), or all N terms. MAPA's networks see each distinct point of a batch once.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from elbogap.densities import (
    gaussian_kl_to_standard,
    gaussian_log_density,
    isotropic_gaussian_log_density,
    standard_gaussian_log_density,
)
from elbogap.ensemble import Batch, Stream, minibatches
from elbogap.inference.bounds import doubly_reparameterised_iwae, elbo, iwae
from elbogap.inference.empirical import Proposal, budget
from elbogap.nn.mlp import Network
from elbogap.papers.mapa.cells import Cell


@dataclass(frozen=True)
class OnMinibatches:
    """What the objectives have in common.

    Attributes:
        data: training set of each member, `[M, N, 2]`, float32.
        noise_variance: sigma^2.
        batch: observations per step.
        streams: generator of each member by epoch, on the device of the data.
    """

    data: Tensor
    noise_variance: float
    batch: int
    streams: Sequence[Stream]

    reported: ClassVar[tuple[str, ...]] = ()

    @property
    def steps(self) -> int:
        """Steps per epoch."""
        return self.data.shape[1] // self.batch


@dataclass(frozen=True)
class EncoderObjective(OnMinibatches):
    """L_VAE with the divergence in closed form, or L_IWAE of S samples.

    Attributes:
        cell: the method and S.
    """

    cell: Cell

    def prepare(self, epoch: int) -> Batch:
        """`x` `[M, K, B, 2]` and standard normal `noise` `[M, K, S, B, 1]`."""
        xs, noises = [], []
        for data, stream in zip(self.data, self.streams, strict=True):
            generator = stream(epoch)
            chosen = minibatches(len(data), self.batch, generator)
            shape = (len(chosen), self.cell.samples or 1, self.batch, 1)
            xs.append(data[chosen])
            noises.append(torch.randn(shape, generator=generator, device=generator.device))
        return {"x": torch.stack(xs), "noise": torch.stack(noises)}

    def value(self, networks: Mapping[str, Network], batch: Batch) -> Tensor:
        """The bound's mean over the batch, `[M]`, in nats."""
        x = batch["x"]
        mean, log_variance = networks["encoder"](x)[:, None].chunk(2, -1)
        z = mean + torch.exp(0.5 * log_variance) * batch["noise"]

        def log_likelihood(z: Tensor) -> Tensor:
            means = networks["decoder"](z)
            return isotropic_gaussian_log_density(x[:, None], means, self.noise_variance)

        if self.cell.method == "vae":
            divergence = gaussian_kl_to_standard(mean, log_variance)
            return elbo(log_likelihood(z) - divergence).mean(-1)

        def log_weights(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
            return (
                log_likelihood(z)
                + standard_gaussian_log_density(z)
                - gaussian_log_density(z, mean, log_variance)
            )

        if self.cell.method == "iwae_plain":
            return iwae(log_weights(z, mean, log_variance)).mean(-1)
        mean, log_variance = mean.detach(), log_variance.detach()
        return doubly_reparameterised_iwae(z, lambda z: log_weights(z, mean, log_variance)).mean(-1)


@dataclass(frozen=True)
class MapaObjective(OnMinibatches):
    """L_MAPA (eq. 10): terms chosen by each data set's proposal, networks run once per distinct point.

    Attributes:
        proposals: prepared proposal of each member, on the device of the data; equal data sets share theirs.
        samples: terms drawn from each tail.
    """

    proposals: Sequence[Proposal]
    samples: int

    reported: ClassVar[tuple[str, ...]] = ("passes",)

    def prepare(self, epoch: int) -> Batch:
        """What a step needs.

        Returns:
            `x` `[M, K, B, 2]`; `points` `[M, K, U, 2]`, the distinct points that the step's terms ask for,
            padded with the first point; `terms` `[M, K, B, T]`, places of the terms among all members'
            points in one row; `log_weights` `[M, K, B, T]`; `passes` `[M, K]`, the number of distinct points
            over B. On a GPU `points` are all N, since shapes must not change and most are asked for.
        """
        count = self.data.shape[1]
        chosen, indices, log_weights = [], [], []
        for proposal, stream in zip(self.proposals, self.streams, strict=True):
            generator = stream(epoch)
            rows = minibatches(count, self.batch, generator)
            terms = proposal.draw(self.samples, generator)  # of all points, each being in one batch
            chosen.append(rows)
            indices.append(terms.indices[rows])
            log_weights.append(terms.log_weights.float()[rows])
        rows, terms_, members = torch.stack(chosen), torch.stack(indices), len(chosen)
        used = terms_.new_zeros((members, self.steps, count), dtype=torch.bool)
        used.scatter_(2, terms_.flatten(2), True)
        passes = used.sum(-1)
        if self.data.device.type == "cpu":
            place, width = used.cumsum(-1) - 1, int(passes.max())
            points = torch.zeros(members, self.steps, width, dtype=torch.int64)
            member, step, index = used.nonzero(as_tuple=True)
            points[member, step, place[used]] = index
            terms_ = place.gather(2, terms_.flatten(2)).view_as(terms_)
            x_points = self._rows(points)
        else:
            width = count
            x_points = self.data[:, None].expand(-1, self.steps, -1, -1)
        offset = width * torch.arange(members, device=terms_.device).view(-1, 1, 1, 1)
        return {
            "x": self._rows(rows),
            "points": x_points,
            "terms": terms_ + offset,
            "log_weights": torch.stack(log_weights),
            "passes": passes / self.batch,
        }

    def value(self, networks: Mapping[str, Network], batch: Batch) -> Tensor:
        """The bound's mean over the batch, `[M]`, in nats."""
        means = networks["decoder"](networks["encoder"](batch["points"]))
        terms = batch["terms"]
        chosen = means.flatten(0, 1).index_select(0, terms.flatten()).view(*terms.shape, -1)
        log_likelihood = isotropic_gaussian_log_density(batch["x"].unsqueeze(-2), chosen, self.noise_variance)
        bound = torch.logsumexp(log_likelihood + batch["log_weights"], -1)
        return bound.mean(-1) - math.log(self.data.shape[1])

    def _rows(self, indices: Tensor) -> Tensor:
        """Observations of each member, indices `[M, K, R]` to `[M, K, R, 2]`."""
        flat = indices.flatten(1)
        rows = self.data.gather(1, flat.unsqueeze(-1).expand(-1, -1, self.data.shape[-1]))
        return rows.unflatten(1, indices.shape[1:])


@dataclass(frozen=True)
class ExactMapaObjective(OnMinibatches):
    """The empiricalised log-likelihood (eq. 6), all N terms of it: MAPA with k = N."""

    def prepare(self, epoch: int) -> Batch:
        """`x` `[M, K, B, 2]` and all `points` `[M, K, N, 2]`."""
        rows = [
            data[minibatches(len(data), self.batch, stream(epoch))]
            for data, stream in zip(self.data, self.streams, strict=True)
        ]
        return {"x": torch.stack(rows), "points": self.data[:, None].expand(-1, self.steps, -1, -1)}

    def value(self, networks: Mapping[str, Network], batch: Batch) -> Tensor:
        """The empiricalised log-likelihood's mean over the batch, `[M]`, in nats."""
        means = networks["decoder"](networks["encoder"](batch["points"]))
        square = means.new_zeros(())
        for x, mean in zip(batch["x"].unbind(-1), means.unbind(-1), strict=True):
            square = square + (x.unsqueeze(-1) - mean.unsqueeze(-2)).square()
        log_sum = torch.logsumexp(-0.5 / self.noise_variance * square, -1)
        constant = 0.5 * means.shape[-1] * math.log(2 * math.pi * self.noise_variance)
        return log_sum.mean(-1) - constant - math.log(means.shape[1])


def terms_of(cell: Cell, count: int) -> tuple[int, int]:
    """The number k of terms taken for certain and of those drawn, of N in all."""
    if cell.samples is None or cell.share is None:
        return count, 0
    return budget(cell.samples, cell.share, cell.reading)
