"""UIVI on the three toy targets, beside SIVI and a Gaussian (lecture, "UIVI: Toy Experiments").

Settings are those of UIVI's code. Deviations: the lecture shows UIVI alone, and once; here are SIVI with the
same networks, a Gaussian with independent coordinates (mean from N(0, I), deviation as in UIVI) and several
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
from elbogap.ensemble import Variational, fit, stairs
from elbogap.inference import hmc
from elbogap.inference.families.semi_implicit import SemiImplicit
from elbogap.inference.noise import draw
from elbogap.inference.objectives.base import StepSize
from elbogap.inference.objectives.elbo import SIVI
from elbogap.inference.objectives.uivi import UIVI
from elbogap.nn.mlp import MLP
from elbogap.papers.implicit.best_gaussian import smallest_divergence
from elbogap.papers.implicit.elbo import elbo_between
from elbogap.papers.implicit.families import semi_implicit
from elbogap.papers.implicit.settings import Toys as Settings
from elbogap.papers.implicit.uivi_targets import TARGETS, LogDensities
from elbogap.runtime import Run, torch_generator
from elbogap.training import Work, tabulate

METHODS = ("explicit", "sivi", "uivi")
LATENT = 2

MEASURED = ["elbo", "elbo_above", "elbo_se", "deviation", "step_size", "acceptance"]

Member = tuple[str, int]
"""Target and seed."""


@dataclass(frozen=True)
class Fitted:
    """The members' q by one method.

    Attributes:
        method: one of `METHODS`.
        members: target and seed of each.
        networks: `mean` and `deviation`.
        step_size: of UIVI's chains at the end.
    """

    method: str
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
    members = list(product(TARGETS, range(settings.seeds)))
    identity = provenance.identity(__name__, settings, run)
    tables, arrays = [], _grids(settings.grid)
    for method in METHODS:
        fitted = _fit(settings, run, method, members, identity)
        row = partial(_measure, settings, fitted, run.device)
        values = tabulate(row, rows=len(members), work=Work.of(run, f"{method}-elbo", identity))
        keys = pd.DataFrame(members, columns=["target", "seed"]).assign(method=method)
        tables.append(pd.concat([keys, pd.DataFrame(values.numpy(), columns=MEASURED)], axis=1))
        arrays |= {f"{method}_{target}": _figure_draws(settings, fitted, target) for target in TARGETS}
    table = pd.concat(tables, ignore_index=True)
    of_sivi = table[table["method"] == "sivi"].set_index(["target", "seed"])["elbo"].rename("sivi")
    table = table.join(of_sivi, on=["target", "seed"])
    table = table.assign(
        kl=-table["elbo"],
        best_gaussian=table["target"].map({name: _best_gaussian(name) for name in TARGETS}),
        beyond_sivi=table["elbo"] - table["sivi"],
    )
    columns = ["document", "target", "method", "seed", "kl", "best_gaussian", "beyond_sivi", *MEASURED]
    return {"divergences": table.assign(document="implicit")[columns], "draws": arrays}


def _fit(settings: Settings, run: Run, method: str, members: Sequence[Member], identity: str) -> Fitted:
    what = _training(settings, method, members, run.device)
    result = fit(
        what,
        _initial_networks(settings, method, members),
        epochs=settings.rounds,
        learning_rate=settings.learning_rate,
        schedule=stairs(settings.rate_factor, settings.rate_every / (settings.rounds * settings.round_steps)),
        record_epochs=1,
        damped={"mean": 1.0, "deviation": settings.deviation_share},
        state=what.state,
        work=Work.of(run, method, identity, settings.checkpoint_seconds),
        device=run.device,
    )
    state = what.state if isinstance(what.state, StepSize) else None
    return Fitted(method, members, result.networks, state)


def _dimensions(settings: Settings, method: str) -> int:
    """Those of e."""
    return 0 if method == "explicit" else settings.noise


def _kernel(settings: Settings) -> hmc.Kernel:
    adaptation = hmc.Adaptation(settings.target_acceptance, settings.adaptation_rate)
    iterations = settings.burn_in + settings.kept
    return hmc.Kernel(iterations, settings.leapfrog_steps, settings.burn_in, adaptation)


def _training(settings: Settings, method: str, members: Sequence[Member], device: str) -> Variational:
    """SIVI, UIVI, or the ELBO of a Gaussian, which is SIVI's bound without noise e."""
    streams = [
        partial(torch_generator, settings.seed, "implicit.toys", method, *member, device=device)
        for member in members
    ]
    log_joint = LogDensities.of([target for target, _ in members], device)
    uivi, sivi = UIVI(_kernel(settings), settings.step_size), SIVI(settings.others if method == "sivi" else 0)
    objective = uivi if method == "uivi" else sivi
    return Variational(
        objective=objective,
        family=lambda networks, _: semi_implicit(networks),
        log_joint=lambda *_: log_joint,
        specs=objective.noise(settings.batch, dimensions=LATENT, mixing=_dimensions(settings, method)),
        streams=streams,
        steps=settings.round_steps,
        state=objective.initial_state(len(members), device),
    )


def _initial_networks(settings: Settings, method: str, members: Sequence[Member]) -> dict[str, MLP]:
    """UIVI and SIVI start with the same networks."""
    generators = [torch_generator(settings.seed, "implicit.toys", "initial", *member) for member in members]
    if method == "explicit":
        mean = MLP.constant(torch.stack([torch.randn(LATENT, generator=one) for one in generators]))
    else:
        sizes = [settings.noise, *settings.hidden, LATENT]
        mean = MLP.independent(sizes, "relu", generators, "wide")
    deviation = torch.full((len(members), LATENT), settings.deviation)
    return {"mean": mean, "deviation": MLP.constant(deviation)}


def _measure(settings: Settings, fitted: Fitted, device: str, m: int) -> Tensor:
    """What the table says of member m, as `MEASURED` names it, in float64."""
    method, (target, seed) = fitted.method, fitted.members[m]
    generator = torch_generator(settings.seed, "implicit.toys.elbo", method, target, seed, device=device)
    networks = {name: network.select([m]).double().to(device) for name, network in fitted.networks.items()}
    q = semi_implicit(networks).detach()
    elbo = elbo_between(
        LogDensities.of([target], device, torch.float64),
        q,
        draws=settings.elbo_draws,
        noises=settings.elbo_noises if q.mixing else 1,
        blocks=settings.elbo_blocks,
        generator=generator,
    )
    step_size = acceptance = elbo.low.new_tensor(torch.nan)
    if fitted.step_size is not None:
        step_size = fitted.step_size.value[m, 0].double()
        acceptance = _acceptance(settings, q, step_size, generator)
    scale = q.log_scale.mean().exp()
    return torch.stack([elbo.low, elbo.high, elbo.error, scale, step_size, acceptance]).cpu()


def _best_gaussian(name: str) -> float:
    """From the middles of the target and of its components."""
    log_density = LogDensities.of([name], dtype=torch.float64)
    return smallest_divergence(log_density, {(0.0, 0.0), *TARGETS[name].means})


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
    generator = torch_generator(settings.seed, "implicit.toys.figure", fitted.method, target)
    m = fitted.members.index((target, 0))
    q = semi_implicit({name: network.select([m]) for name, network in fitted.networks.items()})
    return q.rsample(draw(q.noise(settings.figure_draws), generator, 1))[0].numpy()


def _grids(points: int) -> dict[str, np.ndarray]:
    """Each target's density on the part of the plane that the lecture shows."""
    arrays = {}
    for name, target in TARGETS.items():
        axes = [torch.linspace(*ends, points) for ends in (target.horizontal, target.vertical)]
        density = LogDensities.of([name])(torch.cartesian_prod(*axes)[None]).exp()
        arrays[f"horizontal_{name}"], arrays[f"vertical_{name}"] = (axis.numpy() for axis in axes)
        arrays[f"density_{name}"] = density.view(points, points).numpy()
    return arrays
