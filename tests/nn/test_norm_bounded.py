import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from elbogap.errors import UserError
from elbogap.nn.mlp import MLP
from elbogap.nn.norm_bounded import NormBoundedMLP

SIZES = [3, 9, 5, 2]
BOUNDS = [0.3, 1.0, 2.5]


def ordinary(members: int = 3) -> MLP:
    return MLP(members, SIZES, "tanh", torch.Generator().manual_seed(0), dtype=torch.float64)


def bounded(bounds: list[float] = BOUNDS, spread: float = 1.5) -> NormBoundedMLP:
    """Networks away from their start, where some columns meet their bound and some do not."""
    network = NormBoundedMLP.around(ordinary(len(bounds)), bounds)
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for one in network.parameters():
            one.add_(torch.randn(one.shape, generator=random, dtype=one.dtype), alpha=spread)
    return network


def inputs(members: int = 3) -> Tensor:
    return torch.randn(members, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def formula(network: NormBoundedMLP, member: int, rows: Tensor) -> tuple[Tensor, list[Tensor]]:
    """One member's outputs, column by column as in eq. 17, and its leaves v, u and bias of each layer."""
    bound = network.bound[member].item()
    leaves: list[Tensor] = []
    hidden = rows
    for layer, (weight, scale, bias) in enumerate(
        zip(network.weights, network.scales, network.biases, strict=True)
    ):
        v, u, b = (one[member].detach().clone().requires_grad_() for one in (weight, scale, bias))
        leaves += [v, u, b]
        columns = []
        for i in range(v.shape[1]):
            length = v[:, i].square().sum().sqrt()
            s = torch.minimum(length, bound / (1 + torch.exp(-u[0, i])))
            columns.append(s * v[:, i] / length)
        hidden = hidden @ torch.stack(columns, 1) + b[0]
        if layer < len(network.weights) - 1:
            hidden = torch.tanh(hidden)
    return hidden, leaves


def norms(network: MLP) -> Tensor:
    """Lengths of the weight columns of all layers, `[M, units]`."""
    return torch.cat([weight.detach().norm(dim=1) for weight in network.layer_weights()], 1)


def test_outputs_and_gradients_are_those_of_the_formula() -> None:
    network = bounded()
    outputs = network(inputs())
    outputs.square().sum().backward()
    at_bound = norms(network) < torch.cat([one.detach().norm(dim=1) for one in network.weights], 1)
    assert at_bound.any()
    assert not at_bound.all()
    for member in range(3):
        expected, leaves = formula(network, member, inputs()[member])
        torch.testing.assert_close(outputs[member], expected)
        expected.square().sum().backward()
        ours = [
            one[layer].grad[member]
            for layer in range(3)
            for one in (network.weights, network.scales, network.biases)
        ]
        for left, right in zip(ours, leaves, strict=True):
            torch.testing.assert_close(left, right.grad)
    assert all(scale.grad.abs().max() > 0 for scale in network.scales)


@given(
    bounds=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=3),
    spread=st.floats(0, 20),
)
@settings(max_examples=40)
def test_no_column_is_longer_than_its_member_s_bound(bounds: list[float], spread: float) -> None:
    network = bounded(bounds, spread)
    limit = torch.tensor(bounds, dtype=torch.float64)[:, None] * (1 + 1e-12)
    assert (norms(network) <= limit).all()


def test_columns_stay_within_bounds_while_adam_pulls_them_outwards() -> None:
    network = NormBoundedMLP.around(ordinary(), BOUNDS)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.3)
    for _ in range(40):
        optimiser.zero_grad()
        (-network(inputs()).square().sum()).backward()
        optimiser.step()
        assert (norms(network) <= torch.tensor(BOUNDS, dtype=torch.float64)[:, None] * (1 + 1e-12)).all()
    assert (network.weights[-1].norm(dim=1).min(1).values > torch.tensor(BOUNDS)).all()
    assert (norms(network).max(1).values > 0.9 * torch.tensor(BOUNDS)).all()


def test_at_first_columns_are_cut_at_half_the_bound_and_shorter_ones_left_alone() -> None:
    start = ordinary()
    network = NormBoundedMLP.around(start, BOUNDS)
    half = torch.tensor(BOUNDS, dtype=torch.float64)[:, None] / 2
    torch.testing.assert_close(norms(network), torch.minimum(norms(start), half))
    for ours, theirs in zip(network.layer_weights(), start.weights, strict=True):
        torch.testing.assert_close(
            torch.nn.functional.normalize(ours, dim=1), torch.nn.functional.normalize(theirs, dim=1)
        )


def test_a_very_large_bound_changes_nothing() -> None:
    start = ordinary()
    network = NormBoundedMLP.around(start, [1e6] * 3)
    assert torch.equal(network(inputs()), start(inputs()))
    network(inputs()).sum().backward()
    start(inputs()).sum().backward()
    for ours, theirs in zip(network.weights, start.weights, strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)
    assert all(scale.grad.abs().max() == 0 for scale in network.scales)


def test_members_do_not_feel_each_other_s_bound() -> None:
    start = ordinary()
    together = NormBoundedMLP.around(start, BOUNDS)(inputs())
    for member, bound in enumerate(BOUNDS):
        alone = NormBoundedMLP.around(start.select([member]), [bound])(inputs()[[member]])
        torch.testing.assert_close(alone[0], together[member])
    other = NormBoundedMLP.around(start, [BOUNDS[0], 0.1, BOUNDS[2]])(inputs())
    assert torch.equal(other[[0, 2]], together[[0, 2]])
    assert (other[1] - together[1]).abs().max() > 1e-3


def test_the_plain_network_is_the_same_function_of_its_own() -> None:
    network = bounded()
    plain = MLP.from_arrays(network.to_arrays())
    assert type(plain) is MLP
    torch.testing.assert_close(plain(inputs()), network(inputs()))
    before = plain(inputs())
    with torch.no_grad():
        network.biases[-1].add_(1)
        network.weights[0].mul_(-1)
    assert torch.equal(plain(inputs()), before)


def test_a_deep_copy_has_its_own_scales_and_bound() -> None:
    network = bounded()
    twin = copy.deepcopy(network)
    assert isinstance(twin, NormBoundedMLP)
    expected = twin(inputs())
    assert torch.equal(expected, network(inputs()))
    assert len(list(twin.parameters())) == 9
    with torch.no_grad():
        for one in network.scales:
            one.sub_(3)
        network.bound.mul_(2)
    assert torch.equal(twin(inputs()), expected)
    assert not torch.equal(network(inputs()), expected)


def test_a_state_carries_scales_and_bound() -> None:
    network = bounded()
    other = NormBoundedMLP.around(ordinary(), [1.0, 1.0, 1.0])
    other.load_state_dict(network.state_dict())
    assert torch.equal(other(inputs()), network(inputs()))


def test_the_networks_given_are_not_changed() -> None:
    start = ordinary()
    network = NormBoundedMLP.around(start, BOUNDS)
    with torch.no_grad():
        network.weights[0].zero_()
    assert start.weights[0].abs().max() > 0


@pytest.mark.parametrize("bounds", [[1.0, 2.0], [1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 2.0], [1.0, -1.0, 2.0]])
def test_each_member_needs_a_positive_bound(bounds: list[float]) -> None:
    with pytest.raises(UserError, match="3 members need as many positive bounds"):
        NormBoundedMLP.around(ordinary(), bounds)


def test_what_is_selected_or_stored_is_the_plain_function() -> None:
    network = bounded()
    inputs = torch.randn(network.members, 5, network.sizes[0], dtype=network.weights[0].dtype)
    torch.testing.assert_close(network.select([1])(inputs[1:2]), network(inputs)[1:2].detach())


def test_a_column_of_zeros_has_finite_gradients() -> None:
    network = bounded()
    with torch.no_grad():
        network.weights[0][:, :, 0] = 0
    network(torch.ones(network.members, 3, network.sizes[0], dtype=network.weights[0].dtype)).sum().backward()
    assert all(one.grad.isfinite().all() for one in network.parameters())
