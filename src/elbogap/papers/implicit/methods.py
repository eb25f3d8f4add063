"""What the document's methods maximise, the networks with which q starts, and the members' random numbers."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from elbogap.inference import hmc
from elbogap.inference.objectives.base import Objective
from elbogap.inference.objectives.contrastive import VCD, Contrast, Hoffman
from elbogap.inference.objectives.elbo import ELBO, SIVI
from elbogap.inference.objectives.uivi import UIVI
from elbogap.nn.mlp import MLP
from elbogap.papers.implicit import names
from elbogap.papers.implicit.names import Method
from elbogap.papers.implicit.settings import QTraining
from elbogap.runtime import torch_generator

DECAY = 0.9  # factor by which learning rates are reduced, again and again
FLOOR = 1e-5  # least scale of a semi-implicit q given its noise


def streams(
    seed: int, *keys: Hashable, members: Iterable[int], device: str = "cpu"
) -> list[partial[torch.Generator]]:
    """For each member a function that gives its generator of these keys, and of further ones if given."""
    return [partial(torch_generator, seed, *keys, member, device=device) for member in members]


def normal(generators: Iterable[torch.Generator], *shape: int) -> Tensor:
    """Standard normal numbers of each member, `[M, *shape]`."""
    return torch.stack([torch.randn(shape, generator=own, device=own.device) for own in generators])


@dataclass(frozen=True)
class WatchedVCD(VCD):
    """VCD whose training curve is the ELBO."""

    def watched(self, found: Contrast) -> Tensor:
        """f(z_0)."""
        return found.refined + super().watched(found)


def kernel_of(settings: QTraining, burn_in: int, kept: int) -> hmc.Kernel:
    """Chains that adapt their step in the burn-in."""
    adaptation = hmc.Adaptation(settings.target_acceptance)
    return hmc.Kernel(burn_in + kept, settings.leapfrog_steps, burn_in, adaptation)


def objective_of(
    method: Method,
    num_mixing: int,
    kernel: hmc.Kernel,
    step_size: float,
    shared: bool = True,
) -> Objective[Any]:
    """What a method maximises; `explicit` is SIVI without noise, the ELBO.

    The kernel is that of UIVI's chains, or of those that refine z_0, the step size their first one; SIVI has
    `num_mixing` further noises, `shared` by all draws of a step or not.
    """
    if method is names.UIVI:
        return UIVI(kernel, step_size)
    if method is names.HOFFMAN:
        return Hoffman(kernel, step_size)
    if method is names.VCD:
        return WatchedVCD(kernel, step_size)
    return ELBO() if method is names.ELBO else SIVI(num_mixing if method.mixing else 0, shared)


def initial_networks(
    method: Method, settings: QTraining, scale: Tensor, generators: Sequence[torch.Generator]
) -> dict[str, MLP]:
    """`mean` of q, of noise or constant, and `scale` of q given the noise, whose parameters are `[D]`."""
    if method.mixing:
        sizes = [settings.noise, *settings.hidden, len(scale)]
        mean = MLP.independent(sizes, "relu", generators, "wide")
    else:  # as the last biases of the other methods' networks
        mean = MLP.constant(normal(generators, len(scale)))
    return {"mean": mean, "scale": MLP.constant(scale.expand(len(generators), -1))}


def floored_log(scale: Tensor) -> Tensor:
    """log sigma; below the floor, where the value is the floor's, the gradient still leads back."""
    fixed = scale.detach()
    return (fixed.clamp(min=FLOOR) + (scale - fixed)).log()
