"""The optimal encoder and decoder against Bregman's inequality, autograd and brute force."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from elbogap.densities import categorical_kl
from elbogap.errors import UserError
from elbogap.inference import denoising

SIGMAS = st.floats(0.05, 5)
SEEDS = st.integers(0, 2**31)


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(deadline=None)
@given(SEEDS, SIGMAS)
def test_weights_are_the_posterior_of_which_observation_was_perturbed(seed: int, sigma: float) -> None:
    x, observations = draw(seed, 4, 3), draw(seed + 1, 5, 3)
    log_density = Normal(observations, sigma).log_prob(x.unsqueeze(-2)).sum(-1)
    bayes = log_density - torch.logsumexp(log_density, -1, keepdim=True)
    torch.testing.assert_close(denoising.log_kernel_weights(x, observations, sigma), bayes)


def test_weights_are_uniform_for_infinite_noise_and_stay_finite_far_away() -> None:
    x = torch.tensor([[0.0], [1e8]], dtype=torch.float64)
    observations = torch.tensor([[-1.0], [0.0], [2.0], [5.0]], dtype=torch.float64)
    uniform = denoising.log_kernel_weights(x, observations, math.inf)
    torch.testing.assert_close(uniform, torch.full((2, 4), -math.log(4), dtype=torch.float64))
    far = denoising.log_kernel_weights(x, observations, 1e-3)
    assert far.isfinite().all()
    assert far.argmax(-1).tolist() == [1, 3]
    torch.testing.assert_close(far.exp().sum(-1), torch.ones(2, dtype=torch.float64))


def test_leading_axes_are_independent_problems() -> None:
    x, observations, natural = draw(0, 2, 4, 3), draw(1, 2, 5, 3), draw(2, 2, 5, 6)
    sigma = torch.tensor([0.3, 2.0], dtype=torch.float64)
    both = denoising.natural_parameters(x, observations, natural, sigma)
    assert both.shape == (2, 4, 6)
    for m in range(2):
        alone = denoising.natural_parameters(x[m], observations[m], natural[m], float(sigma[m]))
        torch.testing.assert_close(both[m], alone)
    both = denoising.lipschitz_bound(observations, natural, sigma)
    alone = [denoising.lipschitz_bound(observations[m], natural[m], sigma[m]) for m in range(2)]
    torch.testing.assert_close(both, torch.stack(alone))


@settings(deadline=None)
@given(SEEDS, SIGMAS)
def test_no_categorical_is_nearer_to_the_posteriors_than_theirs(seed: int, sigma: float) -> None:
    """eta* minimises sum_i w_i KL(q || p_i), which Lemma 1 asks for: no other logits do better."""
    x, observations, logits = draw(seed, 1, 2), draw(seed + 1, 4, 2), 2 * draw(seed + 2, 4, 3)
    weights = denoising.log_kernel_weights(x, observations, sigma).exp()
    best = denoising.natural_parameters(x, observations, logits, sigma)

    def objective(q: Tensor) -> Tensor:
        kl = categorical_kl(q.log_softmax(-1).unsqueeze(-2), logits.log_softmax(-1))
        return (weights * kl).sum(-1)

    others = best + torch.cat([draw(seed + 3, 30, 3), 1e-3 * draw(seed + 4, 30, 3)])
    assert (objective(best) <= objective(others) + 1e-14).all()


def test_gaussian_posteriors_average_precisions_and_precise_means() -> None:
    """Stationary under automatic differentiation of torch's own divergence of Gaussians."""
    x, observations = draw(0, 1, 1), draw(1, 4, 1)
    mean, deviation = draw(2, 4), draw(3, 4).exp()
    natural = torch.stack([mean / deviation**2, -0.5 / deviation**2], -1)
    (eta,) = denoising.natural_parameters(x, observations, natural, 0.7)
    variance = -0.5 / eta[1]
    best = torch.stack([eta[0] * variance, variance.sqrt()]).requires_grad_()
    weights = denoising.log_kernel_weights(x, observations, 0.7).exp()
    objective = (weights * kl_divergence(Normal(*best), Normal(mean, deviation))).sum()
    (gradient,) = torch.autograd.grad(objective, best)
    assert gradient.abs().max() < 1e-12


@settings(deadline=None)
@given(SEEDS, SIGMAS, st.sampled_from([1.0, 1.5, 2.0, math.inf]))
def test_no_two_points_are_steeper_apart_than_the_bound(seed: int, sigma: float, norm: float) -> None:
    observations, natural = draw(seed, 5, 3), draw(seed + 1, 5, 4)
    # pairs around the middles of pairs of observations, where eta* changes most
    middle = 0.5 * (observations[:, None] + observations).flatten(0, 1)
    step = 0.1 * sigma * draw(seed + 2, 25, 3)
    change = denoising.natural_parameters(middle + step, observations, natural, sigma)
    change = change - denoising.natural_parameters(middle - step, observations, natural, sigma)
    slope = change.norm(norm, -1) / (2 * step).norm(norm, -1)
    assert (slope <= denoising.lipschitz_bound(observations, natural, sigma, norm) * (1 + 1e-9)).all()


@settings(deadline=None)
@given(SEEDS, SIGMAS)
def test_two_observations_attain_the_bound(seed: int, sigma: float) -> None:
    observations, natural = draw(seed, 2, 3), draw(seed + 1, 2, 4)
    jacobian = torch.autograd.functional.jacobian(
        lambda x: denoising.natural_parameters(x[None], observations, natural, sigma)[0], observations.mean(0)
    )
    slope = torch.linalg.matrix_norm(jacobian, ord=2)
    torch.testing.assert_close(slope, denoising.lipschitz_bound(observations, natural, sigma))


def test_what_is_no_norm_is_refused() -> None:
    with pytest.raises(UserError, match="at least 1"):
        denoising.lipschitz_bound(draw(0, 2, 1), draw(1, 2, 1), 1.0, p=0.5)


@settings(deadline=None)
@given(SEEDS)
def test_bernoulli_means_are_those_of_largest_likelihood(seed: int) -> None:
    """sum_i q(z|x_i) log p(x_i|mu) over a fine grid of mu, at each of three z."""
    log_q = 2 * draw(seed, 3, 5)
    data = (draw(seed + 1, 5, 1) > 0).double()
    grid = torch.linspace(0.0005, 0.9995, 1000, dtype=torch.float64)
    likelihood = log_q.exp() @ (data * grid.log() + (1 - data) * (-grid).log1p())
    brute = grid[likelihood.argmax(-1)]
    assert ((denoising.generator_means(log_q, data)[:, 0] - brute).abs() < 0.001).all()


def test_equal_encodings_give_the_mean_of_the_data_and_separate_ones_the_data() -> None:
    data = draw(0, 4, 6)
    together = denoising.generator_means(torch.full((3, 4), -1000.0, dtype=torch.float64), data)
    torch.testing.assert_close(together, data.mean(0).expand(3, 6))
    apart = denoising.generator_means(-1000 * (1 - torch.eye(4, dtype=torch.float64)), data)
    torch.testing.assert_close(apart, data)
