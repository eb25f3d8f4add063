"""MAPA's proposal over indices and its bound."""

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
from elbogap.inference.families.proposal import Proposal
from elbogap.inference.noise import draw
from elbogap.inference.objectives.base import Estimate
from elbogap.inference.objectives.mapa import MAPA, Uniform

N = 6


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def problem(seed: int, rows: int = 1) -> tuple[Tensor, Tensor]:
    """A proposal log q(i|n) and an unrelated log-likelihood, both `[rows, N]`."""
    return empirical.index_log_posterior(2 * normal(rows, N, seed=seed)), 3 * normal(rows, N, seed=seed + 1)


def estimate(q: Proposal, log_likelihood: Tensor, samples: int) -> Estimate:
    drawn = draw(MAPA().noise(samples, len(log_likelihood)), generator(), dtype=torch.float64)
    return MAPA().estimate(q, Uniform(log_likelihood), drawn)


def outcomes(log_q: Tensor, log_likelihood: Tensor, k: int, samples: int) -> tuple[Tensor, Tensor]:
    """Every possible tail of one point: its probability and the bound it gives."""
    head = log_q[0].topk(k).indices
    tail = torch.tensor([i for i in range(N) if i not in head])
    log_tail = log_q[0, tail] - torch.logsumexp(log_q[0, tail], 0)
    probabilities, bounds = [], []
    for places in itertools.product(range(len(tail)), repeat=samples):
        picked = torch.tensor(places, dtype=torch.long)
        indices = torch.cat([head, tail[picked]])
        weights = torch.cat([torch.zeros(k, dtype=torch.float64), -log_tail[picked] - math.log(samples)])
        probabilities.append(log_tail[picked].sum().exp())
        bounds.append(MAPA().at(log_likelihood[0, indices] + weights, -math.log(N)).value)
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
    q = Proposal.prepare(log_q, N, generator())
    assert q.choose(5, generator()).indices.shape == (4, N)
    bound = estimate(q, log_likelihood, 5).mean()
    exact = empirical.empiricalised_log_likelihood(log_likelihood)
    torch.testing.assert_close(bound, exact.mean())
    torch.testing.assert_close(
        *(torch.autograd.grad(value.mean(), log_likelihood, retain_graph=True)[0] for value in (bound, exact))
    )


def test_one_term_and_no_samples_is_the_autoencoder() -> None:
    """k = 1, S = 0: the log-likelihood of the own reconstruction minus log N."""
    data, variance = normal(20, 2), 0.1
    kernel = partial(pairwise_gaussian_log_density, variance=variance)
    log_q = empirical.index_log_posterior(kernel(data, data))
    q = Proposal.prepare(log_q, 1, generator())
    assert torch.equal(q.head[:, 0], torch.arange(20))
    reconstruction = kernel(data, data + 0.1 * normal(20, 2, seed=1))
    torch.testing.assert_close(estimate(q, reconstruction, 0).value, reconstruction.diagonal() - math.log(20))


def test_draws_follow_the_renormalised_tail() -> None:
    log_q, _ = problem(5)
    draws = 200_000
    terms = Proposal.prepare(log_q, 2, generator()).choose(draws, generator(1))
    head, drawn = terms.indices[0, :2], terms.indices[0, 2:]
    tail = log_q[0].clone()
    tail[head] = -math.inf
    expected = torch.softmax(tail, 0)
    fractions = torch.bincount(drawn, minlength=N) / draws
    assert set(head.tolist()) == set(log_q[0].topk(2).indices.tolist())
    assert not set(drawn.tolist()) & set(head.tolist())
    assert within(fractions - expected, (expected * (1 - expected) / draws).sqrt(), times=5)
    assert torch.equal(terms.log_weights[0, :2], torch.zeros(2, dtype=torch.float64))
    torch.testing.assert_close(terms.log_weights[0, 2:], -expected.log()[drawn] - math.log(draws))


@given(seed=SEEDS, k=st.integers(0, N - 1))
@settings(deadline=None, max_examples=10)
def test_weights_of_stratified_draws_are_those_of_expectations_under_q(seed: int, k: int) -> None:
    """Over all single draws of the tail, the weighted sum's mean is E_q f(i)."""
    log_q, f = problem(seed)
    q = Proposal.prepare(log_q, k, generator())
    weights = q.log_draw_weights(k + 1).exp()[0]
    torch.testing.assert_close(weights.sum(), torch.tensor(1.0, dtype=torch.float64))
    of_tail = torch.softmax(log_q[0].scatter(0, q.head[0], -math.inf), 0)
    mean = (weights[:k] * f[0, q.head[0]]).sum() + weights[k] * (of_tail * f[0]).sum()
    torch.testing.assert_close(mean, (log_q.exp() * f).sum())


def test_draws_are_repeatable_and_those_of_some_rows_are_their_own() -> None:
    log_q, _ = problem(7, rows=3)
    q = Proposal.prepare(log_q, 1, generator())
    first, again, other = (q.choose(50, generator(seed)).indices for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    uniform = draw(q.noise(51), generator(), 3, dtype=torch.float64)["uniform"]
    assert torch.equal(q.sample({"uniform": uniform}).squeeze(-1), first)
    assert torch.equal(q[torch.tensor([2])].sample({"uniform": uniform[2:]}).squeeze(-1), first[2:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_tail_whose_mass_underflows_keeps_its_proportions(dtype: torch.dtype) -> None:
    """The first point holds all but e^-5000 of the mass; the rest is renormalised in the log domain."""
    log_values = torch.tensor([[0.0, -5000.0, -5000.0 - math.log(3)]], dtype=dtype)
    log_q = empirical.index_log_posterior(log_values)
    assert (log_q[:, 1:].exp() == 0).all()
    terms = Proposal.prepare(log_q, 1, generator()).choose(10_000, generator(1))
    drawn = terms.indices[0, 1:]
    fraction = (drawn == 1).double().mean().item()
    assert fraction == pytest.approx(0.75, abs=5 * (0.75 * 0.25 / 10_000) ** 0.5)
    log_tail = -terms.log_weights[0, 1:] - math.log(10_000)
    expected = torch.tensor([0.75, 0.25], dtype=dtype).log()[drawn - 1]
    torch.testing.assert_close(log_tail, expected, rtol=1e-9, atol=1e-3 if dtype == torch.float32 else 1e-9)


def test_points_of_no_probability_are_never_drawn() -> None:
    log_q = torch.tensor([0.0, 0.4, 0.0, 0.6, 0.0], dtype=torch.float64).log()[None]
    terms = Proposal.prepare(log_q, 0, generator()).choose(100_000, generator())
    assert set(terms.indices.flatten().tolist()) == {1, 3}


def test_uniform_proposals_set_random_terms_aside() -> None:
    """Every index is in the head of k / N of the rows, up to five standard deviations."""
    rows, count, k = 4000, 40, 4
    log_q = torch.full((rows, count), -math.log(count), dtype=torch.float64)
    q = Proposal.prepare(log_q, k, generator())
    counts, part = torch.bincount(q.head.flatten(), minlength=count), k / count
    assert within(counts - rows * part, (rows * part * (1 - part)) ** 0.5, times=5)
    terms = q.choose(1, generator())
    torch.testing.assert_close(terms.log_weights[:, k:], torch.full((rows, 1), math.log(count - k)).double())
    assert not (terms.indices[:, :k] == terms.indices[:, k:]).any()


def test_k_out_of_range_is_refused() -> None:
    log_q, _ = problem(0)
    with pytest.raises(UserError, match="k = 7 terms cannot be the largest of N = 6"):
        Proposal.prepare(log_q, 7, generator())
    with pytest.raises(
        UserError, match="2 draws cannot include the k = 3 most probable indices; take k or more"
    ):
        Proposal.prepare(log_q, 3, generator()).noise(2)


def test_other_log_joints_are_refused() -> None:
    q = Proposal.prepare(problem(0)[0], 1, generator())
    with pytest.raises(UserError, match="MAPA takes Uniform"):
        MAPA().estimate(q, lambda indices: indices.double(), draw(MAPA().noise(1, 1), generator()))
