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
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
import torch

from elbogap import provenance
from elbogap.ensemble import Variational, fit, stairs
from elbogap.inference.families.mixture import GaussianMixture
from elbogap.inference.hmc import Adaptation, Kernel
from elbogap.inference.objectives.contrastive import VCD
from elbogap.nn.mlp import MLP
from elbogap.papers.implicit.closed_form import best_deviation, forgotten
from elbogap.papers.implicit.families import mixture
from elbogap.papers.implicit.planar import TARGETS, Planar, divergences
from elbogap.papers.implicit.settings import VcdFit
from elbogap.papers.implicit.settings import VcdToys as Settings
from elbogap.papers.implicit.vcd_properties import properties
from elbogap.runtime import Run, torch_generator
from elbogap.training import Work

AXES: Mapping[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "gaussian": ((-2, 2), (-2, 2)),
    "mixture": ((-4.2, 3.2), (-4.2, 3.2)),
    "banana": ((-2, 2), (-6.5, 1)),
}
"""What the slide's panels show of z_1 and z_2."""

METHODS = {0.0: "kl", 1.0: "vcd"}
SINGLE, MIXTURE = 1, 2  # components of q_0
CURVE_POINTS = 101


@dataclass(frozen=True)
class Cell:
    """What is fitted.

    Attributes:
        target: by name.
        alpha: share of the refined terms.
        iterations: t.
    """

    target: str
    alpha: float
    iterations: int


@dataclass(frozen=True)
class Chain:
    """How chains begin and adapt."""

    step_size: float
    adapting: int


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
        OutOfTime: the time budget is spent.
    """
    t = settings.chains.iterations
    chain = Chain(settings.chains.step_size, settings.chains.adapting)
    cells = [Cell(target, alpha, t) for target in TARGETS for alpha in METHODS]
    between = [Cell("banana", alpha, t) for alpha in settings.banana_alphas]
    bananas = [Cell("banana", alpha, t) for alpha in METHODS]
    rows: list[dict[str, object]] = []
    densities: dict[str, np.ndarray] = {}
    for components, length, fitted in (
        (SINGLE, settings.factorised, cells + between),
        (MIXTURE, settings.mixture, bananas),
    ):
        members = list(product(fitted, range(length.seeds)))
        q = _fitted(settings, run, length, components, chain, members)
        rows += [
            {
                "document": "implicit",
                "target": cell.target,
                "components": components,
                "method": METHODS.get(cell.alpha, "alpha_vcd"),
                "alpha": cell.alpha,
                "seed": seed,
                **_measured(select(q, i), cell),
            }
            for i, (cell, seed) in enumerate(members)
        ]
        firsts = {cell: select(q, i) for i, (cell, seed) in enumerate(members) if seed == 0}
        densities |= _densities(firsts, components, settings.figure_points)
    tables = {"toys": pd.DataFrame(rows), **_sweep(settings, run)}
    checked = properties(settings.properties, settings.chains.leapfrog_steps)
    tables["properties"] = pd.DataFrame(checked).assign(document="implicit")
    ordered = {name: table[["document", *table.columns.drop("document")]] for name, table in tables.items()}
    return {**ordered, "densities": densities}


def _fitted(
    settings: Settings,
    run: Run,
    length: VcdFit,
    components: int,
    chain: Chain,
    members: Sequence[tuple[Cell, int]],
) -> GaussianMixture:
    """q_0 of all members, which differ by their cells and seeds."""
    seeds = sorted({seed for _, seed in members})
    epochs = length.iterations // settings.round_steps
    kernel = Kernel(
        max(cell.iterations for cell, _ in members),
        settings.chains.leapfrog_steps,
        chain.adapting,
        Adaptation(settings.chains.acceptance, settings.chains.rate),
    )
    objective = VCD(
        kernel,
        chain.step_size,
        alpha=torch.tensor([[cell.alpha] for cell, _ in members], device=run.device),
        iterations=torch.tensor([cell.iterations for cell, _ in members], device=run.device),
        forgetting=length.steps.forgetting,
    )
    targets = Planar.of([TARGETS[cell.target] for cell, _ in members], run.device)
    training = Variational(
        objective=objective,
        family=lambda networks, _: mixture(networks),
        log_joint=lambda *_: targets.log_density,
        specs=objective.noise(length.draws * components, dimensions=2),
        streams=[
            partial(torch_generator, settings.seed, "implicit.vcd_toys", "noise", seed, device=run.device)
            for seed in seeds
        ],
        steps=settings.round_steps,
        state=objective.initial_state(len(members), run.device),
        seeds=torch.tensor([seeds.index(seed) for _, seed in members], device=run.device),
    )
    label = f"{components}-components-{members[0][0].target}-{len(members)}"
    found = fit(
        training,
        _start(settings, components, [seed for _, seed in members]),
        epochs=epochs,
        learning_rate=1.0,
        schedule=stairs(length.steps.factor, length.reduced_every / length.iterations),
        record_epochs=epochs,
        damped={
            "mean": length.steps.mean,
            "deviation": length.steps.deviation,
            "logit": length.steps.logit,
        },
        state=training.state,
        work=Work.of(run, label, provenance.identity(__name__, settings, run), settings.checkpoint_seconds),
        device=run.device,
    )
    with torch.no_grad():
        return mixture(found.networks)


def _start(settings: Settings, components: int, seeds: Sequence[int]) -> dict[str, MLP]:
    """Means from N(0, I), equal weights and deviations; alike for equal seeds."""
    means = [
        torch.randn(2 * components, generator=torch_generator(settings.seed, "implicit.vcd_toys", seed))
        for seed in seeds
    ]
    deviations = torch.full((len(seeds), 2 * components), settings.start_deviation)
    values = {
        "mean": torch.stack(means),
        "deviation": deviations,
        "logit": torch.zeros(len(seeds), components),
    }
    return {name: MLP.constant(value) for name, value in values.items()}


def select(q: GaussianMixture, member: int) -> GaussianMixture:
    """One approximation, in float64."""
    log_weight, mean, scale = (part[[member]].double() for part in (q.log_weight, q.mean, q.scale))
    return GaussianMixture(log_weight, mean, scale)


def _measured(q: GaussianMixture, cell: Cell) -> dict[str, float]:
    covariance = q.covariance()[0]
    mean = (q.log_weight.exp().unsqueeze(-1) * q.mean).sum(1)[0].tolist()
    deviation = covariance.diagonal().sqrt().tolist()
    kl_q_p, kl_p_q = divergences(q, TARGETS[cell.target])
    return {
        "mean_1": mean[0],
        "mean_2": mean[1],
        "deviation_1": deviation[0],
        "deviation_2": deviation[1],
        "variance": float(covariance.trace()),
        "area": float(covariance.det().sqrt()),
        "kl_q_p": kl_q_p,
        "kl_p_q": kl_p_q,
    }


def _sweep(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """`alpha` and `optima`."""
    sweep = settings.sweep
    (component,) = TARGETS["gaussian"].components
    variances = 1 + component.correlation, 1 - component.correlation  # along the target's axes
    cells = [Cell("gaussian", alpha, t) for t, alpha in product(sweep.ts, sweep.alphas)]
    members = list(product(cells, range(sweep.seeds)))
    q = _fitted(settings, run, sweep, SINGLE, Chain(sweep.step_size, 0), members)

    def best(alpha: np.ndarray | float, t: float) -> np.ndarray:
        replaced = forgotten(sweep.step_size, settings.chains.leapfrog_steps, variances, t)
        return best_deviation(alpha, variances, replaced)

    rows = []
    for i, (cell, seed) in enumerate(members):
        measured = _measured(select(q, i), cell)
        deviation = math.sqrt(measured["area"])
        closed = float(best(cell.alpha, cell.iterations))
        rows.append(
            {
                "t": cell.iterations,
                "alpha": cell.alpha,
                "seed": seed,
                "deviation": deviation,
                "deviation_closed": closed,
                "excess": deviation - closed,
                "kl_q_p": measured["kl_q_p"],
                "kl_p_q": measured["kl_p_q"],
            }
        )
    alpha = np.linspace(0, 1, CURVE_POINTS)
    optima = [
        pd.DataFrame({"t": float(t), "alpha": alpha, "deviation": best(alpha, t)})
        for t in (*sweep.ts, math.inf)
    ]
    return {
        "alpha": pd.DataFrame(rows).assign(document="implicit"),
        "optima": pd.concat(optima, ignore_index=True).assign(document="implicit"),
    }


def _densities(fits: Mapping[Cell, GaussianMixture], components: int, points: int) -> dict[str, np.ndarray]:
    """Densities on each target's axes, `[points, points]` with z_1 along the first."""
    arrays: dict[str, np.ndarray] = {}
    for cell, q in fits.items():
        key = f"{cell.target}_{components}"
        z1, z2 = (torch.linspace(*ends, points, dtype=torch.float64) for ends in AXES[cell.target])
        z = torch.cartesian_prod(z1, z2)[None]
        p = Planar.of([TARGETS[cell.target]], "cpu", torch.float64)
        shown = {
            "target": p.log_density(z),
            METHODS.get(cell.alpha, f"alpha{cell.alpha:g}"): q.log_prob(z),
        }
        arrays |= {f"{key}_z1": z1.numpy(), f"{key}_z2": z2.numpy()}
        arrays |= {f"{key}_{name}": log.exp().view(points, points).numpy() for name, log in shown.items()}
    return arrays
