"""The regression of distilled networks, on small random data."""

import math
from functools import partial

import torch
from torch import Tensor
from torch.distributions import Independent, Normal, kl_divergence

from elbogap.papers.mapa.training import Regression
from elbogap.runtime import torch_generator


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def regression(variance: float = 0.3) -> Regression:
    streams = [partial(torch_generator, 0, member) for member in range(2)]
    return Regression(normal(2, 7, 1), variance, 3, streams, normal(2, 7, 3, seed=1))


def test_an_epoch_of_a_regression_pairs_each_point_with_its_target_once() -> None:
    objective = regression()
    first, second = objective.prepare(0), objective.prepare(1)
    assert objective.steps == 2
    assert first["inputs"].shape == (2, 2, 3, 1)
    assert not torch.equal(first["inputs"], second["inputs"])
    for member in range(2):
        points = first["inputs"][member].flatten()
        rows = [objective.x[member].flatten().tolist().index(point) for point in points.tolist()]
        assert len(set(rows)) == 6
        torch.testing.assert_close(first["targets"][member].flatten(0, 1), objective.targets[member, rows])
    alone = Regression(objective.x[1:], 0.3, 3, objective.streams[1:], objective.targets[1:])
    assert torch.equal(alone.prepare(0)["inputs"][0], first["inputs"][1])


def test_the_regression_of_decoders_is_the_divergence_of_eq_40() -> None:
    objective = regression(0.3)
    batch = {name: values[:, 0] for name, values in objective.prepare(0).items()}

    def network(codes: Tensor) -> Tensor:
        return torch.cat([codes, 2 * codes, codes - 1], -1)

    teacher, student = (
        Independent(Normal(mean, math.sqrt(0.3)), 1) for mean in (batch["targets"], network(batch["inputs"]))
    )
    torch.testing.assert_close(
        objective.value({"network": network}, batch), -kl_divergence(teacher, student).mean(-1)
    )
