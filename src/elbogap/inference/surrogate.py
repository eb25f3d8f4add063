"""Gradients apart from values."""

import torch
from torch import Tensor


def zero_with_gradient(value: Tensor) -> Tensor:
    """0 with the derivative of the value, to be added to another one; without derivative where not finite."""
    return torch.where(value.isfinite(), value - value.detach(), 0)
