"""Standard noise, named and shaped before it is drawn: the only randomness of families and objectives.

A step of training is then a fixed sequence of operations on tensors: it can be repeated bit for bit, captured
as a CUDA graph, and shared between methods that are compared on common random numbers.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

Noise = Mapping[str, Tensor]
"""Noise by name."""


class Spec(NamedTuple):
    """The shape of some noise, standard normal unless it is uniform on (0, 1)."""

    shape: tuple[int, ...]
    uniform: bool = False


Specs = Mapping[str, Spec]
"""What is asked for, by name; it is drawn in this order."""


def draw(
    specs: Specs, generator: torch.Generator, *leading: int, dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """Noise `[*leading, *shape]` of each name, on the device of the generator."""
    drawn = {}
    for name, (shape, uniform) in specs.items():
        source = torch.rand if uniform else torch.randn
        drawn[name] = source(*leading, *shape, generator=generator, dtype=dtype, device=generator.device)
    return drawn
