"""Kernels: probabilities and densities, their draws, and the scale that data choose."""

import itertools
import math

import numpy as np
import pytest
import torch

from allowance import within
from elbogap.densities import categorical_kl
from elbogap.errors import UserError
from elbogap.mapa.kernels import (
    Bernoulli,
    ContinuousBernoulli,
    Gaussian,
    Kernel,
    bootstrap_divergences,
    choose_scale,
    leave_one_out,
    log_kernels,
    with_own,
)

BITS = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3)), dtype=torch.float64)
KERNELS: list[Kernel] = [Gaussian(0.3), Bernoulli(0.8), ContinuousBernoulli(0.8)]


@pytest.mark.parametrize("scale", [1.0, 4.0])
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: type(kernel).__name__)
def test_kernels_are_normalised(kernel: Kernel, scale: float) -> None:
    kernel = kernel.tempered(scale)
    other = torch.tensor([0.3], dtype=torch.float64)
    if type(kernel) is Bernoulli:
        total = kernel.log_kernel(BITS, BITS[5]).exp().sum()
    else:
        low, high = (-8.0, 8.0) if isinstance(kernel, Gaussian) else (0.0, 1.0)
        grid = torch.linspace(low, high, 4001, dtype=torch.float64).unsqueeze(-1)
        total = torch.trapezoid(kernel.log_kernel(grid, other).exp(), grid.squeeze(-1))
    np.testing.assert_allclose(float(total), 1, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: type(kernel).__name__)
def test_the_kernel_of_scale_one_is_the_likelihood_of_the_other_observation(kernel: Kernel) -> None:
    x, others = BITS[:4], BITS[2:7]
    decoded = others if isinstance(kernel, Gaussian) else (2 * others - 1) * math.log(4)
    pairs = kernel.log_kernel(x.unsqueeze(1), others.unsqueeze(0))
    np.testing.assert_allclose(pairs, kernel.log_likelihood(x, decoded), atol=1e-10, rtol=0)


def test_a_tempered_gaussian_has_a_larger_variance() -> None:
    x, other = torch.tensor([0.7]), torch.tensor([-0.2])
    np.testing.assert_allclose(
        Gaussian(0.3, scale=4).log_kernel(x, other), Gaussian(1.2).log_kernel(x, other), atol=1e-6, rtol=0
    )


def test_the_soft_bernoulli_counts_pixels_that_agree() -> None:
    x, other = torch.tensor([1.0, 0, 1, 1]), torch.tensor([1.0, 1, 0, 1])
    np.testing.assert_allclose(
        Bernoulli(0.9).log_kernel(x, other), 2 * math.log(0.9) + 2 * math.log(0.1), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("logit", [-3.0, 0.0, 2.0])
def test_draws_of_the_continuous_bernoulli_have_its_distribution(logit: float) -> None:
    draws = ContinuousBernoulli(0.9).draw(torch.full((20_000,), logit), torch.Generator().manual_seed(0))
    truth = torch.distributions.ContinuousBernoulli(logits=torch.tensor(logit))
    assert within(draws.mean() - truth.mean, float(truth.stddev) / math.sqrt(20_000))
    np.testing.assert_allclose(draws.std(), truth.stddev, atol=0.02, rtol=0)


@pytest.mark.parametrize("kernel", [Gaussian(0.3), Bernoulli(0.8)], ids=lambda kernel: type(kernel).__name__)
def test_draws_have_the_decoder_s_mean(kernel: Kernel) -> None:
    draws = kernel.draw(torch.full((20_000,), 0.4), torch.Generator().manual_seed(0))
    mean = 0.4 if isinstance(kernel, Gaussian) else 1 / (1 + math.exp(-0.4))
    np.testing.assert_allclose(draws.mean(), mean, atol=0.02, rtol=0)


def test_leave_one_out_is_the_mean_over_the_others() -> None:
    x = torch.randn(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    kernel = Gaussian(0.5, scale=2)
    pairs = kernel.log_kernel(x.unsqueeze(1), x.unsqueeze(0)).exp().fill_diagonal_(0)
    expected = float((pairs.sum(1) / 5).log().mean())
    np.testing.assert_allclose(leave_one_out(log_kernels(kernel, x)), expected, atol=1e-10, rtol=0)


def test_an_observation_is_as_near_to_itself_as_its_nearest_neighbour() -> None:
    log_k = log_kernels(Gaussian(0.5), torch.tensor([[0.0], [1.0], [3.0]]))
    filled = with_own(log_k)
    assert (filled.diagonal() == log_k.amax(-1)).all()
    assert (filled[~torch.eye(3, dtype=torch.bool)] == log_k[~torch.eye(3, dtype=torch.bool)]).all()


def embedded_circle(dimensions: int, variance: float, count: int = 400) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    angle = 2 * math.pi * torch.rand(count, generator=random).double()
    basis = torch.linalg.qr(torch.randn(dimensions, 2, generator=random).double())[0]
    means = torch.stack([angle.cos(), angle.sin()], -1) @ basis.T
    return means, means + variance**0.5 * torch.randn(count, dimensions, generator=random).double()


@pytest.mark.parametrize("dimensions", [2, 10, 50, 784])
def test_the_chosen_scale_beats_scale_one_and_the_uniform_proposal(dimensions: int) -> None:
    """KL(p || q) to the posterior under the true decoder, which the choice does not know."""
    kernel, (means, x) = Gaussian(0.01), embedded_circle(dimensions, 0.01)
    log_p = kernel.log_likelihood(x, means).log_softmax(-1)
    uniform = categorical_kl(log_p, torch.full_like(log_p, -math.log(len(x)))).mean()

    def divergence(chosen: Kernel) -> float:
        return float(categorical_kl(log_p, with_own(log_kernels(chosen, x)).log_softmax(-1)).mean())

    chosen = choose_scale(kernel, x, [1, 2, 4, 8, 16, 32, 64])
    assert divergence(chosen) <= divergence(kernel)
    assert divergence(chosen) < 0.8 * float(uniform)
    assert divergence(kernel) > float(uniform) or dimensions < 10


def test_the_bootstrap_knows_the_divergence_of_its_own_model() -> None:
    """One cluster: the pilot decodes all codes alike, so that p is uniform, as is q of a large scale."""
    x = 0.1 * torch.randn(50, 3, generator=torch.Generator().manual_seed(0)).double()
    found = bootstrap_divergences(Gaussian(0.01), x, [1, 1e3, 1e5], torch.Generator().manual_seed(0))
    assert found[0] > 0.3 > found[1] > found[2]
    np.testing.assert_allclose(found[2], 0, atol=1e-3)


def test_means_of_pixels_become_log_odds() -> None:
    logits = Bernoulli(0.9).link(torch.tensor([0.0, 0.3, 1.0]))
    np.testing.assert_allclose(logits.sigmoid(), [0.1, 0.3, 0.9], atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Gaussian(0.1, scale=0), "positive number, not 0"),
        (lambda: Bernoulli(1.0), "between 0.5 and 1, not 1.0"),
        (
            lambda: choose_scale(Gaussian(0.1), torch.zeros(5, 1), []),
            "0 scales to choose from by 5 observations",
        ),
    ],
)
def test_impossible_kernels_are_refused(make, says: str) -> None:  # noqa: ANN001
    with pytest.raises(UserError, match=says):
        make()
