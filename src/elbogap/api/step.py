"""One evaluation of what a method maximises."""

from typing import Any

import torch
from torch import Tensor

from elbogap.api.approximations import Approximation
from elbogap.api.methods import Method
from elbogap.inference.families.base import Family, LogJoint
from elbogap.inference.families.semi_implicit import SemiImplicit
from elbogap.inference.noise import Noise, draw
from elbogap.inference.objectives.base import ChainObjective, Objective


class Step:
    """What is maximised, at fresh noise in each call, with the states of its objectives."""

    def __init__(
        self, method: Method, q: Approximation, log_joint: LogJoint, generator: torch.Generator
    ) -> None:
        """Nothing is drawn yet."""
        self.method, self.q, self.log_joint, self.generator = method, q, log_joint, generator
        self.objectives = method.objectives(q)
        states = [one.initial_state(device=str(generator.device)) for one in self.objectives]
        self.states = [state and state.double() for state in states]

    def __call__(self) -> Tensor:
        """The value of what is watched, or else of the first objective, with the gradient of their sum."""
        family, joint, watched = self.q.family(), self.q.log_joint(self.log_joint), self.method.watched
        values = [
            one.estimate(family, joint, self._noise(one, family), state).mean()
            for one, state in zip(self.objectives, self.states, strict=True)
        ]
        value = values[0].detach()
        if watched:
            with torch.no_grad():
                value = watched.estimate(family, joint, self._noise(watched, family)).mean()
        return value + sum(one - one.detach() for one in values)

    def chains(self) -> tuple[float, float] | tuple[None, None]:
        """Step size and mean acceptance probability of the first objective's chains, if it has any."""
        objective, state = self.objectives[0], self.states[0]
        if not isinstance(objective, ChainObjective):
            return None, None
        family = self.q.family().detach()
        noise = self._noise(objective, family)
        start, log_density = family.sample(noise), self.log_joint
        if isinstance(family, SemiImplicit):
            start, log_density = noise["mixing"], family.reverse_conditional(start, noise)
        chains = objective.chains(log_density, start, noise, state)
        return float(chains.step_size), float(chains.acceptance.mean())

    def _noise(self, objective: Objective[Any], family: Family) -> Noise:
        own = {name: spec.shape[-1] for name, spec in family.noise(1).items()}
        sizes = {"dimensions": own["normal"], "mixing": own.get("mixing", 0)}
        return draw(objective.noise(*self.method.batch, **sizes), self.generator, dtype=torch.float64)
