"""All parameters of several ensembles in one tensor, so that an optimiser's step is a handful of operations.

An optimiser that walks over sixteen small tensors spends its time on starting operations; over one flat
tensor `[M, P]` it does the same arithmetic at a sixteenth of that cost.
"""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from elbogap.nn.mlp import MLP, Activation, Network, mlp


class Stack(nn.Module):
    """Named MLPs of M members each, as one parameter `flat` `[M, P]`."""

    def __init__(self, networks: Mapping[str, MLP]) -> None:
        """Copy the networks' parameters; they must have the same number of members and dtype."""
        super().__init__()
        self._activations: dict[str, Activation] = {
            name: network.activation for name, network in networks.items()
        }
        self._shapes = {
            name: [parameter.shape[1:] for parameter in (*network.weights, *network.biases)]
            for name, network in networks.items()
        }
        self._sizes = [shape.numel() for shapes in self._shapes.values() for shape in shapes]
        parameters = [
            parameter.detach().flatten(1)
            for network in networks.values()
            for parameter in (*network.weights, *network.biases)
        ]
        self.flat = nn.Parameter(torch.cat(parameters, 1))

    def functions(self) -> dict[str, Network]:
        """Each network as a function of its inputs `[M, ..., in]`, differentiable in `flat`.

        Valid until `flat` changes. One split serves all, since its gradient is a single concatenation.
        """
        return {
            name: partial(_call, weights, biases, self._activations[name])
            for name, (weights, biases) in self._parts().items()
        }

    def networks(self) -> dict[str, MLP]:
        """Copies of the networks with their present parameters, on the CPU."""
        with torch.no_grad():
            return {
                name: MLP.from_tensors(
                    [weight.cpu() for weight in weights],
                    [bias.cpu() for bias in biases],
                    self._activations[name],
                )
                for name, (weights, biases) in self._parts().items()
            }

    def _parts(self) -> dict[str, tuple[list[Tensor], list[Tensor]]]:
        pieces = iter(self.flat.split(self._sizes, dim=1))
        parts = {}
        for name, shapes in self._shapes.items():
            tensors = [next(pieces).unflatten(1, shape) for shape in shapes]
            layers = len(tensors) // 2
            parts[name] = tensors[:layers], tensors[layers:]
        return parts


def _call(weights: list[Tensor], biases: list[Tensor], activation: Activation, inputs: Tensor) -> Tensor:
    return mlp(weights, biases, inputs, activation)
