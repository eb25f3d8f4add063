"""The alternating game of an implicit q(z) and its discriminator.

Members, one per seed, are trained together; each draws from generators of its own.
"""

from functools import partial

import torch
from torch import Tensor

from elbogap.evaluation import histogram
from elbogap.inference.families.implicit import Implicit
from elbogap.inference.objectives.adversarial import DensityRatio, discriminator_objective
from elbogap.inference.objectives.base import StandardNormalPrior
from elbogap.nn.mlp import MLP
from elbogap.papers.implicit.horseshoe import DIMENSION, log_joint, log_likelihood
from elbogap.papers.implicit.settings import AdversarialGame as Settings
from elbogap.runtime import torch_generator
from elbogap.training import Part, Work, train


class Game:
    """Networks and optimisers of M members who make the same number of discriminator steps.

    Attributes:
        parts: everything that training changes.
    """

    def __init__(self, settings: Settings, discriminator_steps: int, seed: int, device: str) -> None:
        """Draw the initial weights, which are alike for equal seeds, however many discriminator steps."""
        self._settings, self._steps, self._seed, self._device = settings, discriminator_steps, seed, device
        sizes = {
            "q": [settings.noise, *settings.hidden, DIMENSION],
            "discriminator": [DIMENSION, *settings.hidden, 1],
        }
        networks = {
            name: MLP.independent(
                size,
                "relu",
                [torch_generator(seed, "implicit.game", name, one) for one in range(settings.seeds)],
            ).to(device)
            for name, size in sizes.items()
        }
        self._q, self._discriminator = networks.values()
        self._optimisers = {
            name: torch.optim.Adam(networks[name].parameters(), lr=rate, fused=True)
            for name, rate in (("q", settings.learning_rate), ("discriminator", settings.discriminator_rate))
        }
        self.parts: dict[str, Part] = {
            **networks,
            **{f"{name}_optimiser": one for name, one in self._optimisers.items()},
        }

    def play(self, i: int) -> Tensor:
        """Round i of training, then the ELBO as the discriminator sees it and as it is, `[2, M]`."""
        settings, steps = self._settings, self._settings.round_steps
        noise = self._draws("noise", i, steps, self._steps + 1, settings.batch, settings.noise)
        prior = self._draws("prior", i, steps, self._steps, settings.batch, DIMENSION)
        for k in range(steps):
            for j in range(self._steps):
                self._improve_discriminator(noise[:, k, j], prior[:, k, j])
            self._improve_q(noise[:, k, -1])
        return self._measure(i)

    @torch.no_grad()
    def sample(self, count: int) -> Tensor:
        """Draws of each member's q, `[M, count, 2]`."""
        return self._q(self._draws("shown", 0, count, self._settings.noise))

    def _improve_discriminator(self, noise: Tensor, prior: Tensor) -> None:
        with torch.no_grad():
            z = self._q(noise)
        logits = self._logits(torch.cat([z, prior], 1)).split(self._settings.batch, -1)
        self._ascend("discriminator", discriminator_objective(*logits))

    def _improve_q(self, noise: Tensor) -> None:
        self._ascend("q", self._elbo(noise))

    def _ascend(self, name: str, value: Tensor) -> None:
        self._optimisers[name].zero_grad()
        (-value.sum()).backward()
        self._optimisers[name].step()

    @torch.no_grad()
    def _measure(self, i: int) -> Tensor:
        noise = self._draws("measure", i, self._settings.draws, self._settings.noise)
        z = self._q(noise)
        elbo = log_joint(self._settings, z).double().mean(-1) + histogram.entropy(z, self._settings.cell)
        return torch.stack([self._elbo(noise).double(), elbo])

    def _elbo(self, noise: Tensor) -> Tensor:
        model = StandardNormalPrior(partial(log_likelihood, self._settings))
        q = Implicit(self._q, self._settings.noise)
        return DensityRatio(self._logits).estimate(q, model, {"normal": noise}).mean()

    def _logits(self, z: Tensor) -> Tensor:
        return self._discriminator(z).squeeze(-1)

    def _draws(self, purpose: str, i: int, *shape: int) -> Tensor:
        """Standard Gaussian noise `[M, *shape]`."""
        streams = [
            torch_generator(self._seed, "implicit.game", purpose, one, i, device=self._device)
            for one in range(self._settings.seeds)
        ]
        return torch.stack([torch.randn(shape, generator=one, device=self._device) for one in streams])


def trained(game: Game, settings: Settings, work: Work) -> Tensor:
    """Play all rounds: the ELBO as seen and as it is, after each, `[rounds, 2, M]`, in nats.

    Raises:
        UserError: the checkpoint is damaged, or all members diverged.
        OutOfTime: the deadline has passed.
    """
    return train(game.play, steps=settings.rounds, record_every=1, parts=game.parts, work=work)
