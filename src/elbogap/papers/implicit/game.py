"""The alternating game of an implicit q(z) and its discriminator, on a posterior shaped like a horseshoe.

p(z) = N(0, I_2), p(x|z) = N(x; z_1^2 + z_2, s^2). Members, one per seed, are trained together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

import torch
from torch import Tensor

from elbogap.densities import isotropic_gaussian_log_density, standard_gaussian_log_density
from elbogap.evaluation import histogram
from elbogap.inference.families.implicit import Implicit
from elbogap.inference.objectives.adversarial import DensityRatio, discriminator_objective
from elbogap.inference.objectives.base import StandardNormalPrior
from elbogap.nn.mlp import MLP
from elbogap.papers.implicit.best_gaussian import gauss_hermite_rule, largest_elbo
from elbogap.papers.implicit.members import normal, streams
from elbogap.papers.implicit.settings import AdversarialGame as Settings
from elbogap.training import Part, Work, descend, train

DIMENSION = 2


def log_likelihood(settings: Settings, z: Tensor) -> Tensor:
    """log p(x|z), `[..., 2]` to `[...]`, in nats."""
    mean = z[..., :1].square() + z[..., 1:]
    x = torch.full_like(mean, settings.observation)
    return isotropic_gaussian_log_density(x, mean, settings.deviation**2)


def log_joint(settings: Settings, z: Tensor) -> Tensor:
    """log p(x, z), `[..., 2]` to `[...]`, in nats."""
    return standard_gaussian_log_density(z) + log_likelihood(settings, z)


def best_gaussian(settings: Settings) -> float:
    """The largest ELBO of a Gaussian q with any mean and covariance, in nats.

    log p(x, z) is a polynomial of degree 4, whose mean is exact with three Gauss-Hermite nodes per axis.
    """
    starts = [(z1, 0.0) for z1 in (-1.0, 0.0, 1.0)]
    return largest_elbo(partial(log_joint, settings), starts, gauss_hermite_rule(3), correlated=True)


@dataclass(frozen=True)
class Posterior:
    """p(z|x) on a square grid, by the rectangle rule, whose error decays exponentially here.

    Attributes:
        axis: grid points `[G]`.
        density: p(z|x) at (axis[i], axis[j]), `[G, G]`.
        log_evidence: log p(x), in nats.
    """

    axis: Tensor
    density: Tensor
    log_evidence: float

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The posterior of the settings' observation."""
        axis = torch.linspace(-settings.half_width, settings.half_width, settings.grid, dtype=torch.float64)
        z = torch.cartesian_prod(axis, axis).view(len(axis), len(axis), DIMENSION)
        log_joint_z = log_joint(settings, z)
        log_evidence = log_joint_z.logsumexp((0, 1)) + 2 * (axis[1] - axis[0]).log()
        return cls(axis, (log_joint_z - log_evidence).exp(), float(log_evidence))


class Player:
    """M networks with their optimiser, Adam."""

    def __init__(
        self, sizes: Sequence[int], generators: Sequence[torch.Generator], learning_rate: float, device: str
    ) -> None:
        """Draw the initial weights, a member for each generator."""
        self.network = MLP.independent(sizes, "relu", generators).to(device)
        self._optimiser = torch.optim.Adam(self.network.parameters(), lr=learning_rate, fused=True)

    def ascend(self, value: Tensor) -> None:
        """One step along the gradient of each member's value, `[M]`."""
        descend(-value.sum(), self._optimiser)

    def parts(self, name: str) -> dict[str, Part]:
        """Everything that training changes."""
        return {name: self.network, f"{name}_optimiser": self._optimiser}


class Discriminator(Player):
    """M classifiers D = sigmoid(T) of draws of q from draws of p, at best T = log q - log p."""

    def logits(self, z: Tensor) -> Tensor:
        """T(z), `[M, ..., D]` to `[M, ...]`."""
        return self.network.layers()(z).squeeze(-1)

    def improve(self, q: Tensor, p: Tensor) -> Tensor:
        """One step on points of both classes, `[M, B, D]`; the objective before it, `[M]`, in nats."""
        value = discriminator_objective(*self.logits(torch.cat([q, p], 1)).split(q.shape[1], -1))
        self.ascend(value)
        return value.detach()


class Game:
    """M members who make the same number of discriminator steps per step of q."""

    def __init__(self, settings: Settings, discriminator_steps: int, seed: int, device: str) -> None:
        """Draw the initial weights, which are alike for equal seeds, however many discriminator steps."""
        self._settings, self._steps, self._device = settings, discriminator_steps, device
        self._streams = partial(streams, seed, "implicit.game", members=range(settings.seeds))
        q, discriminator = ([own() for own in self._streams(name)] for name in ("q", "discriminator"))
        sizes = [settings.noise, *settings.hidden, DIMENSION]
        self._q = Player(sizes, q, settings.learning_rate, device)
        sizes = [DIMENSION, *settings.hidden, 1]
        self._discriminator = Discriminator(sizes, discriminator, settings.discriminator_rate, device)

    def train(self, work: Work) -> Tensor:
        """Play all rounds: the ELBO as the discriminator sees it and as it is, `[rounds, 2, M]`, in nats.

        Raises:
            UserError: the checkpoint is damaged, or all members diverged.
            OutOfTime: the deadline has passed.
        """
        parts = self._q.parts("q") | self._discriminator.parts("discriminator")
        return train(self._play, steps=self._settings.rounds, record_every=1, parts=parts, work=work)

    @torch.no_grad()
    def sample(self, count: int) -> Tensor:
        """Draws of each member's q, `[M, count, 2]`."""
        return self._q.network(self._normal("shown", 0, count, self._settings.noise))

    def _play(self, i: int) -> Tensor:
        settings, steps = self._settings, self._settings.round_steps
        noise = self._normal("noise", i, steps, self._steps + 1, settings.batch, settings.noise)
        prior = self._normal("prior", i, steps, self._steps, settings.batch, DIMENSION)
        for k in range(steps):
            for j in range(self._steps):
                with torch.no_grad():
                    z = self._q.network(noise[:, k, j])
                self._discriminator.improve(z, prior[:, k, j])
            self._q.ascend(self._elbo(noise[:, k, -1]))
        return self._measure(i)

    @torch.no_grad()
    def _measure(self, i: int) -> Tensor:
        noise = self._normal("measure", i, self._settings.draws, self._settings.noise)
        z = self._q.network(noise)
        elbo = log_joint(self._settings, z).double().mean(-1) + histogram.entropy(z, self._settings.cell)
        return torch.stack([self._elbo(noise).double(), elbo])

    def _elbo(self, noise: Tensor) -> Tensor:
        model = StandardNormalPrior(partial(log_likelihood, self._settings))
        q = Implicit(self._q.network.layers(), self._settings.noise)
        return DensityRatio(self._discriminator.logits).estimate(q, model, {"normal": noise}).mean()

    def _normal(self, purpose: str, i: int, *shape: int) -> Tensor:
        return normal([stream(i) for stream in self._streams(purpose, device=self._device)], *shape)
