import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import MultivariateNormal
from torch.special import ndtr

from elbogap.densities import pairwise_bernoulli_log_likelihood, pairwise_gaussian_log_density
from elbogap.errors import UserError
from elbogap.evaluation import quadrature
from elbogap.evaluation.quadrature import Panels


def normal(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def evidence(
    decoder: quadrature.Decoder, log_likelihood: quadrature.PairwiseLogLikelihood, x: Tensor
) -> Tensor:
    return quadrature.log_evidence(
        decoder, log_likelihood, x, quadrature.adapted_panels(decoder, log_likelihood, x)
    )


@given(
    slope=st.lists(st.floats(-20, 20), min_size=1, max_size=3),
    shift=st.floats(-3, 3),
    deviation=st.floats(0.003, 2),
)
@settings(deadline=None, max_examples=25)
def test_linear_gaussian_evidence_is_the_closed_form(
    slope: list[float], shift: float, deviation: float
) -> None:
    """x = w z + b + sigma e has p(x) = N(b, w w' + sigma^2 I)."""
    w = torch.tensor(slope, dtype=torch.float64)
    z = torch.linspace(-5, 5, 11, dtype=torch.float64)[:, None]
    x = z * w + shift + deviation * normal((11, len(slope)))
    covariance = w[:, None] * w + deviation**2 * torch.eye(len(slope), dtype=torch.float64)
    exact = MultivariateNormal(torch.full_like(w, shift), covariance).log_prob(x)
    found = evidence(
        lambda z: z * w + shift, partial(pairwise_gaussian_log_density, variance=deviation**2), x
    )
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-7)


def test_lobatto_panels_integrate_polynomials_up_to_their_degree() -> None:
    z, log_weights = Panels(
        torch.tensor([-1.0], dtype=torch.float64), torch.tensor([2.0], dtype=torch.float64), 6
    ).nodes()
    weights = (log_weights + 0.5 * z[:, 0] ** 2 + 0.5 * math.log(2 * math.pi)).exp()
    for degree in range(10):
        assert (weights * z[:, 0] ** degree).sum().item() == pytest.approx(
            (2 ** (degree + 1) - (-1) ** (degree + 1)) / (degree + 1)
        )


def test_linear_gaussian_posterior_is_the_closed_form() -> None:
    """p(z|x) = N(w'x / (w'w + sigma^2), sigma^2 / (w'w + sigma^2))."""
    w, variance = torch.tensor([1.5, -0.5], dtype=torch.float64), 0.04
    x, z = normal((6, 2)), torch.linspace(-4, 4, 33, dtype=torch.float64)[:, None]
    log_likelihood = partial(pairwise_gaussian_log_density, variance=variance)
    log_p = evidence(lambda z: z * w, log_likelihood, x)
    scale = w @ w + variance
    exact = pairwise_gaussian_log_density((x @ w / scale)[:, None], z, float(variance / scale))
    found = quadrature.log_posterior(z, lambda z: z * w, log_likelihood, x, log_p)
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-7)


@given(
    edges=st.lists(st.floats(-3.5, 3.5), min_size=1, max_size=4, unique_by=lambda edge: round(edge, 4)),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=15)
def test_step_decoder_evidence_is_the_gaussian_mixture(edges: list[float], seed: int) -> None:
    """A decoder constant between edges gives p(x) = sum_j [Phi(e_j+1) - Phi(e_j)] N(x; m_j, sigma^2)."""
    inner = torch.tensor(sorted(edges), dtype=torch.float64)
    means, x, variance = normal((len(edges) + 1, 2), seed), normal((7, 2), seed + 1), 0.05
    weights = torch.cat([ndtr(inner), torch.ones(1)]) - torch.cat([torch.zeros(1), ndtr(inner)])
    log_likelihood = partial(pairwise_gaussian_log_density, variance=variance)
    exact = torch.logsumexp(log_likelihood(x, means) + weights.log(), 1)
    found = evidence(lambda z: means[torch.searchsorted(inner, z[:, 0].contiguous())], log_likelihood, x)
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-7)


def test_bernoulli_step_decoder_evidence_is_the_mixture() -> None:
    logits = torch.tensor([[-2.0, 1.0, 4.0], [0.5, -1.0, 0.0]], dtype=torch.float64)
    x = torch.tensor([[0.0, 1, 1], [1, 0, 0], [1, 1, 1]], dtype=torch.float64)
    weights = torch.stack(
        [ndtr(torch.tensor(0.3, dtype=torch.float64)), ndtr(torch.tensor(-0.3, dtype=torch.float64))]
    )
    exact = torch.logsumexp(pairwise_bernoulli_log_likelihood(x, logits) + weights.log(), 1)
    found = evidence(lambda z: logits[(z[:, 0] > 0.3).long()], pairwise_bernoulli_log_likelihood, x)
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-7)


def test_posteriors_on_a_steep_staircase_integrate_to_one_and_the_error_estimate_says_so() -> None:
    def decoder(z: Tensor) -> Tensor:
        return torch.cat([torch.tanh(40 * (z - 0.3)), torch.relu(z)], 1)

    log_likelihood = partial(pairwise_gaussian_log_density, variance=0.01)
    x = decoder(normal((50, 1))) + 0.1 * normal((50, 2), 1)
    panels = quadrature.adapted_panels(decoder, log_likelihood, x)
    log_p = quadrature.log_evidence(decoder, log_likelihood, x, panels)
    assert quadrature.log_evidence_error(decoder, log_likelihood, x, panels).max() < 1e-9
    fine = torch.linspace(-8, 8, 400_001, dtype=torch.float64)[:, None]
    mass = torch.trapezoid(
        quadrature.log_posterior(fine, decoder, log_likelihood, x, log_p).exp(), fine[:, 0]
    )
    torch.testing.assert_close(mass, torch.ones_like(mass), rtol=0, atol=1e-7)


def test_coarse_panels_have_an_error_estimate_that_covers_the_error() -> None:
    decoder, log_likelihood = (lambda z: z), partial(pairwise_gaussian_log_density, variance=0.01)
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    coarse = Panels.uniform(12, 12, 6)
    exact = pairwise_gaussian_log_density(x, torch.zeros(1, 1, dtype=torch.float64), 1.01)[:, 0]
    error = (quadrature.log_evidence(decoder, log_likelihood, x, coarse) - exact).abs()
    estimate = quadrature.log_evidence_error(decoder, log_likelihood, x, coarse)
    assert error.max() > 1e-3
    assert ((estimate > 0.5 * error) | (error < 1e-6)).all()


def test_observations_are_taken_in_blocks_and_the_block_changes_nothing() -> None:
    rows = []

    def log_likelihood(x: Tensor, outputs: Tensor) -> Tensor:
        rows.append(len(x))
        return pairwise_gaussian_log_density(x, outputs, 0.1)

    x = normal((100, 1))
    panels = quadrature.adapted_panels(lambda z: z, log_likelihood, x, block=16)
    blocked = quadrature.log_evidence(lambda z: z, log_likelihood, x, panels, block=16)
    assert max(rows) == 16
    whole = quadrature.adapted_panels(lambda z: z, log_likelihood, x)
    torch.testing.assert_close(whole.nodes(), panels.nodes(), rtol=0, atol=0)
    torch.testing.assert_close(
        blocked, quadrature.log_evidence(lambda z: z, log_likelihood, x, whole), rtol=0, atol=1e-13
    )


def test_gradients_are_neither_recorded_inside_nor_switched_off_outside() -> None:
    slope = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
    log_likelihood, x = partial(pairwise_gaussian_log_density, variance=0.1), normal((40, 1))
    panels = quadrature.adapted_panels(lambda z: z * slope, log_likelihood, x, block=16)
    log_p = quadrature.log_evidence(lambda z: z * slope, log_likelihood, x, panels, block=16)
    assert not log_p.requires_grad
    assert torch.is_grad_enabled()


def test_what_cannot_be_integrated_is_refused() -> None:
    log_likelihood = partial(pairwise_gaussian_log_density, variance=1.0)
    x = torch.zeros(1, 1, dtype=torch.float64)
    with pytest.raises(UserError, match="not finite"):
        quadrature.adapted_panels(lambda z: z * math.nan, log_likelihood, x)
    with pytest.raises(UserError, match="did not settle in 3 halvings"):
        quadrature.adapted_panels(lambda z: (z > 0.1).double() * 5, log_likelihood, x, rounds=3)
