import math
from functools import partial

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.special import log_ndtr, ndtr

from elbogap.densities import (
    pairwise_bernoulli_log_likelihood,
    pairwise_gaussian_log_density,
    standard_gaussian_log_density,
)
from elbogap.errors import Unresolved
from elbogap.evaluation import quadrature
from elbogap.evaluation.quadrature import Panels
from elbogap.nn.mlp import MLP, Activation


def normal(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def evidence(
    decoder: quadrature.Decoder, log_likelihood: quadrature.PairwiseLogLikelihood, x: Tensor
) -> Tensor:
    return quadrature.log_evidence(
        decoder, log_likelihood, x, quadrature.adapted_panels(decoder, log_likelihood, x)
    )


def log_evidence_error(
    decoder: quadrature.Decoder, log_likelihood: quadrature.PairwiseLogLikelihood, x: Tensor, panels: Panels
) -> Tensor:
    """|log p(x) with these panels - with twice as many|."""
    coarse, fine = (
        quadrature.log_evidence(decoder, log_likelihood, x, each) for each in (panels, panels.halved())
    )
    return (coarse - fine).abs()


def trapezoid_evidence(
    decoder: quadrature.Decoder,
    log_likelihood: quadrature.PairwiseLogLikelihood,
    x: Tensor,
    z: Tensor,
) -> Tensor:
    """Brute force on the nodes z `[Q]`, which are fine where the decoder is steep."""
    width = z.diff()
    weights = torch.zeros_like(z)
    weights[:-1] += width / 2
    weights[1:] += width / 2
    log_weights = weights.log() + standard_gaussian_log_density(z[:, None])
    outputs = torch.cat([decoder(part) for part in z[:, None].split(100_000)])
    return torch.cat([torch.logsumexp(log_likelihood(row, outputs) + log_weights, 1) for row in x.split(1)])


@given(
    slope=st.lists(st.floats(-200, 200).map(lambda value: round(value, 6)), min_size=1, max_size=3),
    shift=st.floats(-3, 3),
    deviation=st.floats(0.002, 2),
    single=st.sampled_from([None, 2, 5, 9]),
)
@example(slope=[200.0], shift=0.0, deviation=0.002, single=5)
@example(slope=[150.0, 90.0, -40.0], shift=0.37, deviation=0.004, single=2)
@settings(deadline=None, max_examples=20)
def test_linear_gaussian_evidence_is_the_closed_form(
    slope: list[float], shift: float, deviation: float, single: int | None
) -> None:
    """x = w z + b + sigma e has p(x) = N(b, w w' + sigma^2 I); one x alone is the hardest to find."""
    w = torch.tensor(slope, dtype=torch.float64)
    z = torch.linspace(-4.9137, 5.0271, 11, dtype=torch.float64)[:, None]  # not on the panels' edges
    x = z * w + shift + deviation * normal((11, len(slope)))
    x = x if single is None else x[single, None]
    # w and what is orthogonal to it are eigenspaces of w w' + sigma^2 I, so that nothing cancels
    square = w @ w
    along = (x - shift) @ w / square.clamp(min=1e-30)
    across = x - shift - along[:, None] * w
    exact = -0.5 * (
        across.square().sum(1) / deviation**2
        + along.square() * square / (square + deviation**2)
        + (square + deviation**2).log()
        + (len(slope) - 1) * math.log(deviation**2)
        + len(slope) * math.log(2 * math.pi)
    )
    found = evidence(
        lambda z: z * w + shift, partial(pairwise_gaussian_log_density, variance=deviation**2), x
    )
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-7)


def folded_evidence(x: Tensor, slope: float, centre: float, deviation: float) -> Tensor:
    """log p(x) of x = s|z - c| + sigma e, e ~ N(0, 1).

    On the branch with sign +-, x = +-s(z - c) + sigma e: N(x; +-s(z - c), sigma^2) N(z; 0, 1) is
    N(x; -+s c, s^2 + sigma^2) N(z; m, v), m = s (s c +- x) / (s^2 + sigma^2), v = sigma^2 / (s^2 + sigma^2),
    of which Phi(+-(m - c) / sqrt v) lies on the branch's side of c.
    """
    scale = slope**2 + deviation**2
    branches = []
    for sign in (1, -1):
        mean = slope * (slope * centre + sign * x[:, 0]) / scale
        inside = log_ndtr(sign * (mean - centre) * math.sqrt(scale) / deviation)
        offset = torch.full((1, 1), -sign * slope * centre, dtype=torch.float64)
        branches.append(pairwise_gaussian_log_density(x, offset, scale)[:, 0] + inside)
    return torch.logaddexp(*branches)


@given(
    slope=st.floats(1, 200),
    centre=st.floats(-3, 3),
    deviation=st.floats(0.002, 0.5),
    count=st.sampled_from([1, 1, 2, 20]),
    seed=st.integers(0, 999),
)
@example(slope=20, centre=0.0371, deviation=0.003, count=1, seed=0)
@example(slope=20, centre=0.0371, deviation=0.01, count=1, seed=3)
@example(slope=200, centre=0.0371, deviation=0.002, count=1, seed=1)
@settings(deadline=None, max_examples=30)
def test_narrow_folded_evidence_is_the_closed_form_and_the_error_estimate_covers_it(
    slope: float, centre: float, deviation: float, count: int, seed: int
) -> None:
    def decoder(z: Tensor) -> Tensor:
        return slope * (z - centre).abs()

    x = decoder(normal((count, 1), seed)) + deviation * normal((count, 1), seed + 1000)
    log_likelihood = partial(pairwise_gaussian_log_density, variance=deviation**2)
    panels = quadrature.adapted_panels(decoder, log_likelihood, x)
    found = quadrature.log_evidence(decoder, log_likelihood, x, panels)
    exact = folded_evidence(x, slope, centre, deviation)
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-7)
    assert log_evidence_error(decoder, log_likelihood, x, panels).max() < 1e-7


@pytest.mark.parametrize("steepness", [40, 300, 3000])
@pytest.mark.parametrize("deviation", [0.02, 0.003])
def test_posteriors_within_a_steep_step_are_found(steepness: float, deviation: float) -> None:
    """x between the plateaus can only come from within the step, which lies between two nodes."""
    step, heights = 0.31372, torch.tensor([-0.9, -0.3, 0.02, 0.5, 0.93], dtype=torch.float64)

    def decoder(z: Tensor) -> Tensor:
        height = torch.tanh(steepness * (z - step))
        return torch.cat([height, height.square()], 1)

    x = torch.stack([heights, heights.square()], 1) + deviation * normal((5, 2))
    log_likelihood = partial(pairwise_gaussian_log_density, variance=deviation**2)
    within = step + torch.linspace(-20, 20, 400_001, dtype=torch.float64) / steepness
    beside = torch.linspace(-9, 9, 200_001, dtype=torch.float64)
    z = torch.cat([beside[beside < within[0]], within, beside[beside > within[-1]]])
    exact = trapezoid_evidence(decoder, log_likelihood, x, z)
    found = torch.cat([evidence(decoder, log_likelihood, row) for row in x.split(1)])
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("activation", "gain", "deviation", "seed"),
    [
        ("leaky_relu", 2.0, 0.003, 1),
        ("leaky_relu", 4.0, 0.01, 1),
        ("relu", 2.0, 0.003, 1),
        ("tanh", 8.0, 0.003, 3),
    ],
)
def test_evidence_of_random_networks_is_that_of_brute_force(
    activation: Activation, gain: float, deviation: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    network = MLP(1, [1, 50, 50, 50, 2], activation, generator, "xavier", torch.float64)
    with torch.no_grad():
        for layer, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
            weight.mul_(gain)
            bias.copy_(gain * normal(tuple(bias.shape), layer))

    @torch.no_grad()
    def decoder(z: Tensor) -> Tensor:
        return network(z[None])[0]

    x = decoder(normal((6, 1), 7)) + deviation * normal((6, 2), 8)
    log_likelihood = partial(pairwise_gaussian_log_density, variance=deviation**2)
    z = torch.linspace(-8, 8, 1_000_001, dtype=torch.float64)
    exact = trapezoid_evidence(decoder, log_likelihood, x, z)
    found = torch.cat([evidence(decoder, log_likelihood, row) for row in x.split(1)])
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-6)


def test_modes_are_found_for_observations_far_off_a_bent_curve() -> None:
    """A curve that bends towards a remote x makes narrow modes, though its polyline is well within sigma."""

    def decoder(z: Tensor) -> Tensor:
        return torch.cat([torch.cos(20 * z), torch.sin(20 * z)], 1)

    log_likelihood = partial(pairwise_gaussian_log_density, variance=0.003**2)
    x = decoder(normal((6, 1), 3)) + 2
    exact = trapezoid_evidence(
        decoder, log_likelihood, x, torch.linspace(-9, 9, 2_000_001, dtype=torch.float64)
    )
    found = torch.cat([evidence(decoder, log_likelihood, row) for row in x.split(1)])
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-7)


def test_narrow_modes_under_a_bernoulli_likelihood_are_found() -> None:
    def decoder(z: Tensor) -> Tensor:
        return torch.cat([3000 * (z - 0.01), -2000 * (z - 0.1234), 1000 * z.abs() - 30], 1)

    x = torch.rand((6, 3), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x[3:] = x[3:].round()
    exact = trapezoid_evidence(
        decoder,
        pairwise_bernoulli_log_likelihood,
        x,
        torch.linspace(-9, 9, 2_000_001, dtype=torch.float64),
    )
    found = torch.cat([evidence(decoder, pairwise_bernoulli_log_likelihood, row) for row in x.split(1)])
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-6)


@pytest.mark.parametrize("deviation", [0.003, 0.1])
def test_posteriors_beyond_the_bound_are_found(deviation: float) -> None:
    x = torch.tensor([[0.3], [14.0], [-27.0]], dtype=torch.float64)
    exact = pairwise_gaussian_log_density(x, torch.zeros(1, 1, dtype=torch.float64), 1 + deviation**2)[:, 0]
    found = evidence(lambda z: z, partial(pairwise_gaussian_log_density, variance=deviation**2), x)
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
    assert log_evidence_error(decoder, log_likelihood, x, panels).max() < 1e-9
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
    estimate = log_evidence_error(decoder, log_likelihood, x, coarse)
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
    torch.testing.assert_close(whole.nodes(), panels.nodes(), rtol=1e-12, atol=1e-12)
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


def test_what_cannot_be_integrated_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    log_likelihood = partial(pairwise_gaussian_log_density, variance=1.0)
    x = torch.zeros(1, 1, dtype=torch.float64)
    with pytest.raises(Unresolved, match="not finite"):
        quadrature.adapted_panels(lambda z: z * math.nan, log_likelihood, x)
    monkeypatch.setattr(quadrature, "ROUNDS", 3)
    with pytest.raises(Unresolved, match="did not settle in 3 halvings"):
        quadrature.adapted_panels(lambda z: (z > 0.1).double() * 5, log_likelihood, x)
