"""The networks of the DCGAN tutorial (Inkawhich 2017, after Radford et al. 2016), for several image sizes.

Images have three channels in [-1, 1]. Between 4 x 4 pixels and the image, each convolution doubles or halves
the side; the tutorial's networks are those of side 64, width 64 and 100 latent dimensions.
"""

import itertools
from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from elbogap.errors import UserError

CHANNELS = 3
SMALLEST = 4
"""Side of the smallest feature map."""
SLOPE = 0.2
"""Slope of the leaky rectifiers at negative values."""


class Generator(nn.Module):
    """A decoder of latent vectors into images."""

    def __init__(self, latent: int, width: int, side: int, generator: torch.Generator) -> None:
        """Draw the initial weights.

        Args:
            latent: latent dimensions L.
            width: channels of the last hidden layer.
            side: width and height S of the images; 4 times a power of two, 8 at least.
            generator: source of the initial weights.

        Raises:
            UserError: another side.
        """
        super().__init__()
        self.sizes = latent, width, side
        channels = [width * 2**i for i in reversed(range(_doublings(side)))]
        layers: list[nn.Module] = [_up(latent, channels[0], stride=1), *_normalised(channels[0])]
        for wide, narrow in itertools.pairwise(channels):
            layers += [_up(wide, narrow, stride=2), *_normalised(narrow)]
        self.layers = nn.Sequential(*layers, _up(channels[-1], CHANNELS, stride=2), nn.Tanh())
        initialise(self, generator)

    def forward(self, z: Tensor) -> Tensor:
        """`[B, L]` to `[B, 3, S, S]` in (-1, 1)."""
        return self.layers(z[..., None, None])


class ImageNetwork(nn.Module):
    """The tutorial's discriminator with any number of outputs: one logit, or the parameters of q(z|x)."""

    def __init__(self, outputs: int, width: int, side: int, generator: torch.Generator) -> None:
        """Draw the initial weights.

        Args:
            outputs: number O of outputs.
            width: channels of the first hidden layer.
            side: width and height S of the images; 4 times a power of two, 8 at least.
            generator: source of the initial weights.

        Raises:
            UserError: another side.
        """
        super().__init__()
        channels = [width * 2**i for i in range(_doublings(side))]
        layers: list[nn.Module] = [_down(CHANNELS, width), nn.LeakyReLU(SLOPE, inplace=True)]
        for narrow, wide in itertools.pairwise(channels):
            layers += [_down(narrow, wide), nn.BatchNorm2d(wide), nn.LeakyReLU(SLOPE, inplace=True)]
        self.trunk = nn.Sequential(*layers)
        self.last = nn.Conv2d(channels[-1], outputs, SMALLEST)
        initialise(self, generator)

    def forward(self, images: Tensor) -> Tensor:
        """`[B, 3, S, S]` to `[B, O]`."""
        return self.last(self.trunk(images)).flatten(1)


class Encoder(ImageNetwork):
    """q(z|x) = N(m(x), diag s(x)^2) with the discriminator's trunk; at the beginning it is N(0, I)."""

    def __init__(self, latent: int, width: int, side: int, generator: torch.Generator) -> None:
        """Draw the initial weights of all layers but the last, whose weights are 0.

        Args:
            latent: latent dimensions L.
            width: channels of the first hidden layer.
            side: width and height S of the images.
            generator: source of the initial weights.

        Raises:
            UserError: another side than :class:`ImageNetwork` takes.
        """
        super().__init__(2 * latent, width, side, generator)
        self.sizes = latent, width, side
        nn.init.zeros_(self.last.weight)

    def moments(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean m(x) and log-deviation log s(x), `[B, L]` each, of images `[B, 3, S, S]`."""
        mean, log_deviation = self(images).chunk(2, -1)
        return mean, log_deviation


Network = TypeVar("Network", Generator, Encoder)


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """The tutorial's weights: convolutions from N(0, .02^2), scales from N(1, .02^2), biases 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d):
            centre = 1.0 if isinstance(module, nn.BatchNorm2d) else 0.0
            nn.init.normal_(module.weight, centre, 0.02, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def to_arrays(network: Generator | Encoder) -> dict[str, np.ndarray]:
    """Everything that :func:`from_arrays` needs: `sizes`, weights and running statistics."""
    values = {name: value.cpu().numpy() for name, value in network.state_dict().items()}
    return {"sizes": np.array(network.sizes), **values}


def from_arrays(kind: type[Network], arrays: Mapping[str, np.ndarray]) -> Network:
    """The network that :func:`to_arrays` described; other arrays in the mapping are ignored.

    Raises:
        UserError: the arrays describe no such network.
    """
    try:
        latent, width, side = arrays["sizes"].tolist()
        network = kind(latent, width, side, torch.Generator())
        network.load_state_dict({name: torch.as_tensor(arrays[name]) for name in network.state_dict()})
    except (KeyError, RuntimeError) as error:
        raise UserError(
            f"these arrays are no {kind.__name__} ({sorted(arrays)}); rebuild their file"
        ) from error
    return network


def _doublings(side: int) -> int:
    """How often the smallest side is doubled."""
    factor, rest = divmod(side, SMALLEST)
    if rest or factor < 2 or factor & (factor - 1):
        raise UserError(f"images of side {side}: the side must be 8, 16, 32, 64 ...")
    return factor.bit_length() - 1


def _up(inputs: int, outputs: int, stride: int) -> nn.Module:
    return nn.ConvTranspose2d(inputs, outputs, SMALLEST, stride, padding=stride - 1, bias=False)


def _down(inputs: int, outputs: int) -> nn.Module:
    return nn.Conv2d(inputs, outputs, SMALLEST, stride=2, padding=1, bias=False)


def _normalised(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
