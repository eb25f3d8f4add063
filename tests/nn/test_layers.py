"""Networks as functions of tensors: some inputs given once, constant weights, constant outputs."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from elbogap.nn.mlp import ACTIVATIONS, MLP, Activation, Layers


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed))


@given(
    members=st.integers(1, 3),
    between=st.lists(st.integers(1, 3), max_size=2),
    rows=st.integers(1, 4),
    first=st.integers(1, 4),
    later=st.integers(1, 4),
    hidden=st.lists(st.integers(1, 9), max_size=2),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
)
@settings(max_examples=60, deadline=None)
def test_given_inputs_are_concatenated_ones_in_value_and_gradient(
    members: int,
    between: list[int],
    rows: int,
    first: int,
    later: int,
    hidden: list[int],
    activation: Activation,
) -> None:
    network = MLP(members, [first + later, *hidden, 2], activation, generator(), dtype=torch.float64)
    x = normal(members, rows, first, seed=1).requires_grad_()
    e = normal(members, *between, rows, later, seed=2).requires_grad_()
    weights = normal(members, *between, rows, 2, seed=3)
    everywhere = x.view(members, *[1] * len(between), rows, first).expand(*e.shape[:-1], first)
    results = []
    for output in (network.layers().given(x)(e), network(torch.cat([everywhere, e], -1))):
        leaves = [x, e, *network.parameters()]
        results.append([output, *torch.autograd.grad((output * weights).sum(), leaves)])
    assert results[0][0].shape == (members, *between, rows, 2)
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_one_row_of_the_other_inputs_serves_all_given_ones() -> None:
    network = MLP(2, [5, 8, 3], "tanh", generator(), dtype=torch.float64)
    given_x = network.layers().given(normal(2, 6, 2))
    e = normal(2, 4, 1, 3, seed=1)
    torch.testing.assert_close(given_x(e), given_x(e.expand(2, 4, 6, 3)))


def test_a_given_network_can_be_called_again_and_without_gradients() -> None:
    network = MLP(2, [5, 8, 8, 3], "relu", generator(), dtype=torch.float64)
    given_x = network.layers().given(normal(2, 6, 2))
    e = normal(2, 6, 3, seed=1)
    once = given_x(e)
    assert torch.equal(given_x(e), once)
    with torch.no_grad():
        torch.testing.assert_close(given_x(e), once)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_detached_layers_have_the_same_outputs_and_gradients_in_the_inputs_alone(
    activation: Activation,
) -> None:
    network = MLP(2, [3, 9, 4, 2], activation, generator(), dtype=torch.float64)
    inputs = normal(2, 5, 3).requires_grad_()
    plain, detached = network(inputs), network.layers().detach()(inputs)
    assert torch.equal(detached, plain)
    (expected,) = torch.autograd.grad(plain.square().sum(), inputs)
    detached.square().sum().backward()
    torch.testing.assert_close(inputs.grad, expected)
    assert all(one.grad is None for one in network.parameters())
    assert not network.layers().detach()(inputs.detach()).requires_grad


def test_detached_layers_follow_the_weights_as_they_are_trained() -> None:
    """They share storage, as a step captured on a GPU needs."""
    network = MLP(1, [3, 4, 2], "tanh", generator(), dtype=torch.float64)
    constant, inputs = network.layers().detach(), normal(1, 5, 3)
    with torch.no_grad():
        network.weights[0].mul_(2)
    assert torch.equal(constant(inputs), network(inputs))


def test_layers_are_a_function_of_any_tensors() -> None:
    """Such as weights that are computed: gradients flow to where they come from."""
    scale = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    weights, biases = [normal(1, 3, 2)], [normal(1, 1, 2, seed=1)]
    output = Layers([weights[0] * scale], biases, "relu")(normal(1, 4, 3, seed=2))
    (gradient,) = torch.autograd.grad(output.sum(), scale)
    torch.testing.assert_close(gradient, (normal(1, 4, 3, seed=2) @ weights[0]).sum())


@pytest.mark.parametrize("dimensions", [1, 12])
def test_a_constant_is_a_network_of_no_inputs(dimensions: int) -> None:
    values = normal(3, dimensions)
    network = MLP.constant(values)
    output = network(values.new_empty(3, 2, 5, 0))
    assert torch.equal(output, values[:, None, None].expand(3, 2, 5, dimensions))
    output.sum().backward()
    assert torch.equal(network.biases[0].grad, torch.full((3, 1, dimensions), 10.0, dtype=torch.float64))
    assert sum(one.numel() for one in network.parameters()) == values.numel()
    for copy in (MLP.from_arrays(network.to_arrays()), MLP.joined([network])):
        assert torch.equal(copy(values.new_empty(3, 1, 0)), values[:, None])
    assert torch.equal(network.select([2])(values.new_empty(1, 1, 0)), values[2:, None])


def test_wide_weights_are_normal_by_the_layers_width_and_standard_normal_at_the_end() -> None:
    network = MLP(40, [30, 100, 25, 20], "relu", generator(), "wide", dtype=torch.float64)
    for layer, deviation in enumerate((100**-0.5, 25**-0.5, 1.0)):
        for one in (network.weights[layer], network.biases[layer]):
            values = one.detach().flatten() / deviation
            assert stats.kstest(values, "norm").pvalue > 1e-3
            assert float(values.std()) == pytest.approx(1, abs=4 / math.sqrt(2 * len(values)))
    single = MLP(1, [3, 5000], "relu", generator(), "wide")
    assert float(single.weights[0].detach().std()) == pytest.approx(1, rel=0.05)


def test_a_wide_member_starts_the_same_whatever_its_companions() -> None:
    few, many = (MLP(count, [3, 7, 2], "relu", generator(), "wide") for count in (2, 4))
    for left, right in zip(few.parameters(), many.parameters(), strict=True):
        assert torch.equal(left, right[:2])
