"""Multi-layer perceptrons with a leading member axis: M networks of one shape run as one batched program.

Restarts, data draws and hyper-parameter grids are members; a single network is the case M = 1, not another
code path. Layers are batched matrix products, so members never mix and a member's result does not depend on
its companions.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from elbogap.errors import UserError

Activation = Literal["identity", "leaky_relu", "relu", "softplus", "tanh"]
Initialisation = Literal["pytorch", "xavier"]

Network = Callable[[Tensor], Tensor]
"""M networks as a function of their inputs, `[M, ..., in]` to `[M, ..., out]`."""

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "leaky_relu": functional.leaky_relu_,
    "relu": torch.relu_,
    "softplus": functional.softplus,
    "tanh": torch.tanh_,
}


def mlp(
    weights: Sequence[Tensor], biases: Sequence[Tensor], inputs: Tensor, activation: Activation
) -> Tensor:
    """h_{l+1} = activation(h_l W_l + b_l), the last layer without activation.

    Args:
        weights: per layer `[M, in, out]`.
        biases: per layer `[M, 1, out]`.
        inputs: `[M, ..., in]`, or `[1, ..., in]` to give every member the same inputs.
        activation: name of the hidden activation.

    Returns:
        `[M, ..., out]`.
    """
    members, batch = weights[0].shape[0], inputs.shape[1:-1]
    hidden = inputs.flatten(1, -2).expand(members, -1, -1)
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        if layer > 0:
            hidden = ACTIVATIONS[activation](hidden)
        hidden = torch.baddbmm(bias, hidden, weight)
    return hidden.unflatten(1, batch)


class MLP(nn.Module):
    """M multi-layer perceptrons of one shape, each with its own weights (:func:`mlp` is the formula)."""

    def __init__(
        self,
        members: int,
        sizes: Sequence[int],
        activation: Activation,
        generator: torch.Generator,
        initialisation: Initialisation = "pytorch",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Draw the initial weights.

        Args:
            members: number M of networks.
            sizes: widths of all layers, e.g. `[1, 50, 50, 50, 2]` for three hidden layers of 50 units.
            activation: name of the hidden activation (`ACTIVATIONS`).
            generator: source of the initial weights; member m gets the same ones whatever M is.
            initialisation: `pytorch` draws weights and biases from U(-a, a), a = 1 / sqrt(in), as
                `torch.nn.Linear` does; `xavier` draws weights from U(-a, a), a = sqrt(6 / (in + out))
                (Glorot and Bengio 2010), with biases 0.
            dtype: floating-point type of the weights.

        Raises:
            UserError: an unknown activation or initialisation, or fewer than two sizes.
        """
        super().__init__()
        if activation not in ACTIVATIONS:
            raise UserError(f"unknown activation '{activation}'; choose one of {', '.join(ACTIVATIONS)}")
        if initialisation not in ("pytorch", "xavier"):
            raise UserError(f"unknown initialisation '{initialisation}'; choose pytorch or xavier")
        if len(sizes) < 2:
            raise UserError(f"an MLP needs at least an input and an output size, got {list(sizes)}")
        self.activation: Activation = activation
        drawn = [_draw(sizes, generator, initialisation, dtype) for _ in range(members)]
        layers = range(len(sizes) - 1)
        self.weights = nn.ParameterList(
            torch.stack([member[layer][0] for member in drawn]) for layer in layers
        )
        self.biases = nn.ParameterList(
            torch.stack([member[layer][1] for member in drawn]) for layer in layers
        )

    @property
    def members(self) -> int:
        """The number M of networks."""
        return self.weights[0].shape[0]

    @property
    def sizes(self) -> list[int]:
        """Widths of all layers."""
        return [self.weights[0].shape[1], *(weight.shape[2] for weight in self.weights)]

    def forward(self, inputs: Tensor) -> Tensor:
        """`[M, ..., in]` or `[1, ..., in]` to `[M, ..., out]`."""
        return mlp(list(self.weights), list(self.biases), inputs, self.activation)

    @classmethod
    def joined(cls, networks: Sequence["MLP"]) -> Self:
        """The members of several ensembles of one shape and activation, one after the other."""
        weights = [torch.cat(layer) for layer in zip(*(network.weights for network in networks), strict=True)]
        biases = [torch.cat(layer) for layer in zip(*(network.biases for network in networks), strict=True)]
        return cls.from_tensors(weights, biases, networks[0].activation)

    def select(self, members: Sequence[int]) -> "MLP":
        """Some of the members, as an ensemble of their own with the same dtype that shares no storage."""
        chosen = {
            name: value[list(members)] if value.ndim else value for name, value in self.to_arrays().items()
        }
        return MLP.from_arrays(chosen)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Everything that :meth:`from_arrays` needs: `weight0`, `bias0`, ... and `activation`."""
        arrays: dict[str, np.ndarray] = {"activation": np.array(self.activation)}
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            arrays[f"weight{layer}"] = weight.detach().cpu().numpy()
            arrays[f"bias{layer}"] = bias.detach().cpu().numpy()
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The networks that :meth:`to_arrays` described; other arrays in the mapping are ignored.

        Raises:
            UserError: the arrays describe no MLP.
        """
        layers = sum(name.removeprefix("weight").isdigit() for name in arrays)
        try:
            weights = [torch.as_tensor(arrays[f"weight{layer}"]) for layer in range(layers)]
            biases = [torch.as_tensor(arrays[f"bias{layer}"]) for layer in range(layers)]
            activation = str(arrays["activation"])
            return cls.from_tensors(weights, biases, activation)  # type: ignore[arg-type]
        except (KeyError, IndexError) as error:
            raise UserError(
                f"these arrays are no MLP ({sorted(arrays)}); rebuild the file they come from"
            ) from error

    @classmethod
    def from_tensors(
        cls, weights: Sequence[Tensor], biases: Sequence[Tensor], activation: Activation
    ) -> Self:
        """Networks with copies of these weights `[M, in, out]` and biases `[M, 1, out]` per layer."""
        sizes = [weights[0].shape[1], *(weight.shape[2] for weight in weights)]
        network = cls(len(weights[0]), sizes, activation, torch.Generator(), dtype=weights[0].dtype)
        with torch.no_grad():
            for parameter, value in zip(
                [*network.weights, *network.biases], [*weights, *biases], strict=True
            ):
                parameter.copy_(value)
        return network


def _draw(
    sizes: Sequence[int], generator: torch.Generator, initialisation: Initialisation, dtype: torch.dtype
) -> list[tuple[Tensor, Tensor]]:
    """One member's weights `[in, out]` and biases `[1, out]`, layer by layer."""
    layers = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        xavier = initialisation == "xavier"
        bound = (6 / (fan_in + fan_out)) ** 0.5 if xavier else fan_in**-0.5
        weight = torch.empty(fan_in, fan_out, dtype=dtype).uniform_(-bound, bound, generator=generator)
        bias = torch.zeros(1, fan_out, dtype=dtype)
        layers.append((weight, bias if xavier else bias.uniform_(-bound, bound, generator=generator)))
    return layers
