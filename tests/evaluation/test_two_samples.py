"""Distances of two samples against closed forms."""

import math

import pytest
import torch

from elbogap.errors import UserError
from elbogap.evaluation.two_samples import sliced_wasserstein, squared_mmd


def normal(count: int, dim: int, seed: int) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_shift_costs_the_mean_length_of_its_projections() -> None:
    draws, shift = normal(50, 3, 0), torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    directions = torch.nn.functional.normalize(normal(7, 3, 1), dim=1)
    found = sliced_wasserstein(draws, draws + shift, directions)
    assert float(found) == pytest.approx(float((directions @ shift).abs().mean()), rel=1e-12)
    assert float(sliced_wasserstein(draws, draws.flip(0), directions)) == pytest.approx(0, abs=1e-12)


def test_samples_of_other_sizes_are_refused() -> None:
    with pytest.raises(UserError, match="must have the same shape, not"):
        sliced_wasserstein(normal(3, 2, 0), normal(4, 2, 0), torch.eye(2).double())


def test_mmd_of_gaussians() -> None:
    """Between N(0, 1) and N(m, 1): 2 c (1 - exp(-m^2 / (h + 4))), c = sqrt(h / (h + 4)), of the kernel's h.

    E exp(-|x - y|^2 / h) is that with a Gaussian difference of variance 2.
    """
    first, second = normal(2000, 1, 0) + 2.0, normal(2000, 1, 1)
    h = float((second - second.mT).square()[*torch.triu_indices(2000, 2000, 1)].median())
    expected = 2 * math.sqrt(h / (h + 4)) * (1 - math.exp(-4 / (h + 4)))
    assert float(squared_mmd(first, second)) == pytest.approx(expected, abs=0.02)
    assert abs(float(squared_mmd(second[:1000], second[1000:]))) < 1e-2
