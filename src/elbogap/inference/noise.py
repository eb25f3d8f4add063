"""Standard noise, declared by name and shape before it is drawn: draws and estimates use nothing else.

A training step is then a deterministic function of tensors: it can be repeated bit for bit, captured as a
CUDA graph, and compared with other methods on common random numbers.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from elbogap.errors import UserError

Noise = Mapping[str, Tensor]  # noise by name


class Spec(NamedTuple):
    """The shape of a noise tensor, which is standard normal, or uniform on [0, 1)."""

    shape: tuple[int, ...]
    uniform: bool = False


Specs = Mapping[str, Spec]  # the noise that is needed, by name; it is drawn in this order


def draw(
    specs: Specs, generator: torch.Generator, *leading: int, dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """Noise `[*leading, *shape]` of each name, on the device of the generator."""
    drawn = {}
    for name, (shape, uniform) in specs.items():
        source = torch.rand if uniform else torch.randn
        drawn[name] = source(*leading, *shape, generator=generator, dtype=dtype, device=generator.device)
    return drawn


def take(noise: Noise | None, name: str, *shape: int) -> Tensor:
    """The noise of this name; UserError if it is missing or its shape does not end in `shape` (-1: any)."""
    if noise is None or name not in noise:
        given = ", ".join(noise or ()) or "none"
        raise UserError(f"the noise '{name}' is missing (given: {given}); draw all that was asked for")
    found = noise[name]
    end = found.shape[max(0, found.ndim - len(shape)) :]
    if len(end) < len(shape) or any(want not in (-1, have) for want, have in zip(shape, end, strict=True)):
        wanted = ", ".join("?" if length == -1 else str(length) for length in shape)
        raise UserError(
            f"the noise '{name}' must have the shape [..., {wanted}], not {list(found.shape)}; "
            "draw it as it was asked for"
        )
    return found
