"""VCD against the standard KL on the plane (slide 59), alpha-VCD, and what holds of the divergence.

Settings and targets are those of the authors' code. Deviations: draws from a mixture q_0 are stratified as
there, but the score in the second term is that of the whole mixture, the mean of the component's over the
component given z_0; step sizes adapt to probabilities of acceptance, not to their outcomes; a standard
deviation that a step makes negative is one of that size (there, 1e-5); the mixture's weights have the same
steps under both methods (there, the KL's begin after 1,000 steps at the step size with which VCD ended); and
both methods start alike and share noise. The sweep over alpha and t is ours, with an unadapted leapfrog step,
so that t is the one thing that varies; the lecture only defines alpha-VCD. It averages many draws per step:
with the toys' single one, the step rule damps the skewed gradients that narrow q_0, whose deviation on the
Gaussian then settles at 0.33 under the KL, not at the optimum 0.312.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from elbogap.ensemble import Variational, fit, step_decay
from elbogap.inference.families.mixture import GaussianMixture
from elbogap.inference.hmc import Adaptation, Kernel
from elbogap.inference.objectives.contrastive import VCD
from elbogap.nn.mlp import MLP
from elbogap.papers.implicit.frames import keyed
from elbogap.papers.implicit.members import normal, streams
from elbogap.papers.implicit.names import OF_ALPHA, of_alpha
from elbogap.papers.implicit.settings import VcdChains, VcdFit
from elbogap.papers.implicit.settings import VcdToys as Settings
from elbogap.papers.implicit.targets import VCD_TARGETS, divergences, expanded_log_density
from elbogap.papers.implicit.vcd_of_gaussians import best_scale, forgotten, properties
from elbogap.runtime import Run
from elbogap.training import Work

SINGLE, MIXTURE = 1, 2  # components of q_0
CURVE_POINTS = 101


class Member(NamedTuple):
    """A fit to a target, with t iterations of its chains and the weight alpha of the refined terms."""

    target: str
    t: int
    alpha: float
    seed: int


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Fit everything and measure it.

    Lengths are in units of z, divergences in nats, by quadrature in float64.

    Returns:
        `toys`, by `target`, `components` of q_0, `method` (kl, vcd, or alpha_vcd with its `alpha`) and
        `seed`: `mean_1`, `mean_2`, `deviation_1`, `deviation_2` of q_0 as a whole, its `variance`, summed
        over both, `area`, the root of the determinant of its covariance, `kl_q_p` = KL(q_0 || p) and
        `kl_p_q` = KL(p || q_0).
        `alpha`, by `t`, `alpha` and `seed`: the geometric mean `deviation` of q_0 fitted to the correlated
        Gaussian, its optimum in closed form `deviation_closed`, which ignores rejections, their difference
        `excess`, and both divergences.
        `optima`: the closed form along `alpha` for each `t` and for t to infinity.
        `properties`, by `q0` (target, other), `mean` and `width` of q_0, `t` and `alpha`: KL(q_0 || p)
        `kl_start`, KL(q_t || p) `kl_end`, KL(q_t || q_0) `kl_end_start`, the alpha-VCD `divergence` from
        them, its `estimate` from chains with (1 - alpha) log p(x) added, `standard_error`, and `z`, how many
        of those they differ by.
        `densities`: for each panel, as `<target>_<components>_<what>`, axes `z1`, `z2` and densities over
        them of the `target` and of the first seed's fits, `kl`, `vcd` and `alpha<alpha>`.

    Raises:
        UserError: a grid that is too coarse, or all members diverged.
    """
    t = settings.chains.iterations
    tables: list[pd.DataFrame] = []
    densities: dict[str, np.ndarray] = {}
    all_ends, bananas = list(product(VCD_TARGETS, OF_ALPHA)), list(product(["banana"], OF_ALPHA))
    between = list(product(["banana"], settings.banana_alphas))
    fits = {SINGLE: (settings.factorised, all_ends + between), MIXTURE: (settings.mixture, bananas)}
    names = {alpha: method.name for alpha, method in OF_ALPHA.items()}
    for components, (length, fitted) in fits.items():
        members = [Member(target, t, alpha, seed) for target, alpha in fitted for seed in range(length.seeds)]
        q = _fitted(settings, run, length, components, settings.chains, members)
        keys = pd.DataFrame(members).drop(columns="t")
        keys.insert(1, "components", components)
        keys.insert(2, "method", keys["alpha"].map(names).fillna("alpha_vcd"))
        tables.append(keyed(_measured(q, members), **keys))
        densities |= _densities(q, members, components, settings.figure_points)
    checked = pd.DataFrame(properties(settings.properties, settings.chains.leapfrog_steps))
    return {
        "toys": pd.concat(tables, ignore_index=True),
        **_sweep(settings, run),
        "properties": keyed(checked),
        "densities": densities,
    }


def mixture(networks: Mapping[str, MLP]) -> GaussianMixture:
    """q(z) on the plane of constant networks: `logit` `[M, C]`, `mean` and `scale` `[M, 2 C]`."""
    nothing = next(iter(networks["mean"].parameters())).new_empty(1, 1, 0)
    logit, mean, scale = (networks[name](nothing)[:, 0] for name in ("logit", "mean", "scale"))
    return GaussianMixture(logit.log_softmax(-1), mean.unflatten(-1, (-1, 2)), scale.unflatten(-1, (-1, 2)))


def _fitted(
    settings: Settings,
    run: Run,
    length: VcdFit,
    components: int,
    chains: VcdChains,
    members: Sequence[Member],
) -> GaussianMixture:
    """q_0 of all members, in float64. Those of equal seeds start alike and share noise."""
    seeds, epochs, device = range(length.seeds), length.iterations // settings.round_steps, run.device
    objective = VCD(
        Kernel(
            max(member.t for member in members),
            chains.leapfrog_steps,
            chains.adapting,
            Adaptation(chains.acceptance, chains.rate),
        ),
        chains.step_size,
        alpha=torch.tensor([[member.alpha] for member in members], device=device),
        iterations=torch.tensor([member.t for member in members], device=device),
        forgetting=length.steps.forgetting,
    )
    log_joint = expanded_log_density([VCD_TARGETS[member.target] for member in members], device)
    keys = settings.seed, "implicit.vcd_toys"
    training = Variational(
        objective=objective,
        family=lambda networks, _: mixture(networks),
        log_joint=lambda *_: log_joint,
        specs=objective.noise(length.draws * components, dimensions=2),
        streams=streams(*keys, "noise", members=seeds, device=device),
        steps=settings.round_steps,
        state=objective.initial_state(len(members), device),
        seeds=torch.tensor([member.seed for member in members], device=device),
    )
    mean = normal([stream() for stream in streams(*keys, members=seeds)], 2 * components)
    start = {
        "mean": mean,
        "scale": torch.full_like(mean, settings.start_deviation),
        "logit": torch.zeros(len(seeds), components),
    }
    label = f"{components}-components-{members[0].target}-{len(members)}"
    found = fit(
        training,
        {name: MLP.constant(value[[member.seed for member in members]]) for name, value in start.items()},
        epochs=epochs,
        learning_rate=1.0,
        schedule=step_decay(length.steps.factor, length.reduced_every / length.iterations),
        record_epochs=epochs,
        damped={"mean": length.steps.mean, "scale": length.steps.deviation, "logit": length.steps.logit},
        state=training.state,
        work=Work.in_module(__name__, settings, run, label),
        device=device,
    )
    with torch.no_grad():
        q = mixture(found.networks)
        return GaussianMixture(q.log_weight.double(), q.mean.double(), q.scale.double())


def _selected(q: GaussianMixture, member: int) -> GaussianMixture:
    return GaussianMixture(q.log_weight[[member]], q.mean[[member]], q.scale[[member]])


def _measured(q: GaussianMixture, members: Sequence[Member]) -> pd.DataFrame:
    """Moments and divergences."""
    mean, covariance = (q.log_weight.exp().unsqueeze(-1) * q.mean).sum(1), q.covariance()
    variance = covariance.diagonal(dim1=1, dim2=2)
    whole = torch.stack([variance.sum(1), covariance.det().sqrt()], 1)
    names = ["mean_1", "mean_2", "deviation_1", "deviation_2", "variance", "area"]
    table = pd.DataFrame(torch.cat([mean, variance.sqrt(), whole], 1).numpy(), columns=names)
    table[["kl_q_p", "kl_p_q"]] = [
        divergences(_selected(q, i), VCD_TARGETS[member.target]) for i, member in enumerate(members)
    ]
    return table


def _sweep(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """`alpha` and `optima`."""
    sweep = settings.sweep
    (component,) = VCD_TARGETS["gaussian"].components
    variances = 1 + component.correlation, 1 - component.correlation  # along the target's axes
    fixed = settings.chains.model_copy(update={"step_size": sweep.step_size, "adapting": 0})
    members = [Member("gaussian", *rest) for rest in product(sweep.ts, sweep.alphas, range(sweep.seeds))]
    measured = _measured(_fitted(settings, run, sweep, SINGLE, fixed, members), members)

    def best(alpha: np.ndarray | float, t: float) -> np.ndarray:
        replaced = forgotten(sweep.step_size, settings.chains.leapfrog_steps, variances, t)
        return best_scale(alpha, variances, replaced)

    table = pd.DataFrame(members).drop(columns="target")
    table["deviation"] = np.sqrt(measured["area"])
    table["deviation_closed"] = [float(best(member.alpha, member.t)) for member in members]
    table["excess"] = table["deviation"] - table["deviation_closed"]
    alpha = np.linspace(0, 1, CURVE_POINTS)
    optima = [
        pd.DataFrame({"t": float(t), "alpha": alpha, "deviation": best(alpha, t)})
        for t in (*sweep.ts, math.inf)
    ]
    return {
        "alpha": keyed(table.join(measured[["kl_q_p", "kl_p_q"]])),
        "optima": keyed(pd.concat(optima, ignore_index=True)),
    }


def _densities(
    q: GaussianMixture, members: Sequence[Member], components: int, points: int
) -> dict[str, np.ndarray]:
    """Densities of the first seed's fits on each target's axes, with z_1 along the first."""
    arrays: dict[str, np.ndarray] = {}
    for i, member in enumerate(members):
        if member.seed == 0:
            z1, z2, target = VCD_TARGETS[member.target].on_grid(points)
            density = _selected(q, i).log_prob(torch.cartesian_prod(z1, z2)[None]).exp().view(points, points)
            shown = {"z1": z1, "z2": z2, "target": target, of_alpha(member.alpha): density}
            key = f"{member.target}_{components}"
            arrays |= {f"{key}_{name}": values.numpy() for name, values in shown.items()}
    return arrays
