"""Against an independent leapfrog integrator, exact draws of the target, and known rates."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from allowance import within
from elbogap.inference import hmc

COVARIANCE = torch.tensor([[2.0, 1.2], [1.2, 1.0]], dtype=torch.float64)
PRECISION = COVARIANCE.inverse()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed))


def step(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def gaussian(z: Tensor) -> Tensor:
    return -0.5 * ((z @ PRECISION) * z).sum(-1)


def straightened(z: Tensor) -> Tensor:
    """The banana's coordinates in which it is Gaussian, with unit Jacobian."""
    return torch.stack([z[..., 0], z[..., 1] + z[..., 0].square() + 1], -1)


def banana(z: Tensor) -> Tensor:
    return gaussian(straightened(z))


def banana_draws(count: int, seed: int) -> Tensor:
    x = normal(count, 2, seed=seed) @ torch.linalg.cholesky(COVARIANCE).T
    return torch.stack([x[:, 0], x[:, 1] - x[:, 0].square() - 1], -1)


def leapfrog(start: Tensor, momentum: Tensor, d: float, steps: int) -> tuple[Tensor, Tensor]:
    """The integrator on the banana, written out with the gradient by hand."""

    def slope(z: Tensor) -> Tensor:
        x = -straightened(z) @ PRECISION
        return torch.stack([x[..., 0] + 2 * z[..., 0] * x[..., 1], x[..., 1]], -1)

    z, v = start, momentum
    for _ in range(steps):
        half = v + d / 2 * slope(z)
        z = z + d * half
        v = half + d / 2 * slope(z)
    return z, v


def always(momenta: Tensor) -> dict[str, Tensor]:
    """Noise with which each proposal that is finite is accepted."""
    return {"momenta": momenta, "uniforms": torch.zeros(momenta.shape[:-1], dtype=torch.float64)}


def one_step(start: Tensor, momentum: Tensor, d: float, steps: int) -> hmc.Chains:
    return hmc.sample(banana, start, always(momentum[None]), step_size=step(d), leapfrog_steps=steps)


def test_a_proposal_and_its_acceptance_are_those_of_the_written_out_integrator() -> None:
    start, momentum = banana_draws(50, seed=1), normal(50, 2, seed=2)
    chains = one_step(start, momentum, 0.1, 5)
    end, v = leapfrog(start, momentum, 0.1, 5)
    torch.testing.assert_close(chains.last, end)
    energy = [0.5 * v.square().sum(-1) - banana(z) for z, v in ((start, momentum), (end, v))]
    torch.testing.assert_close(chains.acceptance[0], (energy[0] - energy[1]).exp().clamp(max=1))
    assert (chains.acceptance < 1).any()


@given(d=st.floats(0.01, 0.1), steps=st.integers(1, 12), seed=st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_with_the_momentum_turned_round_a_chain_goes_back_where_it_came_from(
    d: float, steps: int, seed: int
) -> None:
    start, momentum = 0.5 * normal(20, 2, seed=seed), normal(20, 2, seed=seed + 1)
    end, v = leapfrog(start, momentum, d, steps)
    torch.testing.assert_close(one_step(end, -v, d, steps).last, start, rtol=1e-7, atol=1e-7)


def test_what_is_rejected_stays_and_the_uniforms_decide() -> None:
    start, momenta = banana_draws(400, seed=3), normal(1, 400, 2, seed=4)
    uniforms = torch.rand(1, 400, dtype=torch.float64, generator=generator(5))
    chains = hmc.sample(banana, start, {"momenta": momenta, "uniforms": uniforms}, step_size=step(0.5))
    end, _ = leapfrog(start, momenta[0], 0.5, 5)
    accepted = uniforms[0] < chains.acceptance[0]
    assert accepted.any()
    assert not accepted.all()
    torch.testing.assert_close(chains.last[accepted], end[accepted])
    assert torch.equal(chains.last[~accepted], start[~accepted])


def test_gradients_are_remembered_through_rejections() -> None:
    """A long chain is the chain of its single iterations, each begun anew."""
    start = banana_draws(30, seed=6)
    noise = hmc.draw_noise(12, start, generator(7))
    whole = hmc.sample(banana, start, noise, step_size=step(0.4))
    state = start
    for i in range(12):
        one = {name: value[i : i + 1] for name, value in noise.items()}
        state = hmc.sample(banana, state, one, step_size=step(0.4)).last
        torch.testing.assert_close(whole.draws[i], state)
    assert (whole.draws[1:] == whole.draws[:-1]).all(-1).any()


def errors(d: float, steps: int) -> tuple[float, float]:
    """Mean distance from the exact trajectory's end, and mean energy error where energy is gained."""
    start, momentum = 0.5 * normal(200, 2, seed=8), normal(200, 2, seed=9)
    chains = one_step(start, momentum, d, steps)
    exact, _ = leapfrog(start, momentum, d * steps / 1024, 1024)
    return float((chains.last - exact).norm(dim=-1).mean()), float(-chains.acceptance.log().mean())


@pytest.mark.parametrize(("d", "steps", "steps_of_half", "order"), [(0.01, 16, 32, 2), (0.01, 1, 1, 3)])
def test_the_error_is_of_second_order_in_the_step_and_of_third_for_a_single_one(
    d: float, steps: int, steps_of_half: int, order: int
) -> None:
    for larger, smaller in zip(errors(d, steps), errors(d / 2, steps_of_half), strict=True):
        assert math.log2(larger / smaller) == pytest.approx(order, abs=0.1)


def test_the_share_of_rejections_falls_with_the_square_of_the_step() -> None:
    """1 - a = O(d^2) for trajectories of one length, since E dH = O(d^4) in equilibrium."""
    start, momentum = banana_draws(20_000, seed=10), normal(20_000, 2, seed=11)
    rejected = []
    for halvings in range(3):
        chains = one_step(start, momentum, 0.1 / 2**halvings, 8 * 2**halvings)
        rejected.append(1 - float(chains.acceptance.mean()))
    assert rejected[0] < 0.2
    assert math.log2(rejected[1] / rejected[2]) == pytest.approx(2, abs=0.2)
    assert rejected[0] > rejected[1]


def test_chains_forget_their_start_and_have_the_moments_of_a_correlated_gaussian() -> None:
    start = torch.tensor([4.0, -4.0], dtype=torch.float64).expand(4000, 2)
    chains = hmc.sample(gaussian, start, hmc.draw_noise(60, start, generator(12)), step_size=step(0.35))
    last = chains.last
    error = (COVARIANCE.diagonal() / len(last)).sqrt()
    assert within(last.mean(0), error)
    products = last[:, :, None] * last[:, None]
    assert within(products.mean(0) - COVARIANCE, products.std(0) / len(last) ** 0.5)


@pytest.mark.parametrize("rejecting", [True, False])
def test_a_target_that_is_not_gaussian_is_left_invariant_thanks_to_rejection(rejecting: bool) -> None:
    start = banana_draws(10_000, seed=13)
    noise = hmc.draw_noise(15, start, generator(14))
    chains = hmc.sample(banana, start, noise if rejecting else always(noise["momenta"]), step_size=step(0.33))
    assert 0.4 < chains.acceptance.mean() < 0.9  # large steps, so that rejection matters
    x = straightened(chains.last)
    exact = banana_draws(10_000, seed=15)
    pvalues = [
        stats.kstest(x[:, 0] / COVARIANCE[0, 0].sqrt(), "norm").pvalue,
        stats.kstest(x[:, 1] / COVARIANCE[1, 1].sqrt(), "norm").pvalue,
        stats.ks_2samp(chains.last[:, 1], exact[:, 1]).pvalue,
        stats.ks_2samp(banana(chains.last), banana(exact)).pvalue,
    ]
    if rejecting:
        assert min(pvalues) > 1e-3
        assert (chains.last != start).all(-1).double().mean() > 0.7
    else:
        assert min(pvalues) < 1e-6


@given(
    lead=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    dimensions=st.integers(1, 3),
    iterations=st.integers(1, 4),
)
@settings(max_examples=20, deadline=None)
def test_leading_axes_are_kept_and_chains_do_not_mix(
    lead: list[int], dimensions: int, iterations: int
) -> None:
    """Each with a target and a step of its own."""
    start = normal(*lead, dimensions)
    scale = 1 + torch.rand(lead, dtype=torch.float64, generator=generator(1))
    noise = hmc.draw_noise(iterations, start, generator(2))
    arguments = {"leapfrog_steps": 3, "adapting": 2, "adaptation": hmc.Adaptation(0.8, 0.1)}

    def together(z: Tensor) -> Tensor:
        return -0.25 * scale * z.pow(4).sum(-1)

    chains = hmc.sample(together, start, noise, step_size=0.3 * scale, **arguments)
    assert chains.draws.shape == (iterations, *lead, dimensions)
    assert chains.acceptance.shape == (iterations, *lead)
    assert chains.step_size.shape == tuple(lead)
    for index in torch.cartesian_prod(*(torch.arange(n) for n in lead)).reshape(-1, len(lead)).tolist():
        at = tuple(index)
        every = (slice(None), *at)
        alone = hmc.sample(
            lambda z, at=at: -0.25 * scale[at] * z.pow(4).sum(-1),
            start[at], {name: value[every] for name, value in noise.items()},
            step_size=0.3 * scale[at], **arguments,
        )  # fmt: skip
        torch.testing.assert_close(alone.draws, chains.draws[every])
        torch.testing.assert_close(alone.acceptance, chains.acceptance[every])
        torch.testing.assert_close(alone.step_size, chains.step_size[at])


@pytest.mark.parametrize("shape", [(), (1,), (3, 1), (1, 4), (3, 4)])
def test_chains_that_share_a_step_adapt_it_by_their_mean_acceptance(shape: tuple[int, ...]) -> None:
    start = banana_draws(12, seed=16).view(3, 4, 2)
    first = torch.full(shape, 0.4, dtype=torch.float64)
    noise = hmc.draw_noise(5, start, generator(17))
    rule = hmc.Adaptation(0.7, 0.2)
    chains = hmc.sample(banana, start, noise, step_size=first, adapting=3, adaptation=rule)
    expected, state = first, start
    for i in range(5):
        one = {name: value[i : i + 1] for name, value in noise.items()}
        made = hmc.sample(banana, state, one, step_size=expected)
        assert torch.equal(made.step_size, expected)
        torch.testing.assert_close(chains.draws[i], made.last)
        state = made.last
        if i < 3:
            a = made.acceptance[0]
            for axis, length in enumerate((1,) * (2 - len(shape)) + shape):
                a = a.mean(axis, keepdim=True) if length == 1 else a
            expected = expected * (1 + 0.2 * (a.view(shape) - 0.7) / 0.7)
    torch.testing.assert_close(chains.step_size, expected)
    assert not torch.equal(chains.step_size, first)


@pytest.mark.parametrize("first", [0.05, 1.5])
@pytest.mark.parametrize("target", [0.6, 0.9])
def test_adaptation_moves_the_acceptance_to_its_target(first: float, target: float) -> None:
    start = banana_draws(500, seed=18)
    noise = hmc.draw_noise(300, start, generator(19))
    chains = hmc.sample(
        banana, start, noise, step_size=step(first), adapting=300, adaptation=hmc.Adaptation(target, 0.1)
    )
    assert abs(float(chains.acceptance[0].mean()) - target) > 0.05
    assert float(chains.acceptance[-50:].mean()) == pytest.approx(target, abs=0.02)
    assert chains.step_size.ndim == 0


@pytest.mark.parametrize("outside", [math.nan, math.inf, -math.inf])
def test_a_step_that_leaves_the_numbers_is_rejected_and_the_target_stays_invariant(outside: float) -> None:
    """z > 0 with density z^2 exp(-z), and not a number or infinite elsewhere."""

    def log_gamma(z: Tensor) -> Tensor:
        z = z.squeeze(-1)
        return torch.where(z > 0, 2 * z.abs().log() - z, outside)

    start = torch.from_numpy(stats.gamma(3).rvs((5000, 1), random_state=20))
    noise = hmc.draw_noise(20, start, generator(21))
    chains = hmc.sample(log_gamma, start, noise, step_size=step(0.8))
    assert (chains.draws > 0).all()
    assert (chains.acceptance == 0).any()
    assert chains.acceptance.isfinite().all()
    assert stats.kstest(chains.last[:, 0], stats.gamma(3).cdf).pvalue > 1e-3


@pytest.mark.parametrize("grad", [True, False])
def test_no_gradient_flows_back(grad: bool) -> None:
    weight = torch.ones(2, dtype=torch.float64, requires_grad=True)
    start = normal(3, 2).requires_grad_()
    with torch.set_grad_enabled(grad):
        chains = hmc.sample(
            lambda z: -(weight * z.square()).sum(-1), start * 2, hmc.draw_noise(2, start, generator()),
            step_size=step(0.1), adapting=1, adaptation=hmc.Adaptation(),
        )  # fmt: skip
    assert not any(one.requires_grad for one in (chains.draws, chains.acceptance, chains.step_size))
    assert weight.grad is None
    assert start.grad is None


def test_noise_has_the_dtype_and_shape_of_the_start_and_its_own_laws() -> None:
    noise = hmc.draw_noise(500, torch.zeros(3, 4, 2, dtype=torch.float64), generator())
    assert noise["momenta"].shape == (500, 3, 4, 2)
    assert noise["uniforms"].shape == (500, 3, 4)
    assert noise["momenta"].dtype == noise["uniforms"].dtype == torch.float64
    assert stats.kstest(noise["momenta"].flatten(), "norm").pvalue > 1e-3
    assert stats.kstest(noise["uniforms"].flatten(), "uniform").pvalue > 1e-3
    assert hmc.draw_noise(2, torch.zeros(1, 1), generator())["momenta"].dtype == torch.float32
