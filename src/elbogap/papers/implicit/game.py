"""The alternating game of an implicit q(z) and its discriminator.

Members, one per seed, are trained together; each draws from generators of its own.
"""

from collections.abc import Sequence
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


class Game:
    """M members who make the same number of discriminator steps per step of q."""

    def __init__(self, settings: Settings, discriminator_steps: int, seed: int, device: str) -> None:
        """Draw the initial weights, which are alike for equal seeds, however many discriminator steps."""
        self._settings, self._steps, self._seed, self._device = settings, discriminator_steps, seed, device
        sizes, rate = [settings.noise, *settings.hidden, DIMENSION], settings.learning_rate
        self._q = Player(sizes, self._generators("q"), rate, device)
        sizes, rate = [DIMENSION, *settings.hidden, 1], settings.discriminator_rate
        self._discriminator = Discriminator(sizes, self._generators("discriminator"), rate, device)

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
        return self._q(self._draw("shown", 0, count, self._settings.noise))

    def _play(self, i: int) -> Tensor:
        settings, steps = self._settings, self._settings.round_steps
        noise = self._draw("noise", i, steps, self._steps + 1, settings.batch, settings.noise)
        prior = self._draw("prior", i, steps, self._steps, settings.batch, DIMENSION)
        for k in range(steps):
            for j in range(self._steps):
                with torch.no_grad():
                    z = self._q(noise[:, k, j])
                self._discriminator.improve(z, prior[:, k, j])
            self._q.ascend(self._elbo(noise[:, k, -1]))
        return self._measure(i)

    @torch.no_grad()
    def _measure(self, i: int) -> Tensor:
        noise = self._draw("measure", i, self._settings.draws, self._settings.noise)
        z = self._q(noise)
        elbo = log_joint(self._settings, z).double().mean(-1) + histogram.entropy(z, self._settings.cell)
        return torch.stack([self._elbo(noise).double(), elbo])

    def _elbo(self, noise: Tensor) -> Tensor:
        model = StandardNormalPrior(partial(log_likelihood, self._settings))
        q = Implicit(self._q, self._settings.noise)
        return DensityRatio(self._discriminator.logits).estimate(q, model, {"normal": noise}).mean()

    def _generators(self, purpose: str, *keys: int, device: str = "cpu") -> list[torch.Generator]:
        return [
            torch_generator(self._seed, "implicit.game", purpose, member, *keys, device=device)
            for member in range(self._settings.seeds)
        ]

    def _draw(self, purpose: str, i: int, *shape: int) -> Tensor:
        """Standard normal noise `[M, *shape]`."""
        generators = self._generators(purpose, i, device=self._device)
        return torch.stack([torch.randn(shape, generator=own, device=self._device) for own in generators])
