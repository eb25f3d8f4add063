"""The empiricalised likelihood against the document's own decomposition."""

import math

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
