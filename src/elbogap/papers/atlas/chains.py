"""Hamiltonian Monte Carlo as a method of the atlas: what draws cost that no family limits."""

import torch
from torch import Tensor

from elbogap.api.ascent import Steps
from elbogap.api.reference import hmc_reference
from elbogap.inference.families.base import LogJoint

LENGTH = 1000


class HMC:
    """The draws of :func:`elbogap.api.hmc_reference`, with `steps` iterations of burn-in and as many kept."""

    def __init__(self, log_density: LogJoint, dim: int, seed: int = 0, steps: Steps = "auto") -> None:
        """Run four chains, of 1,000 for "auto"."""
        length = LENGTH if steps == "auto" else steps
        self.diagnostics = hmc_reference(log_density, dim, seed=seed, num_samples=length, burn_in=length)

    def sample(self, num_samples: int, seed: int = 0) -> Tensor:
        """Up to as many different draws as there are, `[N, D]`."""
        reference = self.diagnostics
        draws = reference.space.flatten(reference.sample())
        return draws[torch.randperm(len(draws), generator=torch.Generator().manual_seed(seed))[:num_samples]]
