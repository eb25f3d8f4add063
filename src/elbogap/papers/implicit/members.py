"""Random numbers of an ensemble, whose members have generators of their own."""

from collections.abc import Hashable, Iterable
from functools import partial

import torch
from torch import Tensor

from elbogap.runtime import torch_generator


def streams(
    seed: int, *keys: Hashable, members: Iterable[int], device: str = "cpu"
) -> list[partial[torch.Generator]]:
    """For each member a function that gives its generator of these keys, and of further ones if given."""
    return [partial(torch_generator, seed, *keys, member, device=device) for member in members]


def normal(generators: Iterable[torch.Generator], *shape: int) -> Tensor:
    """Standard normal numbers of each member, `[M, *shape]`."""
    return torch.stack([torch.randn(shape, generator=own, device=own.device) for own in generators])
