import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from elbogap.inference import empirical

N = 6


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@given(seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=10)
def test_the_gap_to_the_autoencoder_is_that_of_eq_14(seed: int) -> None:
    log_likelihood = 3 * normal(N, N, seed=seed)
    own = log_likelihood.diagonal()
    ratios = (log_likelihood - own[:, None]).exp()
    gap = torch.log1p(ratios.sum(1) - 1)
    exact = empirical.empiricalised_log_likelihood(log_likelihood)
    torch.testing.assert_close(exact, own - math.log(N) + gap)
    assert (gap >= 0).all()


def test_bernoulli_kernel_is_symmetric_and_counts_disagreements() -> None:
    data = (normal(9, 5) > 0).double()
    log_k = empirical.bernoulli_log_kernel(data, data, 0.9)
    differing = (data[:, None] != data).sum(-1).double()
    torch.testing.assert_close(log_k, (5 - differing) * math.log(0.9) + differing * math.log(0.1))
    torch.testing.assert_close(log_k, log_k.T)


def test_the_printed_bernoulli_kernel_still_vanishes_in_one_direction() -> None:
    """Eq. 21 as printed, prod_d rho x_i x_n + (1 - rho x_i)(1 - x_n), is 0 for x_i = 0 and x_n = 1."""
    rho, x_i, x_n = 0.9, torch.zeros(1, 1), torch.ones(1, 1)
    assert (rho * x_i * x_n + (1 - rho * x_i) * (1 - x_n)).item() == 0
    assert empirical.bernoulli_log_kernel(x_n, x_i, rho).item() == pytest.approx(math.log(0.1))
