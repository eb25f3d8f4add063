"""Weight normalisation with bounded norms: networks that cannot change fast (Shu et al. 2018, eq. 17 and 18).

The document's eq. 18 is lost from its text; any form with |w_i| <= H meets it, and this is one of them.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from elbogap.errors import UserError
from elbogap.nn.mlp import MLP


class NormBoundedMLP(MLP):
    """M multi-layer perceptrons whose weight columns are no longer than H.

    w_i = s_i v_i / |v_i|, s_i = min(|v_i|, H / (1 + exp(-u_i))), for column i of a layer, the weights that
    lead into its unit i. v (`weights`) and u (`scales`, `[M, 1, out]`) are trained; u starts at 0, where the
    bound is H / 2. H (`bound`) is `[M, 1, 1]`.
    """

    scales: nn.ParameterList
    bound: Tensor

    @classmethod
    def around(cls, network: MLP, bounds: Sequence[float]) -> Self:
        """The initial network with these weights as v; UserError if a member has no positive bound H."""
        if len(bounds) != network.members or min(bounds) <= 0:
            raise UserError(f"{network.members} members need as many positive bounds, got {list(bounds)}")
        bounded = cls.from_tensors(list(network.weights), list(network.biases), network.activation)
        bounded.scales = nn.ParameterList(torch.zeros_like(bias) for bias in network.biases)
        bounded.register_buffer("bound", network.weights[0].new_tensor(bounds).view(-1, 1, 1))
        return bounded

    def layer_weights(self) -> list[Tensor]:
        """The weights w, `[M, in, out]` each, differentiable in v and u."""
        layers = zip(self.weights, self.scales, strict=True)
        return [weight * self._shrinking(weight, scale) for weight, scale in layers]

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The arrays of the plain network, which :meth:`select` and :meth:`MLP.from_arrays` give."""
        with torch.no_grad():
            plain = MLP.from_tensors(self.layer_weights(), list(self.biases), self.activation)
        return plain.to_arrays()

    def _shrinking(self, weight: Tensor, scale: Tensor) -> Tensor:
        """s_i / |v_i| = min(1, H sigmoid(u_i) / |v_i|), `[M, 1, out]`."""
        floor = torch.finfo(weight.dtype).tiny ** (1 / 3)  # derivatives divide by the norm's square
        norm = weight.norm(dim=1, keepdim=True).clamp(min=floor)
        return (self.bound * torch.sigmoid(scale) / norm).clamp(max=1)
