"""Multi-layer perceptrons with a leading member axis: M networks of one shape run as one batched program.

Restarts, data draws and hyper-parameter grids are members; a single network is the case M = 1, not another
code path. Layers are batched matrix products, so members never mix and a member's result does not depend on
its companions.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from elbogap.densities import transformed
from elbogap.errors import UserError

Activation = Literal["identity", "leaky_relu", "relu", "softplus", "tanh"]
Initialisation = Literal["pytorch", "xavier", "wide"]

Network = Callable[[Tensor], Tensor]
"""M networks as a function of their inputs, `[M, ..., in]` to `[M, ..., out]`."""


def _tanh(x: Tensor) -> Tensor:
    """tanh x = 2 sigmoid(2 x) - 1, of which torch's vectorised sigmoid takes a quarter of the time."""
    if torch.is_grad_enabled():
        return torch.tanh(x)
    return x.mul_(2).sigmoid_().mul_(2).sub_(1)


ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "leaky_relu": functional.leaky_relu_,
    "relu": torch.relu_,
    "softplus": functional.softplus,
    "tanh": _tanh,
}

_BACKWARD: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "identity": lambda gradient, _: gradient,
    "leaky_relu": lambda g, h: torch.ops.aten.leaky_relu_backward.grad_input(g, h, 0.01, True, grad_input=g),
    "relu": lambda g, h: torch.ops.aten.threshold_backward.grad_input(g, h, 0, grad_input=g),
    "softplus": lambda g, h: g.mul_(torch.expm1(-h).neg_()),
    "tanh": lambda g, h: torch.ops.aten.tanh_backward.grad_input(g, h, grad_input=g),
}
"""The gradient through an activation, from its output; overwrites the gradient."""

_NARROW = 16
"""Batched products with fewer columns than this run at a fraction of the speed of those with so few rows."""


def _layers(
    weights: Sequence[Tensor], biases: Sequence[Tensor], inputs: Tensor, activation: Activation
) -> Iterator[Tensor]:
    """Each layer's output from inputs `[M, B, in]`, hidden ones with their activation, `[M, B, out]`."""
    hidden, last = inputs, len(weights) - 1
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        if weight.shape[2] < _NARROW:
            hidden = torch.baddbmm(bias.mT, weight.mT.contiguous(), hidden.mT).mT
        else:
            hidden = torch.baddbmm(bias, hidden, weight)
        if layer < last:
            hidden = ACTIVATIONS[activation](hidden)
        yield hidden


class _Layers(torch.autograd.Function):
    """The last of :func:`_layers`, with all layers' gradients as one node: small steps are spent on nodes."""

    @staticmethod
    def forward(ctx: Any, activation: Activation, inputs: Tensor, *parameters: Tensor) -> Tensor:
        weights, biases = parameters[::2], parameters[1::2]
        *hidden, output = _layers(weights, biases, inputs, activation)
        ctx.save_for_backward(inputs, *hidden, *weights)
        ctx.activation = activation
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # create_graph: torch would take the saved hidden layers as constants
            raise RuntimeError(
                "the gradient of an MLP cannot be differentiated again by autograd; take second derivatives "
                "by torch.func, such as torch.func.hessian"
            )
        saved, layers = ctx.saved_tensors, len(ctx.saved_tensors) // 2
        inputs, weights = saved[:layers], saved[layers:]
        _, to_rows, *needed = ctx.needs_input_grad
        to_parameters: list[Tensor | None] = []
        for layer in reversed(range(layers)):
            to_weight: Tensor | None = None
            if needed[2 * layer]:
                narrow = weights[layer].shape[2] < _NARROW
                left, right = (gradient, inputs[layer]) if narrow else (inputs[layer], gradient)
                product = torch.bmm(left.mT, right)
                to_weight = product.mT if narrow else product
            to_bias = gradient.sum(1, keepdim=True) if needed[2 * layer + 1] else None
            to_parameters[:0] = to_weight, to_bias
            if layer > 0:
                gradient = torch.bmm(gradient, weights[layer].mT)
                gradient = _BACKWARD[ctx.activation](gradient, inputs[layer])
        to_inputs = torch.bmm(gradient, weights[0].mT) if to_rows else None
        return None, to_inputs, *to_parameters


@dataclass(frozen=True)
class Layers:
    """What M multi-layer perceptrons of weights `[M, in, out]` and biases `[M, 1, out]` compute."""

    weights: Sequence[Tensor]
    biases: Sequence[Tensor]
    activation: Activation

    def __call__(self, inputs: Tensor) -> Tensor:
        """`[M, ..., in]` or `[1, ..., in]` to `[M, ..., out]`; for M = 1 also `[..., in]` to `[..., out]`.

        Inputs of another shape are a UserError.
        """
        members, width, _ = self.weights[0].shape
        if inputs.ndim < 3 or inputs.shape[0] not in (1, members) or inputs.shape[-1] != width:
            return self._reshaped(inputs)
        batch = inputs.shape[1:-1]
        rows = inputs.flatten(1, -2).expand(members, -1, -1)
        if torch.is_grad_enabled() and not transformed():
            parameters = itertools.chain(*zip(self.weights, self.biases, strict=True))
            output = _Layers.apply(self.activation, rows, *parameters)
        else:  # keep no layer longer than the next one needs it
            (output,) = deque(_layers(self.weights, self.biases, rows, self.activation), maxlen=1)
        return output.unflatten(1, batch)

    def _reshaped(self, inputs: Tensor) -> Tensor:
        """The outputs of inputs that lack the axis of members or that of rows."""
        members, width, _ = self.weights[0].shape
        if inputs.ndim and inputs.shape[-1] == width:
            if members == 1 and (inputs.ndim == 1 or inputs.shape[0] != 1):
                return self(inputs.unsqueeze(0)).squeeze(0)
            if inputs.ndim == 2 and inputs.shape[0] in (1, members):
                return self(inputs.unsqueeze(1)).squeeze(1)
        wanted = f"[..., {width}]" if members == 1 else f"[{members}, ..., {width}] or [1, ..., {width}]"
        raise UserError(f"a network of {members} members takes inputs {wanted}, not {list(inputs.shape)}")

    def detach(self) -> "Layers":
        """The same with constant weights: gradients with respect to the inputs alone cost half as much."""
        weights, biases = ([tensor.detach() for tensor in own] for own in (self.weights, self.biases))
        return Layers(weights, biases, self.activation)

    def given(self, first: Tensor) -> "Given":
        """The function of the last inputs where the first X are fixed, `[M, B, X]`."""
        return Given(self, first)


class Given:
    """Networks with their first X inputs fixed, whose products with the first layer are made once."""

    def __init__(self, layers: Layers, first: Tensor) -> None:
        """Make the products, differentiable if gradients are enabled here."""
        self.layers, self.first = layers, first
        split = first.shape[-1]
        self._fixed = torch.baddbmm(layers.biases[0], first, layers.weights[0][:, :split])
        self._weight = layers.weights[0][:, split:]
        self._later = Layers(layers.weights[1:], layers.biases[1:], layers.activation)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Of the other inputs, `[M, ..., B, in - X]` to `[M, ..., B, out]`."""
        product = torch.bmm(inputs.flatten(1, -2), self._weight).unflatten(1, inputs.shape[1:-1])
        between = [1] * (product.ndim - self._fixed.ndim)
        hidden = product + self._fixed.view(len(self._fixed), *between, *self._fixed.shape[1:])
        return self._later(ACTIVATIONS[self.layers.activation](hidden)) if self._later.weights else hidden

    def detach(self) -> "Given":
        """The same with constant weights and inputs."""
        return Given(self.layers.detach(), self.first.detach())


class MLP(nn.Module):
    """M multi-layer perceptrons of one shape, each with its own weights.

    h_{l+1} = activation(h_l W_l + b_l), W `[M, in, out]`, b `[M, 1, out]`, the last layer without activation.
    Autograd has first derivatives only, the transformations of `torch.func` have all.
    """

    def __init__(
        self,
        members: int,
        sizes: Sequence[int],
        activation: Activation,
        generator: torch.Generator,
        initialisation: Initialisation = "pytorch",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Draw the initial weights of M networks; member m gets the same ones whatever M is.

        Sizes are the widths of all layers, e.g. `[1, 50, 50, 50, 2]` for three hidden layers of 50 units.
        `pytorch` draws weights and biases from U(-a, a), a = 1 / sqrt(in), as `torch.nn.Linear` does;
        `xavier` draws weights from U(-a, a), a = sqrt(6 / (in + out)) (Glorot and Bengio 2010), with biases
        0; `wide` draws weights and biases from N(0, 1 / out), and from N(0, 1) in the last layer (Titsias and
        Ruiz 2019, code). UserError for an unknown name, or fewer than two sizes.
        """
        super().__init__()
        if activation not in ACTIVATIONS:
            raise UserError(f"unknown activation '{activation}'; choose one of {', '.join(ACTIVATIONS)}")
        if initialisation not in get_args(Initialisation):
            raise UserError(f"unknown initialisation '{initialisation}'; choose pytorch, xavier or wide")
        if len(sizes) < 2:
            raise UserError(f"an MLP needs at least an input and an output size, got {list(sizes)}")
        self.activation: Activation = activation
        drawn = [_draw(sizes, generator, initialisation, dtype) for _ in range(members)]
        self.weights, self.biases = (
            nn.ParameterList(torch.stack(layer) for layer in zip(*of_members, strict=True))
            for of_members in zip(*drawn, strict=True)
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
        """The outputs, as :class:`Layers` give them."""
        return self.layers()(inputs)

    def layers(self) -> Layers:
        """The networks as a function of their weights, which stay differentiable."""
        return Layers(self.layer_weights(), list(self.biases), self.activation)

    def layer_weights(self) -> list[Tensor]:
        """What the layers multiply with, `[M, in, out]` each; parametrised networks compute it."""
        return list(self.weights)

    @classmethod
    def independent(
        cls,
        sizes: Sequence[int],
        activation: Activation,
        generators: Sequence[torch.Generator],
        initialisation: Initialisation = "pytorch",
    ) -> Self:
        """One member per generator, which draws its initial weights."""
        return cls.joined([MLP(1, sizes, activation, own, initialisation) for own in generators])

    @classmethod
    def constant(cls, values: Tensor) -> Self:
        """M functions of nothing, `[M, ..., 0]` to `[M, ..., D]`; the values `[M, D]` are parameters."""
        weight = values.new_zeros(len(values), 0, values.shape[1])
        return cls.from_tensors([weight], [values[:, None]], "identity")

    @classmethod
    def joined(cls, networks: Sequence["MLP"]) -> Self:
        """The members of several ensembles of one shape and activation, one after the other."""
        weights, biases = (
            [torch.cat(layer) for layer in zip(*of_networks, strict=True)]
            for of_networks in ([one.layer_weights() for one in networks], [one.biases for one in networks])
        )
        return cls.from_tensors(weights, biases, networks[0].activation)

    def select(self, members: Sequence[int]) -> "MLP":
        """Some of the members, as an ensemble of their own with the same dtype that shares no storage."""
        arrays = self.to_arrays().items()
        return MLP.from_arrays({name: own[list(members)] if own.ndim else own for name, own in arrays})

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Everything that :meth:`from_arrays` needs: `weight0`, `bias0`, ... and `activation`."""
        arrays: dict[str, np.ndarray] = {"activation": np.array(self.activation)}
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            arrays[f"weight{layer}"] = weight.detach().cpu().numpy()
            arrays[f"bias{layer}"] = bias.detach().cpu().numpy()
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The networks that :meth:`to_arrays` described, or UserError; other arrays are ignored."""
        layers = sum(name.removeprefix("weight").isdigit() for name in arrays)
        try:
            weights = [torch.as_tensor(arrays[f"weight{layer}"]) for layer in range(layers)]
            biases = [torch.as_tensor(arrays[f"bias{layer}"]) for layer in range(layers)]
            activation = str(arrays["activation"])
            return cls.from_tensors(weights, biases, activation)  # type: ignore[arg-type]
        except (KeyError, IndexError) as error:
            raise UserError(f"these arrays are no MLP ({sorted(arrays)}); rebuild their file") from error

    @classmethod
    def from_tensors(
        cls, weights: Sequence[Tensor], biases: Sequence[Tensor], activation: Activation
    ) -> Self:
        """Networks with copies of these weights `[M, in, out]` and biases `[M, 1, out]` per layer."""
        sizes = [weights[0].shape[1], *(weight.shape[2] for weight in weights)]
        network = cls(len(weights[0]), sizes, activation, torch.Generator(), dtype=weights[0].dtype)
        with torch.no_grad():
            for parameter, value in zip(network.parameters(), [*weights, *biases], strict=True):
                parameter.copy_(value)
        return network


def _draw(
    sizes: Sequence[int], generator: torch.Generator, initialisation: Initialisation, dtype: torch.dtype
) -> tuple[list[Tensor], list[Tensor]]:
    """One member's weights `[in, out]` and biases `[1, out]`, drawn layer by layer."""
    weights, biases, last = [], [], len(sizes) - 2
    for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        weight, bias = torch.zeros(fan_in, fan_out, dtype=dtype), torch.zeros(1, fan_out, dtype=dtype)
        if initialisation == "wide":
            scale = 1.0 if layer == last else fan_out**-0.5
            weight.normal_(0, scale, generator=generator)
            bias.normal_(0, scale, generator=generator)
        else:
            xavier = initialisation == "xavier"
            bound = (6 / (fan_in + fan_out)) ** 0.5 if xavier else max(1, fan_in) ** -0.5
            weight.uniform_(-bound, bound, generator=generator)
            if not xavier:
                bias.uniform_(-bound, bound, generator=generator)
        weights.append(weight)
        biases.append(bias)
    return weights, biases
