"""Regression on fitted values, by which networks are distilled (document mapa, eq. 39 and 40)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from elbogap.ensemble import Batch, Stream, minibatches, rows_of
from elbogap.nn.mlp import Network


@dataclass(frozen=True)
class Regression:
    """-|t_n - network(i_n)|^2 / (2 v) on minibatches, an objective for :func:`elbogap.ensemble.fit`.

    With x_n, z*_n and v = 1/2 it is the summand of eq. 39; with g_psi-dagger(x_n), f(g(x_n)) and the noise
    variance it is that of eq. 40, the divergence of two Gaussians, in nats. Inputs i_n are `[M, N, I]`,
    targets t_n `[M, N, O]`; v is the variance.
    """

    inputs: Tensor
    targets: Tensor
    variance: float
    batch: int
    streams: Sequence[Stream]

    reported: ClassVar[tuple[str, ...]] = ()

    @property
    def steps(self) -> int:
        """Steps per epoch."""
        return self.inputs.shape[1] // self.batch

    def prepare(self, epoch: int) -> Batch:
        """`inputs` `[M, K, B, I]` and `targets` `[M, K, B, O]` in the epoch's order."""
        count = self.inputs.shape[1]
        orders = torch.stack([minibatches(count, self.batch, stream(epoch)) for stream in self.streams])
        rows = orders.to(self.inputs.device)
        return {"inputs": rows_of(self.inputs, rows), "targets": rows_of(self.targets, rows)}

    def value(self, networks: Mapping[str, Network], batch: Batch) -> Tensor:
        """Mean over the minibatch, `[M]`; the network is the one named `network`."""
        error = networks["network"](batch["inputs"]) - batch["targets"]
        return -error.square().sum(-1).mean(-1) / (2 * self.variance)
