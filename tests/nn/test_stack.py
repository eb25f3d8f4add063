import torch

from elbogap.nn.mlp import MLP
from elbogap.nn.stack import Stack


def networks() -> dict[str, MLP]:
    generator = torch.Generator().manual_seed(0)
    return {
        "decoder": MLP(3, [1, 4, 4, 2], "tanh", generator, dtype=torch.float64),
        "encoder": MLP(3, [2, 5, 1], "leaky_relu", generator, dtype=torch.float64),
    }


def test_a_stack_computes_what_its_networks_do_with_the_same_gradients() -> None:
    own, stack = networks(), Stack(networks())
    x = torch.randn(3, 7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    functions = stack.functions()
    outputs = functions["decoder"](functions["encoder"](x))
    expected = own["decoder"](own["encoder"](x))
    torch.testing.assert_close(outputs, expected)
    outputs.square().sum().backward()
    expected.square().sum().backward()
    gradients = [
        parameter.grad.flatten(1)
        for network in own.values()
        for parameter in (*network.weights, *network.biases)
    ]
    torch.testing.assert_close(stack.flat.grad, torch.cat(gradients, 1))


def test_the_networks_come_back_as_copies() -> None:
    stack = Stack(networks())
    with torch.no_grad():
        stack.flat += 1
    back = stack.networks()
    assert list(back) == ["decoder", "encoder"]
    for name, network in networks().items():
        assert back[name].activation == network.activation
        assert torch.equal(back[name].weights[1], network.weights[1] + 1)
        assert torch.equal(back[name].biases[0], network.biases[0] + 1)
    with torch.no_grad():
        stack.flat.zero_()
    assert back["decoder"].weights[0].abs().max() > 0
