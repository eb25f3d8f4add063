"""UIVI on the three toy targets, beside SIVI and a Gaussian (lecture, "UIVI: Toy Experiments").

Settings are those of UIVI's code. Deviations: the lecture shows UIVI alone, and once; here are SIVI with the
same networks, a Gaussian with independent coordinates (mean from N(0, I), scale as in UIVI) and several
seeds. The targets are normalised; the code has sqrt(2 pi) for log 2 pi in its Gaussians, which shifts the
ELBOs of the two mixtures by -0.669 nats and changes no gradient. Scale laptop: fewer steps of more draws.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from elbogap import provenance
from elbogap.ensemble import Variational, fit, step_decay
from elbogap.inference import hmc
from elbogap.inference.families.semi_implicit import SemiImplicit
from elbogap.inference.noise import draw
from elbogap.inference.objectives.base import StepSize
from elbogap.nn.mlp import MLP
from elbogap.nn.store import Stored
from elbogap.papers.implicit.best_gaussian import largest_elbo, trapezoid_rule
from elbogap.papers.implicit.elbo import elbo_between
from elbogap.papers.implicit.families import semi_implicit
from elbogap.papers.implicit.frames import keyed
from elbogap.papers.implicit.methods import initial_networks, kernel_of, objective_of
from elbogap.papers.implicit.names import OF_Q, Method
from elbogap.papers.implicit.settings import Toys as Settings
from elbogap.papers.implicit.targets import UIVI_TARGETS, log_density
from elbogap.runtime import Run, torch_generator
from elbogap.training import Work, tabulate

LATENT = 2
MEASURED = ["elbo", "elbo_above", "elbo_se", "deviation", "step_size", "acceptance"]

Member = tuple[str, int]
"""Target and seed."""


@dataclass(frozen=True)
class Fitted:
    """The members' q by one method, and the step size of UIVI's chains at the end."""

    method: Method
    members: Sequence[Member]
    networks: Mapping[str, MLP]
    step_size: StepSize | None


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Fit q by all methods to all targets.

    Returns:
        `divergences`: per target, method and seed the ELBO in nats, which is at least `elbo`, the SIVI bound
        with many noises, and at most `elbo_above`, the same without z's own noise in the mixture, but for
        their standard error `elbo_se`; `kl` = -elbo, KL(q || p) or a little more; `best_gaussian`, the
        smallest one of all Gaussians with independent coordinates; `beyond_sivi`, the `elbo` less that of
        SIVI with this seed; `deviation`, the geometric mean of q(z|e)'s two; for UIVI the chains' `step_size`
        at the end and their `acceptance` with it.
        `draws`: per target the density on a grid, `density_<target>`, with its axes `horizontal_<target>` and
        `vertical_<target>`, and draws of each method's first q, `<method>_<target>`.

    Raises:
        OutOfTime: the time budget is spent.
    """
    members = list(product(UIVI_TARGETS, range(settings.seeds)))
    targets, seeds = zip(*members, strict=True)
    identity = provenance.identity(__name__, settings, run)
    arrays, found = _grids(settings.grid), {}
    for name, method in OF_Q.items():
        fitted = _fit(settings, run, method, members, identity)
        row = partial(_measure, settings, fitted, run.device)
        work = Work.of(run, f"{name}-elbo", identity)
        found[name] = tabulate(row, rows=len(members), work=work).numpy()
        arrays |= {f"{name}_{target}": _figure_draws(settings, fitted, target) for target in UIVI_TARGETS}
    best = {target: _best_gaussian(target) for target in UIVI_TARGETS}
    tables = [
        keyed(
            pd.DataFrame(values, columns=MEASURED),
            target=targets,
            method=name,
            seed=seeds,
            kl=-values[:, 0],
            best_gaussian=[best[target] for target in targets],
            beyond_sivi=values[:, 0] - found["sivi"][:, 0],
        )
        for name, values in found.items()
    ]
    return {"divergences": pd.concat(tables, ignore_index=True), "draws": arrays}


def _fit(settings: Settings, run: Run, method: Method, members: Sequence[Member], identity: str) -> Fitted:
    training = _training(settings, method, members, run.device)
    found = fit(
        training,
        _initial_networks(settings, method, members),
        epochs=settings.rounds,
        learning_rate=settings.learning_rate,
        schedule=step_decay(
            settings.rate_factor, settings.rate_every / (settings.rounds * settings.round_steps)
        ),
        record_epochs=1,
        damped={"mean": 1.0, "scale": settings.deviation_share},
        state=training.state,
        work=Work.of(run, method.name, identity, settings.checkpoint_seconds),
        device=run.device,
    )
    step_size = training.state if isinstance(training.state, StepSize) else None
    return Fitted(method, members, found.networks, step_size)


def _kernel(settings: Settings) -> hmc.Kernel:
    return kernel_of(settings, settings.burn_in, settings.kept, settings.adaptation_rate)


def _training(settings: Settings, method: Method, members: Sequence[Member], device: str) -> Variational:
    """SIVI, UIVI, or the ELBO of a Gaussian, which is SIVI's bound without noise e."""
    objective = objective_of(method, settings.others, _kernel(settings), settings.step_size)
    log_joint = log_density([UIVI_TARGETS[target] for target, _ in members], device)
    mixing = settings.noise * method.mixing
    return Variational(
        objective=objective,
        family=lambda networks, _: semi_implicit(networks),
        log_joint=lambda *_: log_joint,
        specs=objective.noise(settings.batch, dimensions=LATENT, mixing=mixing),
        streams=[
            partial(torch_generator, settings.seed, "implicit.toys", method.name, *member, device=device)
            for member in members
        ],
        steps=settings.round_steps,
        state=objective.initial_state(len(members), device),
    )


def _initial_networks(settings: Settings, method: Method, members: Sequence[Member]) -> dict[str, MLP]:
    """UIVI and SIVI start with the same networks."""
    generators = [torch_generator(settings.seed, "implicit.toys", "initial", *member) for member in members]
    return initial_networks(method, settings, torch.full((LATENT,), settings.deviation), generators)


def _measure(settings: Settings, fitted: Fitted, device: str, m: int) -> Tensor:
    """What the table says of member m, as `MEASURED` names it, in float64."""
    target, seed = fitted.members[m]
    keys = "implicit.toys.elbo", fitted.method.name, target, seed
    generator = torch_generator(settings.seed, *keys, device=device)
    networks = Stored(fitted.networks).member(m)
    q = semi_implicit({name: network.double().to(device) for name, network in networks.items()}).detach()
    elbo = elbo_between(
        log_density([UIVI_TARGETS[target]], device, torch.float64),
        q,
        num_draws=settings.elbo_draws,
        num_mixing=settings.elbo_noises if q.mixing else 1,
        blocks=settings.elbo_blocks,
        generator=generator,
    )
    step_size = acceptance = elbo[0].new_tensor(torch.nan)
    if fitted.step_size is not None:
        step_size = fitted.step_size.value[m, 0].double()
        acceptance = _acceptance(settings, q, step_size, generator)
    return torch.stack([*elbo, q.log_scale.mean().exp(), step_size, acceptance]).cpu()


def _best_gaussian(target: str) -> float:
    """The smallest divergence, from the middles of the target and of its components."""
    starts = {(0.0, 0.0), *(component.mean for component in UIVI_TARGETS[target].components)}
    log_p = log_density([UIVI_TARGETS[target]], dtype=torch.float64)
    return -largest_elbo(log_p, starts, trapezoid_rule())


def _acceptance(settings: Settings, q: SemiImplicit, step_size: Tensor, generator: torch.Generator) -> Tensor:
    """The mean acceptance probability of chains as in training, from as many draws as the figure shows."""
    noise = draw(q.noise(settings.figure_draws), generator, 1, dtype=torch.float64)
    fixed = replace(_kernel(settings), adaptation=None)
    chains = draw(fixed.noise(settings.figure_draws, q.mixing), generator, 1, dtype=torch.float64)
    reverse = q.reverse_conditional(q.rsample(noise).detach(), noise)
    return fixed.run(reverse, noise["mixing"], chains, step_size).acceptance.mean()


@torch.no_grad()
def _figure_draws(settings: Settings, fitted: Fitted, target: str) -> np.ndarray:
    """Draws of the q of a target's first seed, `[N, 2]`."""
    generator = torch_generator(settings.seed, "implicit.toys.figure", fitted.method.name, target)
    q = semi_implicit(Stored(fitted.networks).member(fitted.members.index((target, 0))))
    return q.rsample(draw(q.noise(settings.figure_draws), generator, 1))[0].numpy()


def _grids(points: int) -> dict[str, np.ndarray]:
    """Each target's density on the part of the plane that the lecture shows."""
    names = ("horizontal", "vertical", "density")
    return {
        f"{name}_{target}": values.numpy()
        for target, shown in UIVI_TARGETS.items()
        for name, values in zip(names, shown.on_grid(points), strict=True)
    }
