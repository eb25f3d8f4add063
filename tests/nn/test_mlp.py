import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from elbogap.errors import UserError
from elbogap.nn.mlp import ACTIVATIONS, MLP, Activation

SIZES = [3, 7, 5, 2]


def network(members: int, seed: int = 0, **options: object) -> MLP:
    return MLP(
        members, SIZES, "leaky_relu", torch.Generator().manual_seed(seed), dtype=torch.float64, **options
    )


def ordinary(net: MLP, member: int) -> nn.Sequential:
    """The same network in torch's own layers."""
    layers: list[nn.Module] = []
    for weight, bias in zip(net.weights, net.biases, strict=True):
        layer = nn.Linear(weight.shape[1], weight.shape[2], dtype=torch.float64)
        with torch.no_grad():
            layer.weight.copy_(weight[member].T)
            layer.bias.copy_(bias[member, 0])
        layers += [layer, nn.LeakyReLU()]
    return nn.Sequential(*layers[:-1])


@given(members=st.integers(1, 4), shape=st.lists(st.integers(1, 4), min_size=1, max_size=3))
@settings(deadline=None, max_examples=20)
def test_each_member_is_the_ordinary_network_with_its_weights_and_gradients(
    members: int, shape: list[int]
) -> None:
    net = network(members)
    inputs = torch.randn(members, *shape, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    outputs = net(inputs)
    assert outputs.shape == (members, *shape, 2)
    outputs.square().sum().backward()
    for member in range(members):
        reference = ordinary(net, member)
        torch.testing.assert_close(outputs[member], reference(inputs[member]))
        reference(inputs[member]).square().sum().backward()
        for layer in range(3):
            torch.testing.assert_close(net.weights[layer].grad[member], reference[2 * layer].weight.grad.T)
            torch.testing.assert_close(net.biases[layer].grad[member, 0], reference[2 * layer].bias.grad)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", [[2, 9, 3, 1], [9, 8, 12], [1, 1]])
def test_gradients_are_those_of_finite_differences(activation: Activation, sizes: list[int]) -> None:
    generator = torch.Generator().manual_seed(0)
    net = MLP(2, sizes, activation, generator, dtype=torch.float64)
    inputs = torch.randn(2, 5, sizes[0], dtype=torch.float64, generator=generator).requires_grad_()
    assert torch.autograd.gradcheck(lambda *_: net(inputs), (inputs, *net.parameters()))


@pytest.mark.parametrize("wanted", [[], ["weights.1"], ["biases.2"], ["weights.2", "biases.0"]])
def test_only_gradients_that_are_wanted_are_made(wanted: list[str]) -> None:
    net = network(3)
    reference = [ordinary(net, member) for member in range(3)]
    for name, value in net.named_parameters():
        value.requires_grad_(name in wanted)
    inputs = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(1, 4, 3).requires_grad_()
    net(inputs).square().sum().backward()
    shared = inputs.grad
    assert shared is not None
    own = inputs.detach()[0].clone().requires_grad_()
    sum(one(own).square().sum() for one in reference).backward()  # type: ignore[union-attr]
    torch.testing.assert_close(shared[0], own.grad)
    for name, value in net.named_parameters():
        if name not in wanted:
            assert value.grad is None
            continue
        for member, one in enumerate(reference):
            layer = one[2 * int(name[-1])]
            if name.startswith("weights"):
                torch.testing.assert_close(value.grad[member], layer.weight.grad.T)
            else:
                torch.testing.assert_close(value.grad[member, 0], layer.bias.grad)


def test_without_gradients_the_outputs_are_the_same() -> None:
    net = network(2)
    inputs = torch.linspace(-1, 1, 24, dtype=torch.float64).reshape(2, 4, 3)
    with torch.no_grad():
        outputs = net(inputs)
    assert torch.equal(outputs, net(inputs))


def test_second_derivatives_are_refused() -> None:
    net, inputs = network(1), torch.ones(1, 4, 3, dtype=torch.float64, requires_grad=True)
    with pytest.raises(RuntimeError, match="cannot be differentiated again"):
        torch.autograd.grad(net(inputs).sum(), inputs, create_graph=True)


def test_one_set_of_inputs_serves_all_members() -> None:
    net = network(3)
    inputs = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(1, 4, 3)
    torch.testing.assert_close(net(inputs), net(inputs.expand(3, 4, 3)))


def test_a_member_starts_the_same_whatever_its_companions() -> None:
    few, many = network(2), network(5)
    for name in ("weights", "biases"):
        for left, right in zip(getattr(few, name), getattr(many, name), strict=True):
            assert torch.equal(left, right[:2])
    assert not torch.equal(many.weights[0][0], many.weights[0][1])


@pytest.mark.parametrize(("initialisation", "bound"), [("pytorch", 0.1), ("xavier", (6 / 500) ** 0.5)])
def test_initial_weights_have_the_stated_uniform_distribution(initialisation: str, bound: float) -> None:
    net = MLP(1, [100, 400], "relu", torch.Generator().manual_seed(0), initialisation)  # type: ignore[arg-type]
    weight = net.weights[0].detach()
    assert weight.abs().max() <= bound
    assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.01)
    assert (net.biases[0].abs().max() == 0) == (initialisation == "xavier")


def test_arrays_give_the_same_network_back(tmp_path: object) -> None:
    net = network(2)
    inputs = torch.ones(2, 4, 3, dtype=torch.float64)
    arrays = {"mse": np.array(1.0), **net.to_arrays()}
    copy = MLP.from_arrays(arrays)
    assert (copy.members, copy.sizes, copy.activation) == (2, SIZES, "leaky_relu")
    assert torch.equal(copy(inputs), net(inputs))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": "swish"}, "unknown activation"),
        ({"initialisation": "he"}, "unknown initialisation"),
        ({"sizes": [3]}, "at least"),
    ],
)
def test_bad_arguments_are_named(change: dict[str, object], message: str) -> None:
    arguments = {"members": 1, "sizes": SIZES, "activation": "relu", "generator": torch.Generator()} | change
    with pytest.raises(UserError, match=message):
        MLP(**arguments)  # type: ignore[arg-type]


def test_arrays_of_something_else_are_refused() -> None:
    with pytest.raises(UserError, match="no MLP"):
        MLP.from_arrays({"z": np.zeros(3)})


def test_members_can_be_chosen_and_joined() -> None:
    net = network(3)
    inputs = torch.ones(2, 4, 3, dtype=torch.float64)
    chosen = net.select([2, 0])
    torch.testing.assert_close(chosen(inputs), net(inputs[:1])[[2, 0]])
    joined = MLP.joined([net.select([0]), net.select([1, 2])])
    assert joined.members == 3
    assert torch.equal(joined(inputs[:1]), net(inputs[:1]))
    with torch.no_grad():
        net.weights[0].zero_()
    assert chosen.weights[0].abs().max() > 0
