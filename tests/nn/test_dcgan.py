"""The DCGAN tutorial's networks: sizes, initial weights, storage."""

import numpy as np
import pytest
import torch
from torch import nn

from elbogap.errors import UserError
from elbogap.nn.dcgan import Encoder, Generator, ImageNetwork


def stream() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_tutorial_s_networks_have_the_tutorial_s_sizes() -> None:
    """Counted by hand from the tutorial's listings; its last convolution of the discriminator has no bias."""
    assert parameters(Generator(100, 64, 64, stream())) == 3_576_704
    assert parameters(ImageNetwork(1, 64, 64, stream())) == 2_765_568 + 1


@pytest.mark.parametrize("side", [8, 16, 32, 64])
def test_images_of_each_side(side: int) -> None:
    images = Generator(5, 2, side, stream())(torch.randn(3, 5))
    assert images.shape == (3, 3, side, side)
    assert images.abs().max() < 1
    assert ImageNetwork(7, 2, side, stream())(images).shape == (3, 7)


@pytest.mark.parametrize("side", [4, 12, 30, 48])
@pytest.mark.parametrize("kind", [Generator, Encoder])
def test_other_sides_are_refused(kind: type, side: int) -> None:
    with pytest.raises(UserError, match=f"images of side {side}"):
        kind(5, 2, side, stream())


def test_an_encoder_begins_at_the_prior() -> None:
    encoder = Encoder(5, 2, 16, stream())
    mean, log_scale = encoder.moments(torch.randn(4, 3, 16, 16))
    assert mean.shape == log_scale.shape == (4, 5)
    assert not mean.any()
    assert not log_scale.any()


def test_initial_weights_are_the_tutorial_s() -> None:
    network = Generator(100, 32, 16, stream())
    for module in network.modules():
        if isinstance(module, nn.ConvTranspose2d):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.1)
            assert module.weight.mean().item() == pytest.approx(0, abs=0.002)
        if isinstance(module, nn.BatchNorm2d):
            assert module.weight.mean().item() == pytest.approx(1, abs=0.02)
            assert not module.bias.any()


@pytest.mark.parametrize("kind", [Generator, Encoder])
def test_networks_survive_as_arrays_with_their_running_statistics(kind: type) -> None:
    network = kind(5, 2, 16, stream())
    inputs = torch.randn(6, 5) if kind is Generator else torch.randn(6, 3, 16, 16)
    network(inputs)  # moves the running statistics
    again = kind.from_arrays(network.to_arrays() | {"data": np.array("real")})
    assert again.sizes == (5, 2, 16)
    network, again = network.eval(), again.eval()
    assert torch.equal(network(inputs), again(inputs))


def test_foreign_arrays_are_refused() -> None:
    arrays = Generator(5, 2, 16, stream()).to_arrays()
    with pytest.raises(UserError, match="no Encoder"):
        Encoder.from_arrays(arrays)
    with pytest.raises(UserError, match="no Generator"):
        Generator.from_arrays({name: value for name, value in arrays.items() if name != "sizes"})
