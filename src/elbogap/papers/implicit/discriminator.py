"""Networks that are trained against each other by ascent, one of which tells draws of q from draws of p."""

from collections.abc import Sequence

import torch
from torch import Tensor

from elbogap.inference.adversarial import discriminator_objective
from elbogap.nn.mlp import MLP
from elbogap.training import Part


class Player:
    """M networks and their optimiser, Adam.

    Attributes:
        network: of all members.
    """

    def __init__(
        self, sizes: Sequence[int], generators: Sequence[torch.Generator], learning_rate: float, device: str
    ) -> None:
        """Draw the initial weights, a member for each generator."""
        self.network = MLP.independent(sizes, "relu", generators).to(device)
        self._optimiser = torch.optim.Adam(self.network.parameters(), lr=learning_rate, fused=True)

    def __call__(self, inputs: Tensor) -> Tensor:
        """The networks' outputs."""
        return self.network.layers()(inputs)

    def ascend(self, value: Tensor) -> None:
        """One step along the gradient of each member's value, `[M]`."""
        self._optimiser.zero_grad()
        (-value.sum()).backward()
        self._optimiser.step()

    def parts(self, name: str) -> dict[str, Part]:
        """Everything that training changes."""
        return {name: self.network, f"{name}_optimiser": self._optimiser}


class Discriminator(Player):
    """M classifiers D = sigmoid(T) of draws of q from draws of p, at best T = log q - log p."""

    def logits(self, z: Tensor) -> Tensor:
        """T(z), `[M, ..., D]` to `[M, ...]`."""
        return self(z).squeeze(-1)

    def improve(self, q: Tensor, p: Tensor) -> Tensor:
        """One step on points of both classes, `[M, B, D]`; the objective before it, `[M]`, in nats."""
        value = discriminator_objective(*self.logits(torch.cat([q, p], 1)).split(q.shape[1], -1))
        self.ascend(value)
        return value.detach()
