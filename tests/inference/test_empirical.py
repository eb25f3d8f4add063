import itertools
import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from allowance import within
from elbogap.densities import pairwise_gaussian_log_density
from elbogap.errors import UserError
from elbogap.inference import empirical
from elbogap.inference.empirical import Terms

N = 6


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def problem(seed: int, rows: int = 1) -> tuple[Tensor, Tensor]:
    """A proposal log q(i|n) and an unrelated log-likelihood, both `[rows, N]`."""
    return empirical.index_log_posterior(2 * normal(rows, N, seed=seed)), 3 * normal(rows, N, seed=seed + 1)


def outcomes(log_q: Tensor, log_likelihood: Tensor, k: int, samples: int) -> tuple[Tensor, Tensor]:
    """Every possible tail of one point: its probability and the bound it gives."""
    head = log_q[0].topk(k).indices
    tail = torch.tensor([i for i in range(N) if i not in head])
    log_tail = log_q[0, tail] - torch.logsumexp(log_q[0, tail], 0)
    probabilities, bounds = [], []
    for draw in itertools.product(range(len(tail)), repeat=samples):
        picked = torch.tensor(draw, dtype=torch.long)
        terms = Terms(head[None], tail[picked][None], log_tail[picked][None])
        probabilities.append(log_tail[picked].sum().exp())
        bounds.append(empirical.mapa_bound(log_likelihood.gather(1, terms.indices), terms, N)[0])
    return torch.stack(probabilities), torch.stack(bounds)


SEEDS = st.integers(0, 1000)


@given(seed=SEEDS, k=st.integers(0, N - 1), samples=st.integers(1, 3))
@settings(deadline=None, max_examples=20)
def test_the_bracket_is_unbiased_and_the_bound_is_below_the_likelihood(
    seed: int, k: int, samples: int
) -> None:
    log_q, log_likelihood = problem(seed)
    exact = empirical.empiricalised_log_likelihood(log_likelihood)[0]
    probability, bound = outcomes(log_q, log_likelihood, k, samples)
    torch.testing.assert_close(probability.sum(), torch.tensor(1.0, dtype=torch.float64))
    torch.testing.assert_close((probability * bound.exp()).sum(), exact.exp())
    assert (probability * bound).sum() <= exact + 1e-12


@given(seed=SEEDS)
@settings(deadline=None, max_examples=10)
def test_the_expected_bound_rises_with_samples_and_with_k(seed: int) -> None:
    log_q, log_likelihood = problem(seed)

    def expected(k: int, samples: int) -> float:
        probability, bound = outcomes(log_q, log_likelihood, k, samples)
        return (probability * bound).sum().item()

    along_samples = [expected(2, samples) for samples in (1, 2, 3, 4)]
    along_k = [expected(k, 2) for k in range(N)]
    for values in (along_samples, along_k):
        assert all(after >= before - 1e-12 for before, after in itertools.pairwise(values))
    assert along_samples[-1] > along_samples[0]


def test_all_terms_give_the_exact_empiricalised_likelihood_and_its_gradient() -> None:
    log_q, log_likelihood = problem(3, rows=4)
    log_likelihood.requires_grad_()
    terms = empirical.choose_terms(log_q, N, 5, generator())
    assert terms.tail.shape == (4, 0)
    bound = empirical.mapa_bound(log_likelihood.gather(1, terms.indices), terms, N)
    exact = empirical.empiricalised_log_likelihood(log_likelihood)
    torch.testing.assert_close(bound, exact)
    torch.testing.assert_close(
        *(torch.autograd.grad(value.sum(), log_likelihood, retain_graph=True)[0] for value in (bound, exact))
    )


def test_one_term_and_no_samples_is_the_autoencoder() -> None:
    """k = 1, S = 0: the log-likelihood of the own reconstruction minus log N."""
    data, variance = normal(20, 2), 0.1
    kernel = partial(pairwise_gaussian_log_density, variance=variance)
    log_q = empirical.index_log_posterior(kernel(data, data))
    terms = empirical.choose_terms(log_q, 1, 0, generator())
    assert torch.equal(terms.head[:, 0], torch.arange(20))
    reconstruction = kernel(data, data + 0.1 * normal(20, 2, seed=1))
    bound = empirical.mapa_bound(reconstruction.gather(1, terms.indices), terms, 20)
    torch.testing.assert_close(bound, reconstruction.diagonal() - math.log(20))


@given(seed=SEEDS)
@settings(deadline=None, max_examples=10)
def test_the_gap_to_the_autoencoder_is_that_of_eq_14(seed: int) -> None:
    log_likelihood = 3 * normal(N, N, seed=seed)
    own = log_likelihood.diagonal()
    ratios = (log_likelihood - own[:, None]).exp()
    gap = torch.log1p(ratios.sum(1) - 1)
    exact = empirical.empiricalised_log_likelihood(log_likelihood)
    torch.testing.assert_close(exact, own - math.log(N) + gap)
    assert (gap >= 0).all()


def test_draws_follow_the_renormalised_tail() -> None:
    log_q, _ = problem(5)
    draws = 200_000
    terms = empirical.choose_terms(log_q, 2, draws, generator())
    tail = log_q[0].clone()
    tail[terms.head[0]] = -math.inf
    expected = torch.softmax(tail, 0)
    shares = torch.bincount(terms.tail[0], minlength=N) / draws
    assert set(terms.head[0].tolist()) == set(log_q[0].topk(2).indices.tolist())
    assert not set(terms.tail[0].tolist()) & set(terms.head[0].tolist())
    deviation = (expected * (1 - expected) / draws).sqrt()
    assert within(shares - expected, deviation, times=5)
    torch.testing.assert_close(terms.log_tail[0], expected.log()[terms.tail[0]])


def test_draws_are_repeatable_and_rows_are_independent() -> None:
    log_q, _ = problem(7, rows=3)
    first, again, other = (empirical.choose_terms(log_q, 1, 50, generator(seed)).tail for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_tail_whose_mass_underflows_keeps_its_proportions(dtype: torch.dtype) -> None:
    """The first point holds all but e^-5000 of the mass; the rest is renormalised in the log domain."""
    log_values = torch.tensor([[0.0, -5000.0, -5000.0 - math.log(3)]], dtype=dtype)
    log_q = empirical.index_log_posterior(log_values)
    assert (log_q[:, 1:].exp() == 0).all()
    terms = empirical.choose_terms(log_q, 1, 10_000, generator())
    share = (terms.tail == 1).double().mean().item()
    assert share == pytest.approx(0.75, abs=5 * (0.75 * 0.25 / 10_000) ** 0.5)
    expected = torch.tensor([0.75, 0.25], dtype=dtype).log()[terms.tail - 1]
    torch.testing.assert_close(
        terms.log_tail, expected, rtol=0, atol=1e-3 if dtype == torch.float32 else 1e-9
    )


def test_points_of_no_probability_are_never_drawn() -> None:
    log_q = torch.tensor([0.0, 0.4, 0.0, 0.6, 0.0], dtype=torch.float64).log()[None]
    terms = empirical.choose_terms(log_q, 0, 100_000, generator())
    assert set(terms.tail[0].tolist()) == {1, 3}


def test_unique_indices_are_those_of_the_set() -> None:
    log_q = empirical.index_log_posterior(3 * normal(8, 50))
    terms = empirical.choose_terms(log_q, 4, 30, generator())
    assert terms.unique(50).tolist() == sorted(set(terms.indices.flatten().tolist()))


def test_bernoulli_kernel_is_symmetric_and_counts_disagreements() -> None:
    data = (normal(9, 5) > 0).double()
    log_k = empirical.bernoulli_log_kernel(data, data, 0.9)
    differing = (data[:, None] != data).sum(-1).double()
    torch.testing.assert_close(log_k, (5 - differing) * math.log(0.9) + differing * math.log(0.1))
    torch.testing.assert_close(log_k, log_k.T)


def test_the_printed_bernoulli_kernel_still_vanishes_in_one_direction() -> None:
    """Eq. 21 as printed, prod_d rho x_i x_n + (1 - rho x_i)(1 - x_n), is 0 for x_i = 0 and x_n = 1."""
    rho, x_i, x_n = 0.9, torch.zeros(1, 1), torch.ones(1, 1)
    assert (rho * x_i * x_n + (1 - rho * x_i) * (1 - x_n)).item() == 0
    assert empirical.bernoulli_log_kernel(x_n, x_i, rho).item() == pytest.approx(math.log(0.1))


@pytest.mark.parametrize(
    ("total", "share", "within", "beyond"),
    [(50, 0.1, (5, 45), (5, 50)), (200, 0.9, (180, 20), (180, 200)), (1, 0.1, (1, 0), (1, 1))],
)
def test_the_two_readings_of_the_budget(
    total: int, share: float, within: tuple[int, int], beyond: tuple[int, int]
) -> None:
    assert empirical.budget(total, share, "within") == within
    assert empirical.budget(total, share, "beyond") == beyond


def test_k_out_of_range_is_refused() -> None:
    log_q, _ = problem(0)
    with pytest.raises(UserError, match="k = 7 terms cannot be the largest of N = 6"):
        empirical.choose_terms(log_q, 7, 1, generator())
