"""The ground truth of document mapa: a surrogate decoder with its noise, and the data sets drawn from it."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from elbogap.data.synthetic import problem
from elbogap.densities import pairwise_gaussian_log_density
from elbogap.evaluation.quadrature import PairwiseLogLikelihood
from elbogap.nn.mlp import MLP
from elbogap.runtime import numpy_generator
from elbogap.tables import read_arrays


@dataclass(frozen=True)
class GroundTruth:
    """x = f(z) + e with z ~ N(0, 1), e ~ N(0, sigma^2 I) and f a surrogate decoder, in float64.

    Attributes:
        name: the problem.
        network: f, with one member.
        noise_variance: sigma^2.
    """

    name: str
    network: MLP
    noise_variance: float

    @classmethod
    def load(cls, name: str, path: Path) -> "GroundTruth":
        """The surrogate that experiment `mapa.surrogate` stored."""
        return cls(name, MLP.from_arrays(read_arrays(path)).double(), problem(name).noise_variance)

    def decoder(self, z: Tensor) -> Tensor:
        """f(z), `[..., 1]` to `[..., 2]`."""
        with torch.no_grad():
            return self.network(z[None])[0]

    @property
    def log_likelihood(self) -> PairwiseLogLikelihood:
        """log p(x_b|f_q) of all pairs; with observations in place of f_q it is MAPA's kernel k(x_b|x_q)."""
        return partial(pairwise_gaussian_log_density, variance=self.noise_variance)

    def data_set(
        self, points: int, seed: int, draw: int, part: Literal["train", "valid", "test"] = "train"
    ) -> tuple[Tensor, Tensor]:
        """Latent values z `[N, 1]` and observations x `[N, 2]` of a draw; draws and parts are independent."""
        keys = () if part == "train" else (part,)
        generator = numpy_generator(seed, "mapa data set", self.name, draw, *keys)
        z = torch.from_numpy(generator.standard_normal((points, 1)))
        noise = torch.from_numpy(generator.standard_normal((points, 2)))
        return z, self.decoder(z) + np.sqrt(self.noise_variance) * noise
