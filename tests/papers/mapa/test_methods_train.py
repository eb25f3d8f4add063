import math
from functools import partial

import pytest
import torch
from torch import Tensor

from elbogap.densities import (
    gaussian_log_density,
    pairwise_gaussian_log_density,
    standard_gaussian_log_density,
)
from elbogap.ensemble import Objective, minibatches
from elbogap.inference.bounds import elbo, iwae
from elbogap.inference.empirical import empiricalised_log_likelihood, index_log_posterior
from elbogap.inference.families.proposal import Proposal
from elbogap.nn.mlp import MLP
from elbogap.papers.mapa.methods import Cell, split
from elbogap.papers.mapa.training import (
    OBJECTIVES,
    POSTERIORS,
    AllTerms,
    SomeTerms,
    TrainingSets,
    variational,
)
from elbogap.runtime import torch_generator

VARIANCE, N, BATCH = 0.05, 40, 8
STREAMS = [partial(torch_generator, 0, member) for member in range(2)]


def with_encoder(sets: TrainingSets, method: str, samples: int) -> Objective:
    objective, family = OBJECTIVES[method], POSTERIORS["gaussian"].family
    return variational(objective, family, samples, sets, lambda networks: networks["decoder"])


@pytest.fixture(scope="module")
def data() -> Tensor:
    return torch.randn(2, N, 2, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def sets(data: Tensor) -> TrainingSets:
    return TrainingSets(data, VARIANCE, BATCH, STREAMS)


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


@pytest.mark.parametrize("method", ["elbo", "iwae", "iwae_plain"])
def test_encoder_bounds_are_those_of_the_library(sets: TrainingSets, method: str) -> None:
    objective = with_encoder(sets, method, 3)
    nets, batch = networks(2), at(objective.prepare(0), 1)
    assert batch["x"].shape == (2, BATCH, 2)
    value = objective.value(nets, batch)
    for member in range(2):
        mean, log_variance = nets["encoder"](batch["x"])[member].chunk(2, -1)
        z = mean + torch.exp(0.5 * log_variance) * batch["normal"][member]
        means = nets["decoder"](z[None].expand(2, -1, -1, -1))[member]
        spread = torch.tensor([math.log(VARIANCE)])
        log_likelihood = gaussian_log_density(batch["x"][member], means, spread)
        if method == "elbo":
            inner = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1)[:, 0]
            expected = elbo(log_likelihood - inner)
        else:
            log_q = gaussian_log_density(z, mean, log_variance)
            expected = iwae(log_likelihood + standard_gaussian_log_density(z) - log_q)
        torch.testing.assert_close(value[member], expected.mean())


def test_mapa_evaluates_distinct_points_once_and_has_the_value_and_gradient_of_eq_29(
    data: Tensor, sets: TrainingSets
) -> None:
    log_q = [
        index_log_posterior(pairwise_gaussian_log_density(x.double(), x.double(), VARIANCE)) for x in data
    ]
    proposals = [Proposal.prepare(q, 2, torch.Generator().manual_seed(9)) for q in log_q]
    objective = SomeTerms(**vars(sets), proposals=proposals, samples=4)
    prepared = objective.prepare(3)
    nets = networks(1)
    for k in range(objective.steps):
        value = objective.value(nets, at(prepared, k))
        expected, passes = [], []
        for member, stream in enumerate(STREAMS):
            generator = stream(3)
            rows = minibatches(N, BATCH, generator)[k]
            terms = proposals[member].choose(4, generator)
            means = nets["decoder"](nets["encoder"](data))[member]
            log_likelihood = pairwise_gaussian_log_density(data[member], means, VARIANCE)
            log_values = log_likelihood.gather(1, terms.indices) + terms.log_weights
            bound = torch.logsumexp(log_values, 1) - math.log(N)
            expected.append(bound[rows].mean())
            passes.append(len(terms.indices[rows].unique()) / BATCH)
        torch.testing.assert_close(value, torch.stack(expected).float(), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(prepared["passes"][:, k], torch.tensor(passes))
        parameters = [*nets["decoder"].parameters(), *nets["encoder"].parameters()]
        ours = torch.autograd.grad(value.sum(), parameters)
        direct = torch.autograd.grad(torch.stack(expected).sum(), parameters)
        for left, right in zip(ours, direct, strict=True):
            torch.testing.assert_close(left, right, rtol=1e-3, atol=1e-4)


def test_all_terms_are_the_empiricalised_log_likelihood(data: Tensor, sets: TrainingSets) -> None:
    objective = AllTerms(**vars(sets))
    nets, batch = networks(1), at(objective.prepare(0), 0)
    means = nets["decoder"](nets["encoder"](data))
    expected = empiricalised_log_likelihood(pairwise_gaussian_log_density(batch["x"], means, VARIANCE))
    torch.testing.assert_close(objective.value(nets, batch), expected.mean(-1), rtol=1e-4, atol=1e-4)


def test_an_epoch_depends_on_its_number_alone(sets: TrainingSets) -> None:
    objective = with_encoder(sets, "iwae", 2)
    first, other, again = (objective.prepare(epoch) for epoch in (0, 1, 0))
    assert torch.equal(first["normal"], again["normal"])
    assert not torch.equal(first["normal"], other["normal"])
    assert not torch.equal(first["normal"][0], first["normal"][1])


def test_terms_follow_the_cell_s_reading_of_its_budget() -> None:
    assert Cell.parse("mapa_within_S50_k10").terms(N) == (5, 45)
    assert Cell.parse("mapa_S50_k10").terms(N) == (5, 50)
    assert Cell.parse("mapa_gt_S10_k90").terms(N) == (9, 10)
    assert Cell.parse("mapa_exact").terms(N) == (N, 0)


@pytest.mark.parametrize(
    ("samples", "fraction", "within", "beyond"),
    [(50, 0.1, (5, 45), (5, 50)), (200, 0.9, (180, 20), (180, 200)), (1, 0.1, (1, 0), (1, 1))],
)
def test_the_two_readings_of_the_budget(
    samples: int, fraction: float, within: tuple[int, int], beyond: tuple[int, int]
) -> None:
    assert split(samples, fraction, "within") == within
    assert split(samples, fraction, "beyond") == beyond
