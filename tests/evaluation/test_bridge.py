"""log Z by bridge sampling, of densities whose log Z is known."""

import math

import pytest
import torch
from torch import Tensor

from allowance import within
from elbogap.evaluation.bridge import log_evidence

LOG_Z = -7.0


def two_gaussians(z: Tensor) -> Tensor:
    """Z times an even mixture at -1.5 and 1.5 of unit scale, in three dimensions."""
    away = (z[..., None, :] - torch.tensor([[-1.5], [1.5]], dtype=z.dtype)).square().sum(-1)
    return LOG_Z + (-0.5 * away).logsumexp(-1) - math.log(2) - 1.5 * math.log(2 * math.pi)


def estimate(seed: int, count: int) -> tuple[float, float]:
    random = torch.Generator().manual_seed(seed)
    side = 3.0 * torch.randint(2, (count, 1), generator=random) - 1.5
    draws = side + torch.randn(count, 3, generator=random, dtype=torch.float64)
    return log_evidence(two_gaussians, draws, random)


def test_log_evidence_and_its_standard_error() -> None:
    values, errors = torch.tensor([estimate(seed, 1000) for seed in range(40)], dtype=torch.float64).unbind(1)
    assert within(values - LOG_Z, errors)
    assert float(values.std() / errors.mean()) == pytest.approx(1, abs=0.35)
    assert float(errors.mean()) < 0.1


def test_the_error_falls_with_the_draws() -> None:
    assert estimate(0, 16_000)[1] == pytest.approx(estimate(0, 1000)[1] / 4, rel=0.2)
