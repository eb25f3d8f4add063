"""Precision against sorting by distance, ties in random order."""

import pytest
import torch
from torch import Tensor

from elbogap.errors import UserError
from elbogap.papers.efvae.experiments.newsgroups_summary import hamming_precision


def made_up(bits: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)

    def draw(high: int, *shape: int) -> Tensor:
        return torch.randint(high, shape, generator=generator)

    return draw(2, 5, bits), draw(2, 40, bits), draw(3, 5), draw(3, 40)


@pytest.mark.parametrize("bits", [2, 9])
def test_it_is_the_mean_over_random_orders_of_ties(bits: int) -> None:
    queries, documents, query_labels, labels = made_up(bits)
    distance = (queries[:, None] != documents).sum(-1)
    generator = torch.Generator().manual_seed(1)
    total = torch.zeros(5, dtype=torch.float64)
    for _ in range(4000):
        order = torch.randperm(40, generator=generator)
        nearest = order[distance[:, order].argsort(dim=1, stable=True)[:, :7]]
        total += (labels[nearest] == query_labels[:, None]).double().mean(1)
    found = hamming_precision(queries, documents, query_labels, labels, 7)
    torch.testing.assert_close(found, total / 4000, atol=0.01, rtol=0.0)


def test_codes_that_are_labels_retrieve_perfectly() -> None:
    _, _, query_labels, labels = made_up(2)
    queries, documents = (torch.nn.functional.one_hot(one, 3) for one in (query_labels, labels))
    count = int(torch.bincount(labels).min())
    found = hamming_precision(queries, documents, query_labels, labels, count)
    torch.testing.assert_close(found, torch.ones(5, dtype=torch.float64))


def test_equal_codes_retrieve_by_chance() -> None:
    queries, documents, query_labels, labels = made_up(3)
    found = hamming_precision(0 * queries, 0 * documents, query_labels, labels, 7)
    chance = (query_labels[:, None] == labels).double().mean(1)
    torch.testing.assert_close(found, chance)


@pytest.mark.parametrize("neighbours", [0, 41])
def test_impossible_numbers_of_neighbours_are_refused(neighbours: int) -> None:
    with pytest.raises(UserError, match="among 40 documents"):
        hamming_precision(*made_up(3), neighbours)
