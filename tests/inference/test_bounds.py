import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Normal

from allowance import within
from elbogap.inference import bounds
from elbogap.inference.bounds import doubly_reparameterised_iwae, iwae

log_weights = st.builds(
    lambda members, draws, points, seed, scale: (
        scale
        * torch.randn(
            members, draws, points, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
        )
    ),
    st.integers(1, 3),
    st.integers(1, 6),
    st.integers(1, 4),
    st.integers(0, 2**31),
    st.floats(0.1, 300),
)


@settings(deadline=None)
@given(log_weights)
def test_iwae_is_the_log_of_the_mean_weight(values: torch.Tensor) -> None:
    shift = values.amax(-2)
    expected = ((values - shift.unsqueeze(-2)).exp().sum(-2) / values.shape[-2]).log() + shift
    torch.testing.assert_close(bounds.iwae(values), expected, rtol=1e-12, atol=1e-12)


@settings(deadline=None)
@given(log_weights)
def test_bounds_are_ordered_and_equal_for_one_draw(values: torch.Tensor) -> None:
    assert (bounds.elbo(values) <= bounds.iwae(values) + 1e-10).all()
    assert (bounds.iwae(values) <= values.amax(-2) + 1e-10).all()
    torch.testing.assert_close(bounds.iwae(values[:, :1]), bounds.elbo(values[:, :1]))


@settings(deadline=None)
@given(log_weights, st.floats(-1e4, 1e4))
def test_a_constant_in_the_log_weights_moves_bounds_and_leaves_normalised_weights(
    values: torch.Tensor, constant: float
) -> None:
    torch.testing.assert_close(bounds.iwae(values + constant), bounds.iwae(values) + constant)
    torch.testing.assert_close(bounds.elbo(values + constant), bounds.elbo(values) + constant)
    torch.testing.assert_close(
        bounds.normalised_weights(values + constant), bounds.normalised_weights(values), rtol=1e-8, atol=1e-10
    )


@settings(deadline=None)
@given(log_weights)
def test_normalised_weights_are_shares_of_the_weights(values: torch.Tensor) -> None:
    weights = bounds.normalised_weights(values)
    torch.testing.assert_close(weights.sum(-2), torch.ones_like(weights.sum(-2)))
    # w~_s = w_s / (S exp L_IWAE)
    expected = (values - bounds.iwae(values).unsqueeze(-2)).exp() / values.shape[-2]
    torch.testing.assert_close(weights, expected)


def test_iwae_of_known_weights() -> None:
    weights = torch.tensor([[1.0, 2.0], [3.0, 2.0]], dtype=torch.float64)
    torch.testing.assert_close(
        bounds.iwae(weights.log()), torch.tensor([math.log(2.0), math.log(2.0)], dtype=torch.float64)
    )
    torch.testing.assert_close(
        bounds.normalised_weights(weights.log()),
        torch.tensor([[0.25, 0.5], [0.75, 0.5]], dtype=torch.float64),
    )


def test_gradient_of_the_iwae_bound_is_the_hand_derived_one() -> None:
    """p(x, z) = N(z; 0, 1) N(x; z, 1), z_s = m + e_s exp(r), so everything has a closed form.

    log w_s = -z_s^2/2 - (x - z_s)^2/2 + e_s^2/2 + r + const, hence
    d log w_s / dm = x - 2 z_s,   d log w_s / dr = (x - 2 z_s) e_s exp(r) + 1,   dL = sum_s w~_s d log w_s.
    """
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(7, 5, dtype=torch.float64, generator=generator)
    x = torch.randn(5, dtype=torch.float64, generator=generator)
    mean = torch.randn(5, dtype=torch.float64, generator=generator, requires_grad=True)
    log_scale = torch.randn(5, dtype=torch.float64, generator=generator, requires_grad=True)
    z = mean + noise * log_scale.exp()
    log_weight = -0.5 * z**2 - 0.5 * (x - z) ** 2 + 0.5 * noise**2 + log_scale - 0.5 * math.log(2 * math.pi)
    by_autograd = torch.autograd.grad(bounds.iwae(log_weight).sum(), (mean, log_scale))

    with torch.no_grad():
        weight = log_weight.exp() / log_weight.exp().sum(0)
        slope = x - 2 * z
        by_hand = (weight * slope).sum(0), (weight * (slope * noise * log_scale.exp() + 1)).sum(0)
    torch.testing.assert_close(by_autograd, by_hand, rtol=1e-12, atol=1e-12)


def linear_gaussian(samples: int, seed: int) -> tuple[Tensor, ...]:
    """x = theta z + 0.5 e; q(z|x) = N(phi x, exp(2 rho)); log w as functions of draws and parameters."""
    theta, phi, rho = (
        torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (0.9, 0.4, -0.3)
    )
    generator = torch.Generator().manual_seed(seed)
    x = torch.tensor([0.7, -1.2, 2.0], dtype=torch.float64)
    noise = torch.randn(samples, 3, dtype=torch.float64, generator=generator)
    return theta, phi, rho, x, noise


def log_weight(z: Tensor, x: Tensor, theta: Tensor, phi: Tensor, rho: Tensor) -> Tensor:
    joint = Normal(theta * z, 0.5).log_prob(x) + Normal(0.0, 1.0).log_prob(z)
    return joint - Normal(phi * x, rho.exp()).log_prob(z)


def test_the_doubly_reparameterised_gradient_is_its_formula() -> None:
    theta, phi, rho, x, noise = linear_gaussian(5, 0)
    z = phi * x + rho.exp() * noise
    value = doubly_reparameterised_iwae(
        z[..., None], lambda z: log_weight(z[..., 0], x, theta, phi.detach(), rho.detach())
    )
    found = torch.autograd.grad(value.sum(), [theta, phi, rho])
    fixed = z.detach().requires_grad_()
    log_w = log_weight(fixed, x, theta, phi.detach(), rho.detach())
    w = log_w.detach().softmax(0)
    (slope,) = torch.autograd.grad(log_w.sum(), fixed, retain_graph=True)
    (by_theta,) = torch.autograd.grad((w * log_w).sum(), theta)
    torch.testing.assert_close(value, iwae(log_w))
    expected = by_theta, (w**2 * slope * x).sum(), (w**2 * slope * noise * rho.exp()).sum()
    torch.testing.assert_close(found, tuple(one.detach() for one in expected))


def test_both_gradients_of_iwae_have_one_mean_and_the_new_one_less_variance() -> None:
    repeats, samples = 4000, 8
    theta, phi, rho, x, _ = linear_gaussian(1, 0)
    noise = torch.randn(samples, repeats, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    phis, rhos = (value.detach().expand(repeats, 1).clone().requires_grad_() for value in (phi, rho))
    z = phis * x + rhos.exp() * noise
    plain = iwae(log_weight(z, x, theta, phis, rhos)).sum()
    gradients = torch.autograd.grad(plain, [phis, rhos], retain_graph=True)
    doubly = doubly_reparameterised_iwae(
        z[..., None], lambda z: log_weight(z[..., 0], x, theta, phis.detach(), rhos.detach())
    ).sum()
    others = torch.autograd.grad(doubly, [phis, rhos])
    for left, right in zip(gradients, others, strict=True):
        difference = left - right
        assert within(difference.mean(), difference.std() / repeats**0.5)
        assert right.var() < left.var()


def test_the_doubly_reparameterised_gradient_vanishes_at_the_posterior() -> None:
    """Where q is the posterior, log w is constant in z: the plain gradient is noise, this one is 0."""
    theta = torch.tensor(0.9, dtype=torch.float64)
    precision = 1 + theta**2 / 0.25
    phi = (theta / 0.25 / precision).requires_grad_()
    rho = (-0.5 * precision.log()).requires_grad_()
    _, _, _, x, noise = linear_gaussian(6, 2)
    z = phi * x + rho.exp() * noise
    value = doubly_reparameterised_iwae(
        z[..., None], lambda z: log_weight(z[..., 0], x, theta, phi.detach(), rho.detach())
    )
    for gradient in torch.autograd.grad(value.sum(), [phi, rho]):
        assert gradient.abs() < 1e-12
