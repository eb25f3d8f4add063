"""Entropies of Gaussians and uniform distributions, which are known."""

import math

import pytest
import torch
from torch import Tensor

from elbogap.densities import LOG_2PI
from elbogap.evaluation.histogram import entropy


def draws(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("dimension", [1, 2])
def test_the_entropy_of_a_gaussian(dimension: int) -> None:
    """The bias of the cells is h^2 / 24 E|z|^2 / s^2 = D h^2 / (24 s^2)."""
    scale, width = 0.7, 0.2
    exact = dimension * (0.5 * (LOG_2PI + 1) + math.log(scale))
    bias = dimension * (width / scale) ** 2 / 24
    found = entropy(scale * draws(0, 200_000, dimension) + 50.05, width)
    assert float(found) == pytest.approx(exact + bias, abs=0.005)


def test_few_draws_are_corrected() -> None:
    """200 draws in about 60 cells: without the correction the mean lies 0.1 nats below."""
    exact = LOG_2PI + 1
    found = entropy(draws(1, 400, 1000, 2), 0.5)
    plain = found.mean() - exact
    assert abs(float(plain)) < 0.03


def test_draws_at_the_centres_of_equal_cells_are_a_uniform_distribution() -> None:
    centres = torch.arange(8, dtype=torch.float64) * 0.25 - 0.875
    z = torch.cartesian_prod(centres, centres).repeat(10, 1)
    assert float(entropy(z, 0.25)) == pytest.approx(math.log(4) + 63 / 1280)


def test_leading_axes_are_independent_and_lost_members_are_nan() -> None:
    z = draws(2, 2, 3, 500, 2).float()
    z[1, 2, 7, 0] = math.inf
    found = entropy(z, 0.3)
    assert found.shape == (2, 3)
    assert found.dtype == torch.float64
    assert found.isnan().nonzero().tolist() == [[1, 2]]
    assert found[0, 1] == entropy(z[0, 1], 0.3)
