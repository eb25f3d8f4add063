import math
from functools import partial

import pytest
import torch
from torch import Tensor

from allowance import within
from elbogap.densities import (
    gaussian_log_density,
    pairwise_gaussian_log_density,
    standard_gaussian_log_density,
)
from elbogap.inference.bounds import elbo, iwae
from elbogap.inference.empirical import (
    Proposal,
    choose_terms,
    empiricalised_log_likelihood,
    index_log_posterior,
    mapa_bound,
)
from elbogap.nn.mlp import MLP
from elbogap.papers.mapa.cells import Cell
from elbogap.papers.mapa.objectives import (
    EncoderObjective,
    ExactMapaObjective,
    MapaObjective,
    minibatches,
    terms_of,
)
from elbogap.runtime import torch_generator

VARIANCE, N, BATCH = 0.05, 40, 8
STREAMS = [partial(torch_generator, 0, member) for member in range(2)]


@pytest.fixture(scope="module")
def data() -> Tensor:
    return torch.randn(2, N, 2, generator=torch.Generator().manual_seed(0))


def networks(codes: int) -> dict[str, MLP]:
    generator = torch.Generator().manual_seed(1)
    return {
        "decoder": MLP(2, [1, 6, 2], "tanh", generator),
        "encoder": MLP(2, [2, 6, codes], "tanh", generator),
    }


def at(batch: dict[str, Tensor], k: int) -> dict[str, Tensor]:
    return {name: values[:, k] for name, values in batch.items()}


def test_minibatches_are_a_permutation_without_the_incomplete_rest() -> None:
    chosen = minibatches(23, 5, torch.Generator().manual_seed(0))
    assert chosen.shape == (4, 5)
    assert len(set(chosen.flatten().tolist())) == 20


@pytest.mark.parametrize("method", ["vae", "iwae", "iwae_plain"])
def test_encoder_bounds_are_those_of_the_library(data: Tensor, method: str) -> None:
    samples = 3
    objective = EncoderObjective(data, VARIANCE, BATCH, STREAMS, Cell(method, samples))
    nets, batch = networks(2), at(objective.prepare(0), 1)
    assert batch["x"].shape == (2, BATCH, 2)
    value = objective.value(nets, batch)
    for member in range(2):
        mean, log_variance = nets["encoder"](batch["x"])[member].chunk(2, -1)
        z = mean + torch.exp(0.5 * log_variance) * batch["noise"][member]
        means = nets["decoder"](z[None].expand(2, -1, -1, -1))[member]
        spread = torch.tensor([math.log(VARIANCE)])
        log_likelihood = gaussian_log_density(batch["x"][member], means, spread)
        if method == "vae":
            inner = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1)[:, 0]
            expected = elbo(log_likelihood - inner)
        else:
            log_q = gaussian_log_density(z, mean, log_variance)
            expected = iwae(log_likelihood + standard_gaussian_log_density(z) - log_q)
        torch.testing.assert_close(value[member], expected.mean())


def test_mapa_evaluates_distinct_points_once_and_has_the_library_s_value_and_gradient(data: Tensor) -> None:
    log_q = [
        index_log_posterior(pairwise_gaussian_log_density(x.double(), x.double(), VARIANCE)) for x in data
    ]
    proposals = [Proposal.prepare(q, 2, torch.Generator().manual_seed(9)) for q in log_q]
    objective = MapaObjective(data, VARIANCE, BATCH, STREAMS, proposals, samples=4)
    prepared = objective.prepare(3)
    nets = networks(1)
    for k in range(objective.steps):
        value = objective.value(nets, at(prepared, k))
        expected, passes = [], []
        for member, stream in enumerate(STREAMS):
            generator = stream(3)
            rows = minibatches(N, BATCH, generator)[k]
            terms = proposals[member].draw(4, generator)
            means = nets["decoder"](nets["encoder"](data))[member]
            log_likelihood = pairwise_gaussian_log_density(data[member], means, VARIANCE)
            bound = mapa_bound(log_likelihood.gather(1, terms.indices), terms, N)
            expected.append(bound[rows].mean())
            passes.append(len(terms.indices[rows].unique()) / BATCH)
        torch.testing.assert_close(value, torch.stack(expected).float(), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(prepared["passes"][:, k], torch.tensor(passes))
        parameters = [*nets["decoder"].parameters(), *nets["encoder"].parameters()]
        ours = torch.autograd.grad(value.sum(), parameters)
        direct = torch.autograd.grad(torch.stack(expected).sum(), parameters)
        for left, right in zip(ours, direct, strict=True):
            torch.testing.assert_close(left, right, rtol=1e-3, atol=1e-4)


def test_exact_mapa_is_the_empiricalised_log_likelihood(data: Tensor) -> None:
    objective = ExactMapaObjective(data, VARIANCE, BATCH, STREAMS)
    nets, batch = networks(1), at(objective.prepare(0), 0)
    means = nets["decoder"](nets["encoder"](data))
    expected = empiricalised_log_likelihood(pairwise_gaussian_log_density(batch["x"], means, VARIANCE))
    torch.testing.assert_close(objective.value(nets, batch), expected.mean(-1), rtol=1e-4, atol=1e-4)


def test_an_epoch_depends_on_its_number_alone(data: Tensor) -> None:
    objective = EncoderObjective(data, VARIANCE, BATCH, STREAMS, Cell("iwae", 2))
    first, other, again = (objective.prepare(epoch) for epoch in (0, 1, 0))
    assert torch.equal(first["noise"], again["noise"])
    assert not torch.equal(first["noise"], other["noise"])
    assert not torch.equal(first["noise"][0], first["noise"][1])


def test_budgets_follow_the_cell_s_reading() -> None:
    assert terms_of(Cell.parse("mapa_S50_k10"), N) == (5, 45)
    assert terms_of(Cell.parse("mapa_beyond_S50_k10"), N) == (5, 50)
    assert terms_of(Cell.parse("mapa_gt_S10_k90"), N) == (9, 1)
    assert terms_of(Cell.parse("mapa_exact"), N) == (N, 0)


def test_uniform_proposals_set_random_terms_aside() -> None:
    """Every index is in the head of a share k / N of the rows, up to five standard deviations."""
    rows, k = 4000, 4
    terms = choose_terms(torch.full((rows, N), -math.log(N)), k, 1, torch.Generator().manual_seed(0))
    counts = torch.bincount(terms.head.flatten(), minlength=N)
    share = k / N
    assert within(counts - rows * share, (rows * share * (1 - share)) ** 0.5, times=5)
    torch.testing.assert_close(terms.log_tail, torch.full((rows, 1), -math.log(N - k)))
    assert not (terms.head == terms.tail).any()
