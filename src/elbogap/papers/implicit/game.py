"""The alternating game of an implicit q(z) and its discriminator, on a posterior shaped like a horseshoe.

p(z) = N(0, I_2), p(x|z) = N(x; z_1^2 + z_2, s^2). Members, one per seed, are trained together.
"""

from functools import partial

import numpy as np
import torch
from torch import Tensor

from elbogap.densities import isotropic_gaussian_log_density
from elbogap.evaluation import histogram
from elbogap.inference.families.semi_implicit import Implicit
from elbogap.inference.objectives.adversarial import DensityRatio, discriminator_objective
from elbogap.inference.objectives.base import StandardNormalPrior
from elbogap.nn.mlp import MLP
from elbogap.papers.implicit.methods import normal, streams
from elbogap.papers.implicit.settings import AdversarialGame as Settings
from elbogap.papers.implicit.targets import largest_elbo
from elbogap.training import Part, Work, descend, train

DIMENSION = 2


def model(settings: Settings) -> StandardNormalPrior:
    """log p(x, z) of the observation, `[..., 2]` to `[...]`, in nats."""

    def log_likelihood(z: Tensor) -> Tensor:
        mean = z[..., :1].square() + z[..., 1:]
        x = torch.full_like(mean, settings.observation)
        return isotropic_gaussian_log_density(x, mean, settings.deviation**2)

    return StandardNormalPrior(log_likelihood)


def best_gaussian(settings: Settings) -> float:
    """The largest ELBO of a Gaussian q with any mean and covariance, in nats."""
    starts = [(z1, 0.0) for z1 in (-1.0, 0.0, 1.0)]
    return largest_elbo(model(settings), starts, correlated=True)


def posterior(settings: Settings) -> dict[str, np.ndarray]:
    """On a square grid with points `axis` `[G]` the `posterior` p(z|x), `[G, G]`, and `log_evidence` in nats.

    By the rectangle rule, whose error decays exponentially here.
    """
    axis = torch.linspace(-settings.half_width, settings.half_width, settings.grid, dtype=torch.float64)
    log_joint = model(settings)(torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1))
    log_evidence = log_joint.logsumexp((0, 1)) + 2 * (axis[1] - axis[0]).log()
    density = (log_joint - log_evidence).exp()
    return {"axis": axis.numpy(), "posterior": density.numpy(), "log_evidence": log_evidence.numpy()}


def log_ratio(discriminator: MLP, z: Tensor) -> Tensor:
    """T(z) of the classifiers D = sigmoid(T), at best log q - log p, `[M, ..., D]` to `[M, ...]`."""
    return discriminator(z).squeeze(-1)


def improve(discriminator: MLP, optimiser: torch.optim.Optimizer, q: Tensor, p: Tensor) -> Tensor:
    """A step on points of both classes, `[M, B, D]` each; the objective before it, `[M]`, in nats."""
    logits = log_ratio(discriminator, torch.cat([q, p], 1)).split(q.shape[1], -1)
    value = discriminator_objective(*logits)
    descend(-value.sum(), optimiser)
    return value.detach()


class Game:
    """M members who make the same number of discriminator steps per step of q."""

    def __init__(self, settings: Settings, discriminator_steps: int, seed: int, device: str) -> None:
        """Draw the initial weights, which are alike for equal seeds, however many discriminator steps."""
        self._settings, self._steps, self._device = settings, discriminator_steps, device
        self._model = model(settings)
        self._streams = partial(streams, seed, "implicit.game", members=range(settings.seeds))

        def network(name: str, first: int, last: int) -> MLP:
            generators = [stream() for stream in self._streams(name)]
            return MLP.independent([first, *settings.hidden, last], "relu", generators).to(device)

        self._q = network("q", settings.noise, DIMENSION)
        self._discriminator = network("discriminator", DIMENSION, 1)
        adam = partial(torch.optim.Adam, fused=True)
        self._optimiser = adam(self._q.parameters(), settings.learning_rate)
        self._discriminator_optimiser = adam(self._discriminator.parameters(), settings.learning_rate)

    def train(self, work: Work) -> Tensor:
        """Play all rounds: the ELBO as the discriminator sees it and as it is, `[rounds, 2, M]`, in nats."""
        parts: dict[str, Part] = {
            "q": self._q,
            "q_optimiser": self._optimiser,
            "discriminator": self._discriminator,
            "discriminator_optimiser": self._discriminator_optimiser,
        }
        return train(self._play, steps=self._settings.rounds, record_every=1, parts=parts, work=work)

    @torch.no_grad()
    def sample(self, count: int) -> Tensor:
        """Draws of each member's q, `[M, count, 2]`."""
        return self._q(self._normal("shown", 0, count, self._settings.noise))

    def _play(self, i: int) -> Tensor:
        settings, steps = self._settings, self._settings.round_steps
        noise = self._normal("noise", i, steps, self._steps + 1, settings.batch, settings.noise)
        prior = self._normal("prior", i, steps, self._steps, settings.batch, DIMENSION)
        for k in range(steps):
            for j in range(self._steps):
                with torch.no_grad():
                    z = self._q(noise[:, k, j])
                improve(self._discriminator, self._discriminator_optimiser, z, prior[:, k, j])
            descend(-self._elbo(noise[:, k, -1]).sum(), self._optimiser)
        return self._measure(i)

    @torch.no_grad()
    def _measure(self, i: int) -> Tensor:
        noise = self._normal("measure", i, self._settings.draws, self._settings.noise)
        z = self._q(noise)
        elbo = self._model(z).double().mean(-1) + histogram.entropy(z, self._settings.cell)
        return torch.stack([self._elbo(noise).double(), elbo])

    def _elbo(self, noise: Tensor) -> Tensor:
        q = Implicit(self._q, self._settings.noise)
        objective = DensityRatio(partial(log_ratio, self._discriminator))
        return objective.estimate(q, self._model, {"normal": noise}).mean()

    def _normal(self, purpose: str, i: int, *shape: int) -> Tensor:
        return normal([stream(i) for stream in self._streams(purpose, device=self._device)], *shape)
