"""UIVI on the three toy targets, beside SIVI and a Gaussian (lecture, "UIVI: Toy Experiments").

Settings are those of UIVI's code. Deviations: the lecture shows UIVI alone, and once; here are SIVI with the
same networks, a Gaussian with independent coordinates (mean from N(0, I), deviation as in UIVI) and several
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

from elbogap import provenance
from elbogap.ensemble import Objective, fit, stairs
from elbogap.inference import hmc
from elbogap.inference.semi_implicit import SemiImplicit
from elbogap.nn.mlp import MLP
from elbogap.papers.implicit.best_gaussian import smallest_divergence
from elbogap.papers.implicit.elbo import elbo_between
from elbogap.papers.implicit.semi_implicit import Sivi, StepSizes, Uivi, constant_family
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
        step_sizes: of UIVI's chains at the end.
    """

    method: str
    members: Sequence[Member]
    networks: Mapping[str, MLP]
    step_sizes: StepSizes


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
    step_sizes = StepSizes(len(members), settings.step_size, run.device)
    result = fit(
        _objective(settings, method, members, step_sizes, run.device),
        _initial_networks(settings, method, members),
        epochs=settings.rounds,
        learning_rate=settings.learning_rate,
        schedule=stairs(settings.rate_factor, settings.rate_every / (settings.rounds * settings.round_steps)),
        record_epochs=1,
        damped={"mean": 1.0, "deviation": settings.deviation_share},
        state=step_sizes,
        work=Work.of(run, method, identity, settings.checkpoint_seconds),
        device=run.device,
    )
    return Fitted(method, members, result.networks, step_sizes)


def _dimensions(settings: Settings, method: str) -> int:
    """Those of e."""
    return 0 if method == "explicit" else settings.noise


def _objective(
    settings: Settings, method: str, members: Sequence[Member], step_sizes: StepSizes, device: str
) -> Objective:
    streams = [
        partial(torch_generator, settings.seed, "implicit.toys", method, *member, device=device)
        for member in members
    ]
    log_joint = LogDensities.of([target for target, _ in members], device)
    noise = _dimensions(settings, method)
    common = (log_joint, LATENT, noise, settings.batch, settings.round_steps, streams)
    if method == "uivi":
        adaptation = hmc.Adaptation(settings.target_acceptance, settings.adaptation_rate)
        return Uivi(*common, step_sizes, adaptation, settings.burn_in, settings.kept, settings.leapfrog_steps)
    return Sivi(*common, others=settings.others if method == "sivi" else 0)


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
    q = constant_family({name: one.select([m]).double().to(device) for name, one in fitted.networks.items()})
    elbo = elbo_between(
        LogDensities.of([target], device, torch.float64),
        q,
        _dimensions(settings, method),
        draws=settings.elbo_draws,
        noises=settings.elbo_noises if _dimensions(settings, method) else 1,
        blocks=settings.elbo_blocks,
        generator=generator,
    )
    step_size = acceptance = elbo.low.new_tensor(torch.nan)
    if method == "uivi":
        step_size = fitted.step_sizes.values[m, 0].double()
        acceptance = _acceptance(settings, q, step_size, generator)
    deviation = q.log_deviation.mean().exp()
    return torch.stack([elbo.low, elbo.high, elbo.error, deviation, step_size, acceptance]).cpu()


def _best_gaussian(name: str) -> float:
    """From the middles of the target and of its components."""
    log_density = LogDensities.of([name], dtype=torch.float64)
    return smallest_divergence(log_density, {(0.0, 0.0), *TARGETS[name].means})


def _acceptance(settings: Settings, q: SemiImplicit, step_size: Tensor, generator: torch.Generator) -> Tensor:
    """The mean acceptance probability of chains as in training, from as many draws as the figure shows."""
    shape, kind = (1, settings.figure_draws), {"dtype": torch.float64, "device": generator.device}
    noise = torch.randn(*shape, settings.noise, generator=generator, **kind)  # type: ignore[call-overload]
    draws = torch.randn(*shape, LATENT, generator=generator, **kind)  # type: ignore[call-overload]
    chains = hmc.sample(
        q.reverse(q.place(noise, draws).detach()),
        noise,
        hmc.Noise.draw(settings.burn_in + settings.kept, noise, generator),
        step_size=step_size,
        leapfrog_steps=settings.leapfrog_steps,
    )
    return chains.acceptance.mean()


@torch.no_grad()
def _figure_draws(settings: Settings, fitted: Fitted, target: str) -> np.ndarray:
    """Draws of the q of a target's first seed, `[N, 2]`."""
    generator = torch_generator(settings.seed, "implicit.toys.figure", fitted.method, target)
    m = fitted.members.index((target, 0))
    q = constant_family({name: one.select([m]) for name, one in fitted.networks.items()})
    noise = torch.randn(1, settings.figure_draws, _dimensions(settings, fitted.method), generator=generator)
    return q.place(noise, torch.randn(*noise.shape[:2], LATENT, generator=generator))[0].numpy()


def _grids(points: int) -> dict[str, np.ndarray]:
    """Each target's density on the part of the plane that the lecture shows."""
    arrays = {}
    for name, target in TARGETS.items():
        axes = [torch.linspace(*ends, points) for ends in (target.horizontal, target.vertical)]
        density = LogDensities.of([name])(torch.cartesian_prod(*axes)[None]).exp()
        arrays[f"horizontal_{name}"], arrays[f"vertical_{name}"] = (axis.numpy() for axis in axes)
        arrays[f"density_{name}"] = density.view(points, points).numpy()
    return arrays
