"""The networks of the DCGAN tutorial (Inkawhich 2017, after Radford et al. 2016), for several image sizes.

Images have three channels in [-1, 1]. Between 4 x 4 pixels and the image, each convolution doubles or halves
the side; the tutorial's networks are those of side 64, width 64 and 100 latent dimensions.
"""

import itertools
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from elbogap.errors import UserError

CHANNELS = 3
SMALLEST = 4  # side of the smallest feature map
SLOPE = 0.2  # of the leaky rectifiers at negative values


class _Network(nn.Module):
    """A network of three sizes, with the tutorial's initial weights."""

    def __init__(self, dimensions: int, width: int, side: int, generator: torch.Generator) -> None:
        """Draw the weights: convolutions from N(0, .02^2), scales from N(1, .02^2); biases are 0.

        Images are made of vectors of these dimensions, or made into them; `width` are the channels of the
        hidden layer next to the image. UserError if the side S is not 4 times a power of two, at least 8.
        """
        super().__init__()
        self.sizes = dimensions, width, side
        factor, rest = divmod(side, SMALLEST)
        if rest or factor < 2 or factor & (factor - 1):
            raise UserError(f"images of side {side}: the side must be 8, 16, 32, 64 ...")
        self._build(dimensions, [width * 2**i for i in range(factor.bit_length() - 1)])
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d):
                centre = 1.0 if isinstance(module, nn.BatchNorm2d) else 0.0
                nn.init.normal_(module.weight, centre, 0.02, generator=generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    @abstractmethod
    def _build(self, dimensions: int, channels: Sequence[int]) -> None:
        """Make the layers; the channels of the hidden ones are given from the image on."""

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Everything that :meth:`from_arrays` needs: `sizes`, weights and running statistics."""
        values = {name: value.cpu().numpy() for name, value in self.state_dict().items()}
        return {"sizes": np.array(self.sizes), **values}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The network that :meth:`to_arrays` described, or UserError; other arrays are ignored."""
        try:
            dimensions, width, side = arrays["sizes"].tolist()
            network = cls(dimensions, width, side, torch.Generator())
            network.load_state_dict({name: torch.as_tensor(arrays[name]) for name in network.state_dict()})
        except (KeyError, RuntimeError) as error:
            raise UserError(
                f"these arrays are no {cls.__name__} ({sorted(arrays)}); rebuild their file"
            ) from error
        return network


class Generator(_Network):
    """A decoder of latent vectors into images."""

    def _build(self, dimensions: int, channels: Sequence[int]) -> None:
        channels = channels[::-1]
        layers: list[nn.Module] = [_up(dimensions, channels[0], stride=1), *_normalised(channels[0])]
        for wide, narrow in itertools.pairwise(channels):
            layers += [_up(wide, narrow, stride=2), *_normalised(narrow)]
        self.layers = nn.Sequential(*layers, _up(channels[-1], CHANNELS, stride=2), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        """`[B, L]` to `[B, 3, S, S]` in (-1, 1)."""
        return self.layers(z[..., None, None])


class ImageNetwork(_Network):
    """The tutorial's discriminator with any number of outputs: one logit, or the parameters of q(z|x)."""

    def _build(self, dimensions: int, channels: Sequence[int]) -> None:
        layers: list[nn.Module] = [_down(CHANNELS, channels[0]), nn.LeakyReLU(SLOPE, inplace=True)]
        for narrow, wide in itertools.pairwise(channels):
            layers += [_down(narrow, wide), nn.BatchNorm2d(wide), nn.LeakyReLU(SLOPE, inplace=True)]
        self.trunk = nn.Sequential(*layers)
        self.last = nn.Conv2d(channels[-1], dimensions, SMALLEST)

    def forward(self, images: Tensor) -> Tensor:
        """`[B, 3, S, S]` to `[B, O]`."""
        return self.last(self.trunk(images)).flatten(1)


class Encoder(ImageNetwork):
    """q(z|x) = N(m(x), diag s(x)^2) with the discriminator's trunk; at the beginning it is N(0, I)."""

    def __init__(self, latent: int, width: int, side: int, generator: torch.Generator) -> None:
        """Draw the initial weights of all layers but the last, whose weights are 0."""
        super().__init__(latent, width, side, generator)
        nn.init.zeros_(self.last.weight)

    def _build(self, dimensions: int, channels: Sequence[int]) -> None:
        super()._build(2 * dimensions, channels)

    def moments(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean m(x) and log-scale log s(x), `[B, L]` each, of images `[B, 3, S, S]`."""
        mean, log_scale = self(images).chunk(2, -1)
        return mean, log_scale


def _up(inputs: int, outputs: int, stride: int) -> nn.Module:
    return nn.ConvTranspose2d(inputs, outputs, SMALLEST, stride, padding=stride - 1, bias=False)


def _down(inputs: int, outputs: int) -> nn.Module:
    return nn.Conv2d(inputs, outputs, SMALLEST, stride=2, padding=1, bias=False)


def _normalised(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
