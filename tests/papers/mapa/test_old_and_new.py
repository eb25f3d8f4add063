"""The shared objectives give the batches, values and gradients of the ones that they replace."""

from functools import partial

import pytest
import torch
from torch import Tensor

from elbogap.densities import pairwise_gaussian_log_density
from elbogap.inference.empirical import Proposal, index_log_posterior
from elbogap.inference.families.mixture import GaussianMixture
from elbogap.inference.families.proposal import Proposal as NewProposal
from elbogap.inference.objectives.elbo import IWAE
from elbogap.inference.prior_recovery import quantile_map
from elbogap.nn.mlp import MLP
from elbogap.papers.mapa import cells, objectives, training
from elbogap.papers.mapa.experiments import protocol
from elbogap.papers.mapa.methods import Cell
from elbogap.runtime import torch_generator

M, N, B, VARIANCE = 2, 40, 8, 0.05
STREAMS = [partial(torch_generator, 0, member) for member in range(M)]
DATA = torch.randn(M, N, 2, generator=torch_generator(0), dtype=torch.float64)
COMMON = (DATA, VARIANCE, B, STREAMS)


def networks(outputs: int) -> dict[str, MLP]:
    sizes = {"decoder": [1, 6, 2], "encoder": [2, 6, outputs]}
    return {name: MLP(M, size, "tanh", torch_generator(1)).double() for name, size in sizes.items()}


def same(new: object, old: object, outputs: int, shared: tuple[str, ...]) -> None:
    nets = networks(outputs)
    parameters = [one for network in nets.values() for one in network.parameters()]
    first, second = new.prepare(3), old.prepare(3)
    for name in shared:
        assert torch.equal(first[name], second[name]), name
    for k in range(new.steps):
        values = [
            one.value(nets, {name: value[:, k] for name, value in batch.items()})
            for one, batch in ((new, first), (old, second))
        ]
        torch.testing.assert_close(*values, rtol=1e-10, atol=1e-10)
        slopes = [torch.autograd.grad(value.sum(), parameters, allow_unused=True) for value in values]
        for left, right in zip(*slopes, strict=True):
            if left is not None or right is not None:
                torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["vae", "iwae_S3", "iwae_plain_S3"])
def test_methods_with_an_encoder(name: str) -> None:
    cell = Cell.parse(name)
    posterior = training.POSTERIORS[cell.method.posterior]
    new = training.variational(
        training.OBJECTIVES[cell.method.objective], posterior.family, cell.samples,
        lambda networks: networks["decoder"], *COMMON,
    )  # fmt: skip
    old = objectives.EncoderObjective(*COMMON, cells.Cell.parse(name))
    same(new, old, 2, ("x",))
    assert torch.equal(new.prepare(1)["normal"], old.prepare(1)["noise"])


def log_q(x: Tensor) -> Tensor:
    return index_log_posterior(pairwise_gaussian_log_density(x, x, VARIANCE))


@pytest.mark.parametrize(("k", "samples"), [(2, 4), (3, 0), (0, 5)])
def test_mapa(k: int, samples: int) -> None:
    new = [NewProposal.prepare(log_q(x), k, samples, torch_generator(9)) for x in DATA]
    old = [Proposal.prepare(log_q(x), k, torch_generator(9)) for x in DATA]
    same(
        training.SomeTerms(*COMMON, new), objectives.MapaObjective(*COMMON, old, samples), 1,
        ("x", "points", "terms", "passes"),
    )  # fmt: skip


def test_mapa_with_all_terms() -> None:
    same(training.AllTerms(*COMMON), objectives.ExactMapaObjective(*COMMON), 1, ("x", "points"))


def test_mixture_encoders_of_fixed_models() -> None:
    decoder = networks(1)["decoder"]
    laws = [None, quantile_map(torch.randn(50, generator=torch_generator(2), dtype=torch.float64))]
    fixed = protocol.Decoders(decoder.requires_grad_(False), laws)
    components, samples = 3, 12
    new = training.variational(
        IWAE(), partial(GaussianMixture.from_heads, dimensions=1), samples, lambda _: fixed, *COMMON
    )
    old = protocol.MixtureObjective(*COMMON, fixed, components, samples)
    same(new, old, 3 * components, ("x",))
