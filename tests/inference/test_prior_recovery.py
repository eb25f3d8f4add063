import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata
from torch import Tensor
from torch.special import ndtr, ndtri

from elbogap.errors import UserError
from elbogap.inference.prior_recovery import (
    MonotoneMap,
    gaussian_copula,
    quantile_map,
    smoothed,
    whitened,
)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def quantiles(count: int) -> Tensor:
    return ndtri((torch.arange(count, dtype=torch.float64) + 0.5) / count)


def bent(z: Tensor) -> Tensor:
    """A known increasing map with |m''| <= 1/2."""
    return z + 0.5 * torch.sin(z)


codes = st.lists(st.integers(-20, 20).map(lambda n: n / 8), min_size=2, max_size=30)


def test_codes_at_the_normal_quantiles_give_the_map_that_made_them() -> None:
    u = quantiles(2000)
    h = quantile_map(bent(u)[torch.randperm(2000, generator=torch.Generator().manual_seed(0))])
    z = torch.linspace(float(u[0]), float(u[-1]), 100_001, dtype=torch.float64)
    # Linear interpolation errs by max |m''| spacing^2 / 8.
    spacing = u.diff()[torch.searchsorted(u, z).clamp(1, len(u) - 1) - 1]
    assert ((h(z) - bent(z)).abs() <= 0.5 * spacing.square() / 8 + 1e-12).all()
    assert (h(z) - bent(z))[z.abs() < 2].abs().max() < 1e-4


def test_codes_of_normal_draws_recover_the_law_as_fast_as_an_empirical_one() -> None:
    """Dvoretzky, Kiefer and Wolfowitz: |F_N - F| > e somewhere has probability at most 2 exp(-2 N e^2)."""
    count = 5000
    h = quantile_map(bent(normal(count)))
    z = torch.linspace(-3, 3, 1001, dtype=torch.float64)
    distance = (ndtr(h.inverse(bent(z))) - ndtr(z)).abs().max()
    assert distance < math.sqrt(math.log(2e6) / (2 * count)) + 0.5 / count
    assert distance > 1e-4  # but these are random codes: the map is not the one that made them


def test_each_code_has_one_nth_of_the_prior_between_half_way_quantiles() -> None:
    c = normal(100)
    h, ordered = quantile_map(c), c.sort().values
    edges = torch.arange(101, dtype=torch.float64) / 100
    between = h(ndtri(edges[1:-1]))
    assert ((between > ordered[:-1]) & (between < ordered[1:])).all()
    torch.testing.assert_close(ndtr(h.inverse(ordered)), edges[:-1] + 0.005)
    draws = h(normal(400_000, seed=1)).contiguous()
    counts = torch.bincount(torch.searchsorted(between, draws), minlength=100)
    # Binomial with mean 4000 and deviation 63, of which five.
    assert (counts - 4000).abs().max() < 5 * 63


def test_beyond_the_extremes_the_map_is_constant_on_one_nth_of_the_prior() -> None:
    c = normal(50)
    h = quantile_map(c)
    assert h(torch.tensor([-40.0, 40.0])).tolist() == [c.min(), c.max()]
    assert h(h.latents[[0, -1]]).tolist() == [c.min(), c.max()]
    assert (ndtr(h.latents[0]) + ndtr(-h.latents[-1])).item() == pytest.approx(1 / 50)
    torch.testing.assert_close(h.inverse(torch.tensor([-99.0, 99.0])), h.latents[[0, -1]])


@given(values=codes, share=st.floats(0, 1))
def test_the_inverse_is_one_for_ties_too(values: list[float], share: float) -> None:
    c = torch.tensor(values, dtype=torch.float64)
    h = quantile_map(c)
    inside = torch.lerp(c.min(), c.max(), torch.tensor([share], dtype=torch.float64))
    every = torch.cat([c, inside])
    torch.testing.assert_close(h(h.inverse(every)), every, rtol=0, atol=1e-12)
    z = torch.linspace(float(h.latents[0]), float(h.latents[-1]), 41, dtype=torch.float64)
    assert (h(z).diff() >= 0).all()
    if len(set(values)) == len(values):
        torch.testing.assert_close(h.inverse(h(z)), z, rtol=0, atol=1e-9)


@given(values=codes)
def test_the_copula_is_that_of_mean_ranks_and_finite(values: list[float]) -> None:
    expected = ndtri((torch.from_numpy(rankdata(values)) - 0.5) / len(values))
    found = gaussian_copula(torch.tensor(values, dtype=torch.float64))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    # Eq. 36 as printed: the smallest code has rank 1 from above, and Phi^-1(1) is infinite.
    printed = ndtri(torch.tensor([np.mean(np.array(values) >= min(values))]))
    assert printed.isinf().all()


def test_whitened_copulas_have_mean_zero_and_unit_deviation_whatever_the_codes() -> None:
    z = whitened(gaussian_copula(normal(500).exp()))
    assert z.mean().item() == pytest.approx(0, abs=1e-12)
    assert z.std().item() == pytest.approx(1)


def test_the_composition_of_decoder_and_encoder_is_unchanged() -> None:
    """f(g(x)) = (f o h)((h^-1 o g)(x)), eq. 38."""
    g = bent(normal(300))
    h = quantile_map(g)
    torch.testing.assert_close(torch.sin(h(h.inverse(g))), torch.sin(g), rtol=0, atol=1e-12)


def test_the_identity_map_is_one() -> None:
    z, identity = torch.linspace(-9, 9, 7, dtype=torch.float64), MonotoneMap.identity(10)
    torch.testing.assert_close(identity(z), z)
    torch.testing.assert_close(identity.inverse(z), z)
    assert identity(torch.tensor([99.0])).item() == 10


@pytest.mark.parametrize("bad", [[1.0], [[1.0, 2.0]], [0.0, math.nan], [0.0, math.inf]])
def test_codes_that_define_no_map_are_refused(bad: list[float]) -> None:
    with pytest.raises(UserError, match="two or more finite codes"):
        quantile_map(torch.tensor(bad))


@pytest.mark.parametrize(("width", "error"), [(0.05, 0.0025), (0.3, 0.015)])
def test_a_smoothed_line_is_a_line_within_the_knots_and_a_smoothed_step_a_normal_cdf(
    width: float, error: float
) -> None:
    z = torch.linspace(-6, 6, 241, dtype=torch.float64)
    line = smoothed(MonotoneMap(z, 0.3 + 2 * z), width)
    reach = 6 - 8 * width
    inside = (z > -reach) & (z < reach)
    torch.testing.assert_close(line.codes[inside], (0.3 + 2 * z)[inside], rtol=0, atol=1e-12)
    kinked = smoothed(MonotoneMap(z, z.clamp(min=0)), width)
    exact = width * (torch.exp(-0.5 * (z / width) ** 2) / (2 * torch.pi) ** 0.5) + z * ndtr(z / width)
    assert ((kinked.codes - exact)[inside].abs() < error).all()


def test_smoothing_keeps_the_order_and_forgets_single_codes() -> None:
    codes = torch.from_numpy(np.random.default_rng(0).standard_normal(2000))
    rough = quantile_map(codes)
    smooth = smoothed(rough, 0.2)
    assert (smooth.codes.diff() >= 0).all()
    inside = rough.latents.abs() < 1.5
    slopes = [(h.codes.diff() / h.latents.diff())[inside[1:]] for h in (rough, smooth)]
    assert slopes[1].std() < 0.5 * slopes[0].std()
    assert (smooth.codes - rough.codes)[inside].abs().max() < 0.1
