"""The step rule of UIVI's and VCD's code: gradients over one plus their root mean square."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

CACHED = 2**16  # elements at a time on a CPU, whose cache holds them through all operations of a step


class DampedRms(torch.optim.Optimizer):
    """theta <- theta - rho r g / (1 + sqrt G), G <- d G + (1 - d) g^2, G starting as the first g^2.

    VCD's code starts G at 0.01 instead, which matters to the first steps alone. Small gradients make steps
    of gradient descent, large ones steps of about rho (Titsias and Ruiz 2019, Ruiz and Titsias 2019, code).
    """

    def __init__(self, parameter: Tensor, multiples: Tensor, lr: float | Tensor, decay: float = 0.9) -> None:
        """Each element of the one parameter takes its multiple r of the learning rate rho; d is the decay.

        The rate `lr` is a number, or a tensor that the caller fills.
        """
        super().__init__([parameter], {"lr": lr})
        self._parameter, self._multiples, self._decay = parameter, multiples, decay

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step down the gradient."""
        gradient, state = self._parameter.grad, self.state[self._parameter]
        if gradient is None:
            return
        if "square" not in state:
            state["square"] = torch.zeros_like(gradient)
            state["made"] = torch.zeros((), device=gradient.device)
        weight = 1 - self._decay * (state["made"] > 0).to(gradient.dtype)
        state["made"].add_(1)
        size = CACHED if gradient.device.type == "cpu" else gradient.numel()
        parts = (part.split(size) for part in (self._parameter, gradient, state["square"], self._multiples))
        for parameter, slope, square, multiple in zip(*parts, strict=True):
            square.lerp_(slope.square(), weight)
            step = (multiple * slope).div_(square.sqrt().add_(1)).mul_(self.param_groups[0]["lr"])
            parameter.sub_(step)
