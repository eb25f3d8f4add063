"""Contrastive divergences where the refinement is a Gaussian autoregression, so that everything is exact.

z_t = r z_0 + sqrt(1 - r^2) e leaves p = N(0, 1) invariant and makes N(r m, r^2 s^2 + 1 - r^2) of N(m, s^2).
All integrands are polynomials in the noises, whose expectations Gauss-Hermite rules give without error.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from torch import Tensor

from elbogap.inference import hmc
from elbogap.inference.families.gaussian import DiagonalGaussian
from elbogap.inference.noise import Noise, draw
from elbogap.inference.objectives.base import Estimate
from elbogap.inference.objectives.contrastive import VCD, Contrast, Hoffman

LOG_EVIDENCE = -1.3
CORRELATION = 0.95
LENGTHS = 1 + CORRELATION, 1 - CORRELATION  # variances along the axes of N(0, [[1, c], [c, 1]])
NARROW = math.sqrt(1 - CORRELATION**2)
MEANS, WIDTHS = st.floats(-2, 2), st.floats(0.3, 3)
KEPT, SHARES = st.floats(0, 0.95), st.floats(0, 1)


def hermite(dimensions: int, order: int = 6) -> tuple[Tensor, Tensor]:
    """Nodes `[order^D, D]` of standard normal noises and their masses."""
    points, weights = np.polynomial.hermite_e.hermegauss(order)
    axis, mass = torch.from_numpy(points), torch.from_numpy(weights / weights.sum())
    return torch.cartesian_prod(*[axis] * dimensions), torch.cartesian_prod(*[mass] * dimensions).prod(-1)


NODES, MASS = hermite(2)


def log_normal(z: Tensor, mean: Tensor | float = 0.0, deviation: Tensor | float = 1.0) -> Tensor:
    deviation = torch.as_tensor(deviation, dtype=z.dtype)
    return (-0.5 * ((z - mean) / deviation).square() - deviation.log() - 0.5 * math.log(2 * math.pi)).sum(-1)


def log_joint(z: Tensor) -> Tensor:
    return LOG_EVIDENCE + log_normal(z)


def kl(mean: float, deviation: float, other_mean: float, other: float) -> float:
    ratio = (deviation / other) ** 2
    return 0.5 * (ratio + ((mean - other_mean) / other) ** 2 - 1 - math.log(ratio))


def closed_form(m: float, s: float, r: float, alpha: float = 1.0) -> float:
    """KL(q_0 || p) + alpha [KL(q_t || q_0) - KL(q_t || p)]."""
    end = r * m, math.sqrt(r**2 * s**2 + 1 - r**2)
    return kl(m, s, 0, 1) + alpha * (kl(*end, m, s) - kl(*end, 0, 1))


def gaussian(parameters: Tensor) -> DiagonalGaussian:
    """Of a mean and the logarithm of a scale."""
    return DiagonalGaussian(parameters[:1], 2 * parameters[1:])


def objective(alpha: float | Tensor = 1.0) -> VCD:
    return VCD(hmc.Kernel(1), 0.1, alpha)


def estimate(
    parameters: Tensor, r: float, alpha: float | Tensor = 1.0, baseline: Tensor | float = 0.0
) -> Contrast:
    """At every node, of q_0 with these mean and logarithm of the scale."""
    q = gaussian(parameters)
    start = q.rsample({"normal": NODES[:, :1]})
    end = (r * start + math.sqrt(1 - r**2) * NODES[:, 1:]).detach()
    return objective(alpha).contrast(log_joint, q, start, end, baseline)


def divergence(found: Contrast, alpha: float | Tensor = 1.0) -> Tensor:
    return -objective(alpha).watched(found)


def at(m: float, s: float) -> Tensor:
    return torch.tensor([m, math.log(s)], dtype=torch.float64, requires_grad=True)


def gradient(parameters: Tensor, found: Contrast, mass: Tensor = MASS) -> Tensor:
    """Of the divergence."""
    (slope,) = torch.autograd.grad(-(mass * found.surrogate).sum(), parameters, retain_graph=True)
    return slope


@settings(deadline=None, max_examples=25)
@given(MEANS, WIDTHS, KEPT, SHARES)
def test_values_are_the_divergence_once_log_evidence_is_added(
    m: float, s: float, r: float, alpha: float
) -> None:
    value = float((MASS * divergence(estimate(at(m, s), r, alpha), alpha)).sum()) + (1 - alpha) * LOG_EVIDENCE
    assert value == pytest.approx(closed_form(m, s, r, alpha), abs=1e-9, rel=1e-9)
    assert value > -1e-9


@settings(deadline=None, max_examples=25)
@given(MEANS, WIDTHS, KEPT)
def test_vcd_is_zero_at_the_posterior_draw_by_draw_and_positive_elsewhere(
    m: float, s: float, r: float
) -> None:
    assert divergence(estimate(at(0, 1), r)).abs().max() < 1e-12
    distance = abs(m) + abs(s - 1)
    if distance > 0.01:
        assert float((MASS * divergence(estimate(at(m, s), r))).sum()) > 1e-5 * (1 - r)


@settings(deadline=None, max_examples=25)
@given(MEANS, WIDTHS, KEPT, SHARES, st.floats(-3, 3))
def test_gradient_is_that_of_the_divergence(m: float, s: float, r: float, alpha: float, c: float) -> None:
    h = 1e-5
    expected = [
        (closed_form(m + h, s, r, alpha) - closed_form(m - h, s, r, alpha)) / (2 * h),
        (closed_form(m, s * math.exp(h), r, alpha) - closed_form(m, s * math.exp(-h), r, alpha)) / (2 * h),
    ]
    parameters = at(m, s)
    found = gradient(parameters, estimate(parameters, r, alpha, c))
    scale = 1 + (m**2 + 1) / s**2 + s**2 + m**2
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-7 * scale)


def test_the_part_through_the_density_of_the_start_is_not_small() -> None:
    """What is lost where f(z_t) is taken as independent of theta."""
    parameters = at(0.5, 0.7)
    with_it = gradient(parameters, estimate(parameters, 0.6))
    cut = estimate(parameters, 0.6, baseline=estimate(parameters, 0.6).refined)
    assert (with_it - gradient(parameters, cut)).abs().min() > 0.05


def test_a_constant_baseline_moves_variance_alone() -> None:
    parameters = at(0.7, 0.5)
    plain = estimate(parameters, 0.4)
    mean = (MASS * plain.refined).sum()
    gradients, spreads = [], []
    for baseline in (mean - 10, mean):
        found = estimate(parameters, 0.4, baseline=baseline)
        single = torch.stack(
            [torch.autograd.grad(one, parameters, retain_graph=True)[0] for one in found.surrogate]
        )
        average = (MASS[:, None] * single).sum(0)
        gradients.append(average)
        spreads.append((MASS[:, None] * (single - average).square()).sum(0))
        torch.testing.assert_close(divergence(found), divergence(plain))
    torch.testing.assert_close(gradients[0], gradients[1])
    assert (spreads[0] > 4 * spreads[1]).all()


def test_alpha_zero_is_the_negative_elbo_and_one_the_vcd() -> None:
    parameters = at(0.3, 0.6)
    q = gaussian(parameters)
    start, end = q.rsample({"normal": NODES[:, :1]}), NODES[:, 1:]
    negative_elbo = q.log_prob(start) - log_joint(start)
    none = objective(0.0).contrast(log_joint, q, start, end)
    torch.testing.assert_close(divergence(none, 0.0), negative_elbo.detach())
    expected = torch.autograd.grad((MASS * negative_elbo).sum(), parameters, retain_graph=True)[0]
    torch.testing.assert_close(gradient(parameters, none), expected)

    full = VCD(hmc.Kernel(1), 0.1).contrast(log_joint, q, start, end, 0.2)
    same = objective(1.0).contrast(log_joint, q, start, end, 0.2)
    assert torch.equal(divergence(full), divergence(same))
    assert torch.equal(full.surrogate, same.surrogate)
    assert (divergence(full) - divergence(none, 0.0)).abs().max() > 0.1


def test_each_draw_may_have_its_own_alpha() -> None:
    parameters = at(0.3, 0.6)
    alphas = torch.tensor([[0.0], [0.4], [1.0]], dtype=torch.float64)
    together = estimate(parameters, 0.5, alphas)
    for row, alpha in enumerate(alphas.flatten().tolist()):
        alone = estimate(parameters, 0.5, alpha)
        torch.testing.assert_close(divergence(together, alphas)[row], divergence(alone, alpha))
        torch.testing.assert_close(together.surrogate[row], alone.surrogate)


def test_a_draw_without_density_spoils_neither_the_gradient_nor_the_control_variate() -> None:
    def excluded(z: Tensor) -> Tensor:
        return torch.where(z[..., 0] > 2, -torch.inf, log_joint(z))

    parameters, vcd = at(0.3, 0.6), VCD(hmc.Kernel(3), 0.1)
    q, state = gaussian(parameters), vcd.initial_state().double()
    noise = draw(vcd.noise(3, dimensions=1), torch.Generator().manual_seed(0), dtype=torch.float64)
    noise["normal"] = torch.tensor([[0.5], [9.0], [-1.0]], dtype=torch.float64)
    found = vcd.estimate(q, excluded, noise, state)
    assert found.value.isfinite().tolist() == [True, False, True]
    assert state.control.value.isfinite().all()
    kept = found.surrogate[[0, 2]].sum() / 3
    (expected,) = torch.autograd.grad(kept, parameters, retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(found.mean(), parameters)[0], expected)


class Placed:
    """A model that learns its mean."""

    def __init__(self, mean: Tensor) -> None:
        self.mean = mean

    def __call__(self, z: Tensor) -> Tensor:
        return log_normal(z, self.mean)

    def detach(self) -> "Placed":
        return Placed(self.mean.detach())


class Autoregressive(hmc.Kernel):
    """An iteration that goes to z / 2 + e."""

    def run(
        self, log_density: hmc.LogDensity, start: Tensor, noise: Noise | None, step_size: Tensor | float
    ) -> hmc.Chains:
        return hmc.Chains((0.5 * start.detach() + NODES[:, 1:])[None], MASS[None], torch.tensor(0.1))


def test_hoffman_teaches_the_model_at_the_end_and_q_at_the_start() -> None:
    parameters = at(0.3, 0.6)
    place = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    q, noise = gaussian(parameters), {"normal": NODES[:, :1]}
    found: Estimate = Hoffman(Autoregressive(1), 0.1).estimate(q, Placed(place), noise)
    start = q.rsample(noise)
    elbo = Placed(place.detach())(start) - q.log_prob(start)
    torch.testing.assert_close(found.value, elbo.detach())
    of_model, of_q = torch.autograd.grad(
        (MASS * found.surrogate).sum(), [place, parameters], retain_graph=True
    )
    end = 0.5 * start.detach() + NODES[:, 1:]
    torch.testing.assert_close(of_model, (MASS * (end - place).squeeze(-1)).sum().detach())
    torch.testing.assert_close(of_q, torch.autograd.grad((MASS * elbo).sum(), parameters)[0])


def optimum(kept: tuple[float, float], alpha: float) -> float:
    """The scale of the best N(0, s I) for N(0, [[1, c], [c, 1]]), where the surrogate is stationary.

    z_t keeps these shares of z_0 along the target's long and short axis.
    """
    nodes, mass = hermite(4, order=4)
    scales = torch.tensor(LENGTHS, dtype=torch.float64).sqrt()  # of the target
    r = torch.tensor(kept, dtype=torch.float64)

    def log_target(z: Tensor) -> Tensor:
        return log_normal(z / scales)

    def slope(log_scale: float) -> float:
        leaf = torch.tensor(log_scale, dtype=torch.float64, requires_grad=True)
        q = DiagonalGaussian(torch.zeros(2, dtype=torch.float64), 2 * leaf.expand(2))
        start = q.rsample({"normal": nodes[:, :2]})
        end = (r * start + (1 - r.square()).sqrt() * scales * nodes[:, 2:]).detach()
        found = objective(alpha).contrast(log_target, q, start, end)
        return float(torch.autograd.grad(-(mass * found.surrogate).sum(), leaf)[0])

    return math.exp(brentq(slope, math.log(0.1), math.log(2), xtol=1e-12))


def closed_optimum(kept: tuple[float, float]) -> float:
    """VCD is sum_i c_i (l_i / s - 2 + s / l_i) / 2 with c = 1 - r^2: s^2 = sum c l / sum (c / l)."""
    c = [1 - r**2 for r in kept]
    above = sum(one * length for one, length in zip(c, LENGTHS, strict=True))
    return (above / sum(one / length for one, length in zip(c, LENGTHS, strict=True))) ** 0.25


def test_vcd_widens_the_fit_of_a_correlated_gaussian() -> None:
    assert optimum((0.5, 0.5), 0.0) == pytest.approx(NARROW, abs=1e-9)
    for r in (0.0, 0.5, 0.95):  # equally fast along both axes, the optimum is that of t to infinity
        assert optimum((r, r), 1.0) == pytest.approx(math.sqrt(NARROW), abs=1e-9)
    several = [optimum(kept, 1.0) for kept in ((0.95, 0.0), (0.8, 0.0), (0.5, 0.0))]  # as chains of finite t
    assert several == sorted(several)
    assert several[0] > NARROW
    assert several[-1] < math.sqrt(NARROW)
    assert several == pytest.approx([closed_optimum((r, 0.0)) for r in (0.95, 0.8, 0.5)], abs=1e-9)


def test_vcd_is_narrower_than_kl_where_chains_hardly_move_along_the_target() -> None:
    """What finite t does depends on the chain: here the long axis has less than 7 % of the short one's c."""
    assert optimum((0.99, 0.0), 1.0) == pytest.approx(closed_optimum((0.99, 0.0)), abs=1e-9)
    assert closed_optimum((0.99, 0.0)) < NARROW < closed_optimum((0.96, 0.0))
