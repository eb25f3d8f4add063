from collections.abc import Callable
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from elbogap.densities import pairwise_gaussian_log_density, standard_gaussian_log_density
from elbogap.errors import Unresolved
from elbogap.evaluation import gaps
from elbogap.evaluation.gaps import best_gaussians, gaussian_elbo
from elbogap.evaluation.quadrature import Panels, adapted_panels, log_evidence
from elbogap.inference.families.gaussian import DiagonalGaussian
from elbogap.runtime import limit_torch_threads, torch_generator

VARIANCE = 0.1
LIKELIHOOD = partial(pairwise_gaussian_log_density, variance=VARIANCE)
SLOPE, OFFSET = torch.tensor([1.5, -0.5], dtype=torch.float64), torch.tensor([0.3, 1.0], dtype=torch.float64)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    limit_torch_threads(1)


def linear(z: Tensor) -> Tensor:
    return z * SLOPE + OFFSET


def parabola(z: Tensor) -> Tensor:
    """Posteriors of its large values have two modes."""
    return torch.cat([z**2, 0.2 * z], -1)


def staircase(z: Tensor) -> Tensor:
    """Nearly flat between steps that are 0.05 wide."""
    return torch.cat([torch.tanh(40 * z), torch.tanh(40 * (z - 1))], -1)


def observations(decoder: Callable[[Tensor], Tensor], count: int) -> Tensor:
    generator = torch_generator(0, "observations")
    z = torch.randn((count, 1), generator=generator, dtype=torch.float64)
    noise = torch.randn((count, 2), generator=generator, dtype=torch.float64)
    return decoder(z) + VARIANCE**0.5 * noise


def gaussians(mean: Tensor, log_scale: Tensor) -> DiagonalGaussian:
    """From `[N]` each."""
    return DiagonalGaussian(mean[:, None], 2 * log_scale[:, None])


def some_gaussians(count: int) -> DiagonalGaussian:
    generator = torch_generator(0, "gaussians")
    mean = torch.randn(count, generator=generator, dtype=torch.float64)
    return gaussians(mean, -2 * torch.rand(count, generator=generator, dtype=torch.float64))


def linear_elbo(x: Tensor, q: DiagonalGaussian) -> Tensor:
    """Closed form: -|x - a m - b|^2 / 2v - |a|^2 s^2 / 2v - log(2 pi v) + (1 - m^2 - s^2) / 2 + log s."""
    m, s = q.mean[:, 0], (0.5 * q.log_variance[:, 0]).exp()
    square = (x - linear(m[:, None])).square().sum(1) + SLOPE.square().sum() * s**2
    constant = torch.log(torch.tensor(2 * torch.pi * VARIANCE, dtype=torch.float64))
    return -0.5 * square / VARIANCE - constant + 0.5 * (1 - m**2 - s**2) + s.log()


def linear_posterior(x: Tensor) -> DiagonalGaussian:
    precision = 1 + SLOPE.square().sum() / VARIANCE
    mean = (x - OFFSET) @ SLOPE / VARIANCE / precision
    return gaussians(mean, torch.full_like(mean, -0.5 * float(precision.log())))


def test_elbo_under_a_linear_decoder_has_its_closed_form() -> None:
    x, q = observations(linear, 200), some_gaussians(200)
    panels = adapted_panels(linear, LIKELIHOOD, x)
    torch.testing.assert_close(
        gaussian_elbo(linear, LIKELIHOOD, x, panels, q), linear_elbo(x, q), rtol=1e-9, atol=1e-7
    )


@given(st.floats(-6, 6), st.floats(-9, 4))
def test_elbo_of_very_narrow_and_very_wide_gaussians(mean: float, log_scale: float) -> None:
    """Narrower than the panels, and reaching beyond the last of them."""
    x, q = observations(linear, 1), gaussians(*torch.tensor([[mean], [log_scale]], dtype=torch.float64))
    found = gaussian_elbo(linear, LIKELIHOOD, x, Panels.uniform(4.0, 5, 10), q)
    torch.testing.assert_close(found, linear_elbo(x, q), rtol=1e-9, atol=1e-6)


def test_a_linear_decoder_has_no_approximation_gap() -> None:
    x = observations(linear, 100)
    panels = adapted_panels(linear, LIKELIHOOD, x)
    optimum, exact = best_gaussians(linear, LIKELIHOOD, x, panels, some_gaussians(100)), linear_posterior(x)
    evidence = log_evidence(linear, LIKELIHOOD, x, panels)
    torch.testing.assert_close(optimum.elbo, evidence, rtol=0, atol=1e-8)
    torch.testing.assert_close(optimum.q.mean, exact.mean, rtol=0, atol=1e-6)
    torch.testing.assert_close(0.5 * optimum.q.log_variance, 0.5 * exact.log_variance, rtol=0, atol=1e-6)


def test_derivatives_are_those_of_the_elbo() -> None:
    x, q = observations(parabola, 20), gaps._coordinates(some_gaussians(20))
    table = gaps._Table(parabola, LIKELIHOOD, x, Panels.uniform(12.0, 400, 10))
    rows, h = torch.arange(20), 1e-3
    m, log_s = q.unbind(1)

    def elbo(a: float, b: float) -> Tensor:
        moved = torch.stack([m + h * a * log_s.exp(), log_s + h * b], 1)
        return table.expansion(rows, moved)[:, 0]

    value = table.expansion(rows, q)
    first = [(elbo(1, 0) - elbo(-1, 0)) / (2 * h), (elbo(0, 1) - elbo(0, -1)) / (2 * h)]
    mixed = (elbo(1, 1) - elbo(1, -1) - elbo(-1, 1) + elbo(-1, -1)) / (4 * h**2)
    second = [
        (elbo(*move) - 2 * value[:, 0] + elbo(*(-step for step in move))) / h**2 for move in ((1, 0), (0, 1))
    ]
    expected = torch.stack([value[:, 0], *first, second[0], mixed, second[1]], 1)
    torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("decoder", [parabola, staircase])
def test_the_best_gaussian_is_that_of_a_fine_grid(decoder: Callable[[Tensor], Tensor]) -> None:
    """ELBOs by brute force: z, m and log s on grids."""
    x = observations(decoder, 6)
    panels = adapted_panels(decoder, LIKELIHOOD, x)
    optimum = best_gaussians(decoder, LIKELIHOOD, x, panels, some_gaussians(6))
    z, m, log_s = (
        torch.linspace(*grid).double() for grid in ((-8, 8, 3201), (-2.5, 2.5, 126), (-3.5, 0.5, 81))
    )
    log_joint = LIKELIHOOD(x, decoder(z[:, None])) + standard_gaussian_log_density(z[:, None])
    elbos = []
    for one in log_s:
        log_q = standard_gaussian_log_density(((z - m[:, None]) * torch.exp(-one))[..., None]) - one
        q = log_q.exp() * (z[1] - z[0])
        elbos.append(q @ log_joint.T - (q * log_q).sum(1, keepdim=True))
    elbo = torch.stack(elbos).flatten(0, 1)
    best, place = elbo.max(0)
    # The grid misses the maximum by at most half a step in each direction.
    assert (best <= optimum.elbo + 1e-6).all()
    assert (optimum.elbo < best + 0.02).all()
    assert ((optimum.q.mean[:, 0] - m[place % len(m)]).abs() < 0.06).all()
    assert ((0.5 * optimum.q.log_variance[:, 0] - log_s[place // len(m)]).abs() < 0.1).all()
    assert (optimum.gradient < 1e-5).all()


@pytest.mark.parametrize("decoder", [linear, parabola, staircase])
def test_gaps_are_not_negative_and_divergences_are_those_by_definition(
    decoder: Callable[[Tensor], Tensor],
) -> None:
    x, q = observations(decoder, 40), some_gaussians(40)
    panels = adapted_panels(decoder, LIKELIHOOD, x)
    evidence = log_evidence(decoder, LIKELIHOOD, x, panels)
    elbo = gaussian_elbo(decoder, LIKELIHOOD, x, panels, q)
    best = best_gaussians(decoder, LIKELIHOOD, x, panels, q)
    approximation, amortisation = evidence - best.elbo, best.elbo - elbo
    assert (approximation > -1e-7).all()
    assert (amortisation >= -1e-9).all()
    # KL(q || p(z|x)) as an integral over z in place of the ELBO.
    z = torch.linspace(-12, 12, 40_001, dtype=torch.float64)
    log_q = q.log_prob(z[:, None, None]).T
    log_p = LIKELIHOOD(x, decoder(z[:, None])) + standard_gaussian_log_density(z[:, None]) - evidence[:, None]
    divergence = torch.trapezoid(log_q.exp() * (log_q - log_p), z)
    torch.testing.assert_close(approximation + amortisation, divergence, rtol=1e-6, atol=1e-6)


def test_no_start_of_a_two_sided_posterior_is_lost() -> None:
    """x on the axis of symmetry: the best Gaussian sits on one of two equal modes, whichever q is given."""
    x = torch.tensor([[4.0, 0.0]], dtype=torch.float64)
    panels = adapted_panels(parabola, LIKELIHOOD, x)
    starts = [gaussians(*torch.tensor([[mean], [-3.0]], dtype=torch.float64)) for mean in (-2.0, 0.0, 2.0)]
    found = [best_gaussians(parabola, LIKELIHOOD, x, panels, start) for start in starts]
    elbos = torch.cat([each.elbo for each in found])
    torch.testing.assert_close(elbos, elbos[:1].expand(3), rtol=0, atol=1e-8)
    assert all(abs(abs(float(each.q.mean)) - 2) < 0.1 for each in found)
    # Two equal modes far apart: all that one Gaussian can have is one of them, at a cost of log 2.
    gap = float(log_evidence(parabola, LIKELIHOOD, x, panels) - elbos[0])
    assert gap == pytest.approx(0.6931, abs=0.02)


def test_a_decoder_that_is_not_finite_is_refused() -> None:
    x, q = observations(linear, 2), some_gaussians(2)
    with pytest.raises(Unresolved, match="not finite"):
        gaussian_elbo(lambda z: z * torch.nan * SLOPE, LIKELIHOOD, x, Panels.uniform(8.0, 20, 10), q)
    nowhere = DiagonalGaussian(q.mean * torch.inf, q.log_variance)
    with pytest.raises(Unresolved, match="not finite"):
        gaussian_elbo(linear, LIKELIHOOD, x, Panels.uniform(8.0, 20, 10), nowhere)
