"""UIVI on the three toy targets, beside SIVI and a Gaussian (lecture, "UIVI: Toy Experiments").

Settings are those of UIVI's code. Deviations: the lecture shows UIVI alone, and once; here are SIVI with the
same networks, a Gaussian with independent coordinates (mean from N(0, I), scale as in UIVI) and several
seeds. The targets are normalised; the code has sqrt(2 pi) for log 2 pi in its Gaussians, which shifts the
ELBOs of the two mixtures by -0.669 nats and changes no gradient. Scale laptop: fewer steps of more draws.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from elbogap.ensemble import Variational, fit, step_decay
from elbogap.inference.families.semi_implicit import SemiImplicit
from elbogap.inference.noise import draw
from elbogap.inference.objectives.elbo import SIVI
from elbogap.nn.mlp import MLP
from elbogap.nn.store import Stored
from elbogap.papers.implicit.frames import keyed
from elbogap.papers.implicit.methods import DECAY, floored_log, initial_networks, kernel_of, objective_of
from elbogap.papers.implicit.names import OF_Q, Method
from elbogap.papers.implicit.settings import Toys as Settings
from elbogap.papers.implicit.targets import UIVI_TARGETS, largest_elbo, log_density
from elbogap.runtime import Run, torch_generator
from elbogap.training import Work, tabulate

LATENT = 2
MEASURED = ["elbo", "elbo_se"]


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Fit q by all methods to all targets.

    Returns `divergences`; `draws`: `density_<target>` on a grid with its axes `horizontal_` and
    `vertical_<target>`, and draws of each method's first q, `<method>_<target>`.
    """
    members = list(product(UIVI_TARGETS, range(settings.seeds)))
    targets, seeds = zip(*members, strict=True)
    work = partial(Work.in_module, __name__, settings, run)
    best = {target: _best_gaussian(target) for target in UIVI_TARGETS}
    columns = {"target": targets, "seed": seeds, "best_gaussian": [best[target] for target in targets]}
    arrays, tables = _grids(settings.grid), []
    for name, method in OF_Q.items():
        ensemble = Ensemble(settings, method, members, run.device)
        networks = ensemble.fit(work(name))
        row = partial(ensemble.measure, networks)
        values = tabulate(row, rows=len(members), work=work(f"{name}-elbo")).numpy()
        table = pd.DataFrame(values, columns=MEASURED)
        tables.append(keyed(table, method=name, **columns, kl=-table["elbo"]))
        arrays |= {f"{name}_{target}": ensemble.figure_draws(networks, target) for target in UIVI_TARGETS}
    return {"divergences": pd.concat(tables, ignore_index=True), "draws": arrays}


def semi_implicit(networks: Mapping[str, MLP]) -> SemiImplicit:
    """q(z) with the network `mean` of the noise e; `scale` is sigma itself, above the floor."""
    mean = networks["mean"]
    return SemiImplicit(mean.layers(), floored_log(networks["scale"].biases[0]), mean.sizes[0])


@dataclass(frozen=True)
class Ensemble:
    """The training and evaluation of q by one method; members are targets with seeds."""

    settings: Settings
    method: Method
    members: Sequence[tuple[str, int]]
    device: str = "cpu"

    def initial_networks(self) -> dict[str, MLP]:
        """UIVI and SIVI start with the same networks."""
        keys = self.settings.seed, "implicit.toys", "initial"
        generators = [torch_generator(*keys, *member) for member in self.members]
        scale = torch.full((LATENT,), self.settings.deviation)
        return initial_networks(self.method, self.settings, scale, generators)

    def variational(self) -> Variational:
        """SIVI, UIVI, or the ELBO of a Gaussian, which is SIVI's bound without noise e."""
        settings, method, device = self.settings, self.method, self.device
        kernel = kernel_of(settings, settings.burn_in, settings.kept)
        objective = objective_of(method, settings.others, kernel, settings.step_size)
        log_joint = log_density([UIVI_TARGETS[target] for target, _ in self.members], device)
        stream = partial(torch_generator, settings.seed, "implicit.toys", method.name, device=device)
        mixing = settings.noise * method.mixing
        return Variational(
            objective=objective,
            family=lambda networks, _: semi_implicit(networks),
            log_joint=lambda *_: log_joint,
            specs=objective.noise(settings.batch, dimensions=LATENT, mixing=mixing),
            streams=[partial(stream, *member) for member in self.members],
            steps=settings.round_steps,
            state=objective.initial_state(len(self.members), device),
        )

    def fit(self, work: Work) -> Stored:
        """The networks at the end."""
        settings, variational = self.settings, self.variational()
        steps = settings.rounds * settings.round_steps
        found = fit(
            variational,
            self.initial_networks(),
            epochs=settings.rounds,
            learning_rate=settings.learning_rate,
            schedule=step_decay(DECAY, settings.rate_every / steps),
            record_epochs=1,
            damped={"mean": 1.0, "scale": settings.deviation_share},
            state=variational.state,
            work=work,
            device=self.device,
        )
        return Stored(found.networks)

    @torch.no_grad()
    def measure(self, networks: Stored, m: int) -> Tensor:
        """What the table says of member m, as `MEASURED` names it, in float64."""
        settings, (target, seed), device = self.settings, self.members[m], self.device
        keys = "implicit.toys.elbo", self.method.name, target, seed
        generator = torch_generator(settings.seed, *keys, device=device)
        own = {name: network.double() for name, network in networks.member(m, device).items()}
        q = semi_implicit(own)
        bound = SIVI(settings.elbo_noises if q.mixing else 0)
        specs = bound.noise(settings.elbo_draws, dimensions=LATENT, mixing=q.mixing)
        blocks = (draw(specs, generator, 1, dtype=torch.float64) for _ in range(settings.elbo_blocks))
        log_p = log_density([UIVI_TARGETS[target]], device, torch.float64)
        elbo = torch.stack([bound.estimate(q, log_p, noise).value.mean() for noise in blocks])
        return torch.stack([elbo.mean(), elbo.std() / len(elbo) ** 0.5]).cpu()

    @torch.no_grad()
    def figure_draws(self, networks: Stored, target: str) -> np.ndarray:
        """Draws of the q of a target's first seed, `[N, 2]`."""
        generator = torch_generator(self.settings.seed, "implicit.toys.figure", self.method.name, target)
        q = semi_implicit(networks.member(self.members.index((target, 0))))
        return q.rsample(draw(q.noise(self.settings.figure_draws), generator, 1))[0].numpy()


def _best_gaussian(target: str) -> float:
    """The smallest divergence, from the middles of the target and of its components."""
    starts = {(0.0, 0.0), *(component.mean for component in UIVI_TARGETS[target].components)}
    log_p = log_density([UIVI_TARGETS[target]], dtype=torch.float64)
    return -largest_elbo(log_p, starts)


def _grids(points: int) -> dict[str, np.ndarray]:
    """Each target's density on the part of the plane that the lecture shows."""
    names = ("horizontal", "vertical", "density")
    return {
        f"{name}_{target}": values.numpy()
        for target, shown in UIVI_TARGETS.items()
        for name, values in zip(names, shown.on_grid(points), strict=True)
    }
