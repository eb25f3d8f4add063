import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import MultivariateNormal
from torch.special import ndtr, ndtri

from allowance import within
from elbogap.densities import pairwise_bernoulli_log_likelihood, pairwise_gaussian_log_density
from elbogap.errors import Unresolved
from elbogap.evaluation import quadrature
from elbogap.evaluation.pushforward import log_evidence
from elbogap.evaluation.quadrature import Panels
from elbogap.inference.prior_recovery import MonotoneMap, quantile_map
from elbogap.nn.mlp import MLP

Decoder = Callable[[Tensor], Tensor]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def network(seed: int, scale: float = 1.0, activation: str = "tanh") -> Decoder:
    mlp = MLP(1, [1, 20, 20, 2], activation, torch.Generator().manual_seed(seed), "xavier", torch.float64)

    def decoder(codes: Tensor) -> Tensor:
        with torch.no_grad():
            return scale * mlp(codes[None])[0]

    return decoder


def gaussian(variance: float) -> quadrature.PairwiseLogLikelihood:
    return partial(pairwise_gaussian_log_density, variance=variance)


def brute_force(
    decoder: Decoder,
    log_likelihood: quadrature.PairwiseLogLikelihood,
    x: Tensor,
    law: MonotoneMap,
    halvings: int,
) -> Tensor:
    """The integral over z, with panels between the knots, and the constant ends."""
    panels = Panels(law.latents[:-1], law.latents[1:], 20)
    for _ in range(halvings):
        panels = panels.halved()
    inner = quadrature.log_evidence(lambda z: decoder(law(z)), log_likelihood, x, panels)
    mass = ndtr(torch.stack([law.latents[0], -law.latents[-1]]))
    ends = log_likelihood(x, decoder(law.codes[[0, -1]][:, None])) + mass.log()
    return torch.logaddexp(inner, torch.logsumexp(ends, 1))


@given(seed=st.integers(0, 999), count=st.integers(2, 120), scale=st.sampled_from([0.1, 1.0, 4.0]))
@settings(deadline=None, max_examples=10)
def test_it_is_the_integral_over_z_by_brute_force(seed: int, count: int, scale: float) -> None:
    decoder, codes = network(seed), scale * normal(count, seed=seed)
    x = decoder(codes[:20, None]) + 0.1 * normal(len(codes[:20]), 2, seed=seed + 1)
    law = quantile_map(codes)
    expected = brute_force(decoder, gaussian(0.01), x, law, 3 if count > 20 else 6)
    found = log_evidence(decoder, gaussian(0.01), x, law)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)


def test_clusters_of_codes_with_ties_and_wide_gaps_are_no_obstacle() -> None:
    """Decoders of Clusters and Spiral-Dots have codes in clumps, and move far in the gaps between them."""
    centres = torch.tensor([-3.0, -1.0, 0.5, 4.0], dtype=torch.float64).repeat_interleave(50)
    codes = centres + 1e-4 * normal(200)
    codes[:20] = codes[0]
    law, decoder = quantile_map(codes), network(3, scale=10.0)
    x = torch.cat(
        [decoder(codes[::10, None]), decoder(torch.linspace(-3, 4, 15, dtype=torch.float64)[:, None])]
    )
    x = x + 0.1 * normal(*x.shape, seed=1)
    expected = brute_force(decoder, gaussian(0.01), x, law, 7)
    found = log_evidence(decoder, gaussian(0.01), x, law)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)


def test_kinks_of_a_relu_decoder_are_found() -> None:
    decoder, law = network(5, 3.0, "relu"), quantile_map(2 * normal(40))
    x = decoder(2 * normal(15, 1, seed=1)) + 0.1 * normal(15, 2, seed=2)
    expected = brute_force(decoder, gaussian(0.01), x, law, 9)
    torch.testing.assert_close(log_evidence(decoder, gaussian(0.01), x, law), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("deviation", [0.05, 1.0])
def test_under_a_standard_normal_a_linear_decoder_gives_the_closed_form_even_far_away(
    deviation: float,
) -> None:
    """x = w z + b + sigma e has p(x) = N(b, w w' + sigma^2 I)."""
    w, b = torch.tensor([2.0, -1.0], dtype=torch.float64), 0.5
    covariance = w[:, None] * w + deviation**2 * torch.eye(2, dtype=torch.float64)
    x = torch.cat([MultivariateNormal(b + 0 * w, covariance).sample((20,)), torch.tensor([[3.0, 8.0]])])
    found = log_evidence(lambda z: w * z + b, gaussian(deviation**2), x)
    exact = MultivariateNormal(b + 0 * w, covariance).log_prob(x)
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-7)


def test_under_a_standard_normal_it_agrees_with_the_adaptive_rule() -> None:
    decoder, x = network(7, 5.0), 3 * normal(50, 2)
    panels = quadrature.adapted_panels(decoder, gaussian(0.02), x)
    expected = quadrature.log_evidence(decoder, gaussian(0.02), x, panels)
    found = log_evidence(decoder, gaussian(0.02), x)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)


def test_the_integral_reaches_as_far_as_the_integrand_does() -> None:
    """For x = 30 and the decoder f(z) = z the posterior is around z = 29.7."""
    x = torch.tensor([[0.3], [30.0]], dtype=torch.float64)
    exact = gaussian(1.01)(x, torch.zeros(1, 1, dtype=torch.float64))[:, 0]
    found = log_evidence(lambda z: z, gaussian(0.01), x)
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-7)


def test_bernoulli_likelihoods_are_integrated_too() -> None:
    decoder, law = network(9, 4.0), quantile_map(normal(30))
    x = torch.tensor([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    found = log_evidence(decoder, pairwise_bernoulli_log_likelihood, x, law)
    expected = brute_force(decoder, pairwise_bernoulli_log_likelihood, x, law, 3)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-8)
    assert found.exp().sum().item() == pytest.approx(1)


def test_codes_made_by_a_known_map_give_the_density_of_the_decoder_after_it() -> None:
    """With codes m(u_(r)), h misses m by max |m''| spacing^2 / 8 on an interval of 1 / N of the prior's mass.

    So |p_h(x) - p_m(x)| <= peak (1 / N + L E|h - m| / (sigma e^1/2)), where the peak of N(.; f, sigma^2 I) is
    1 / (2 pi sigma^2), its steepest slope peak / (sigma e^1/2), L >= |f'|, and 1 / N lies beyond the ends.
    """
    count, deviation, decoder = 2000, 0.1, network(1)
    u = ndtri((torch.arange(count, dtype=torch.float64) + 0.5) / count)
    z = normal(300)[:, None]
    x = decoder(z + 0.5 * torch.sin(z)) + deviation * normal(300, 2, seed=1)
    direct = log_evidence(lambda z: decoder(z + 0.5 * torch.sin(z)), gaussian(deviation**2), x)
    found = log_evidence(decoder, gaussian(deviation**2), x, quantile_map(u + 0.5 * torch.sin(u)))

    missed = (0.5 * u.diff().square() / 8).sum() / count
    fine = torch.linspace(-4, 4, 10_001, dtype=torch.float64)[:, None]
    slope = (decoder(fine).diff(dim=0).norm(dim=1) / fine.diff(dim=0)[:, 0]).max()
    bound = (1 / count + slope * missed / (deviation * math.e**0.5)) / (2 * math.pi * deviation**2)
    assert (found.exp() - direct.exp()).abs().max() < bound
    assert bound < 0.01 * direct.exp().mean()
    assert within((found - direct).abs().mean(), 1 / count, times=1)


def test_equal_codes_leave_one_gaussian() -> None:
    decoder, x = network(2), normal(5, 2)
    law = quantile_map(torch.full((10,), 0.7))
    centre = decoder(torch.tensor([[0.7]], dtype=torch.float32).double())
    torch.testing.assert_close(
        log_evidence(decoder, gaussian(0.5), x, law), gaussian(0.5)(x, centre)[:, 0], rtol=0, atol=1e-12
    )


def test_the_work_does_not_grow_with_the_number_of_codes() -> None:
    evaluations = []
    for count in (100, 10_000):
        nodes = 0

        def decoder(codes: Tensor) -> Tensor:
            nonlocal nodes
            nodes += len(codes)
            return torch.cat([codes.sin(), codes.cos()], 1)

        log_evidence(decoder, gaussian(0.01), normal(20, 2), quantile_map(normal(count)))
        evaluations.append(nodes)
    assert evaluations[1] < 1.5 * evaluations[0]


def test_a_decoder_that_is_not_finite_is_refused() -> None:
    with pytest.raises(Unresolved, match="decoder is not finite"):
        log_evidence(lambda z: z / 0, gaussian(0.1), normal(3, 1))


def test_a_likelihood_that_underflows_everywhere_is_refused_at_once() -> None:
    asked = []

    def decoder(codes: Tensor) -> Tensor:
        asked.append(len(codes))
        return 1e200 * (codes.abs() + 1)

    with pytest.raises(Unresolved, match="likelihood is not finite"):
        log_evidence(decoder, gaussian(0.1), normal(3, 1))
    assert sum(asked) < 10_000


def test_a_decoder_too_fast_for_its_noise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quadrature, "MOST_PANELS", 1000)
    with pytest.raises(Unresolved, match="more than 1000 panels: the decoder varies too fast"):
        log_evidence(lambda z: 1e9 * z, gaussian(1e-6), normal(3, 1))
