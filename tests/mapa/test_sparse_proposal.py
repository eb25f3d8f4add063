"""Neighbours, groups, alias tables, and a proposal that estimates sums over all indices without bias."""

import math

import numpy as np
import pytest
import torch

from allowance import within
from elbogap.densities import log_sum_exp
from elbogap.errors import UserError
from elbogap.mapa.kernels import Gaussian, log_kernels, with_own
from elbogap.mapa.neighbours import leaves, nearest
from elbogap.mapa.proposal import NeighbourProposal, alias_tables

X = torch.randn(40, 2, generator=torch.Generator().manual_seed(1)).double()
KERNEL = Gaussian(0.2)


@pytest.mark.parametrize("dimensions", [1, 3, 7])
def test_neighbours_are_those_of_all_distances(dimensions: int) -> None:
    random = np.random.default_rng(0)
    points, queries = random.standard_normal((200, dimensions)), random.standard_normal((20, dimensions))
    distances = np.linalg.norm(queries[:, None] - points[None], axis=-1)
    found = nearest(points, queries, 6)
    assert (found == distances.argsort(1)[:, :6]).all()
    assert nearest(points, queries, 1).shape == (20, 1)


@pytest.mark.parametrize(("dimensions", "size"), [(2, 7), (2, 1000), (20, 16)])
def test_groups_hold_each_point_once_and_are_near(dimensions: int, size: int) -> None:
    points = np.random.default_rng(0).standard_normal((1000, dimensions))
    groups = leaves(points, size)
    assert sorted(np.concatenate(groups)) == list(range(1000))
    assert max(map(len, groups)) <= size
    assert min(map(len, groups)) >= size // 2
    spread = np.mean([points[group].var(0).sum() for group in groups if len(group) > 1])
    assert spread < points.var(0).sum() or size == 1000


def test_alias_tables_hold_the_probabilities() -> None:
    probability = torch.rand(5, 9, generator=torch.Generator().manual_seed(0)).double() ** 6
    probability[0] = 1  # all equal
    probability[1, 3:] = 0
    probability /= probability.sum(-1, keepdim=True)
    keep, alias = alias_tables(probability)
    held = keep / 9
    held = held.scatter_add(-1, alias.long(), (1 - keep) / 9)
    np.testing.assert_allclose(held, probability, atol=1e-12, rtol=0)


def test_log_prob_is_the_mixture_of_neighbours_and_floor() -> None:
    proposal = NeighbourProposal.prepare(KERNEL, X, neighbours=10, head=3, floor=0.2)
    everything = torch.arange(40).expand(40, 40)
    log_q = proposal.log_prob(torch.arange(40), everything)
    np.testing.assert_allclose(log_q.exp().sum(-1), torch.ones(40).double(), atol=1e-12, rtol=0)
    log_k = with_own(log_kernels(KERNEL, X))
    near = torch.cdist(X, X).argsort(-1)[:, :10]
    expected = torch.full((40, 40), 0.2 / 40).double()
    expected.scatter_add_(-1, near, 0.8 * log_k.gather(-1, near).softmax(-1))
    np.testing.assert_allclose(log_q.exp(), expected, atol=1e-8, rtol=0)


@pytest.mark.parametrize("head", [0, 3])
def test_terms_estimate_a_sum_over_all_indices_without_bias(head: int) -> None:
    proposal = NeighbourProposal.prepare(KERNEL, X, neighbours=8, head=head, floor=0.3)
    values = torch.rand(40, generator=torch.Generator().manual_seed(2)).double() + 0.1
    rows = torch.tensor([4]).repeat(4000)
    terms = proposal.terms(rows, 5, torch.Generator().manual_seed(0))
    sums = (values[terms.indices] * terms.log_weights.exp()).sum(-1)
    assert within(sums.mean() - values.sum(), float(sums.std()) / math.sqrt(len(sums)))
    assert float(sums.std()) / math.sqrt(len(sums)) < 0.02 * float(values.sum())
    assert terms.indices.shape == (4000, head + 5)


def test_dropping_terms_keeps_a_lower_bound() -> None:
    """Of a likelihood, whose values are not negative: the k nearest of all indices."""
    log_values = KERNEL.log_kernel(X.unsqueeze(1), X.unsqueeze(0))
    whole, rows = log_sum_exp(log_values, -1), torch.arange(40)
    bounds = []
    for head in (1, 5, 20):
        proposal = NeighbourProposal.prepare(KERNEL, X, neighbours=21, head=head)
        terms = proposal.terms(rows, 0, torch.Generator())
        bounds.append(log_sum_exp(log_values.gather(-1, terms.indices) + terms.log_weights, -1))
    for looser, tighter in zip(bounds, [*bounds[1:], whole], strict=True):
        assert (looser < tighter).all()


def test_new_observations_have_proposals_over_the_old() -> None:
    proposal = NeighbourProposal.prepare(KERNEL, X, X[:2] + 0.01, neighbours=4, head=1)
    assert proposal.indices.shape == (2, 4)
    assert proposal.indices[:, 0].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"neighbours": 41}, "41 neighbours among 40"),
        ({"neighbours": 5, "head": 5}, "0 <= always < neighbours <= all"),
        ({"floor": 0.0}, "a floor of 0.0"),
    ],
)
def test_impossible_proposals_are_refused(options: dict, says: str) -> None:
    with pytest.raises(UserError, match=says):
        NeighbourProposal.prepare(KERNEL, X, **options)
    with pytest.raises(UserError, match="take 1 to 40"):
        nearest(X.numpy(), X.numpy(), 0)
    with pytest.raises(UserError, match="take 1 or more"):
        leaves(X.numpy(), 0)
