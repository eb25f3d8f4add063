"""Measure training, the exact evidence and MAPA's tail sampling against other ways of doing the same.

Every contender of a group is run in turn, several times over, in one process, so that other load on the
machine falls on all of them alike; the median counts. Writes results/bench/speed.csv and libraries.csv with
their provenance, and a picture of each; and account.csv, what the time of the runs in results/ was spent on.
"""

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from benchmarks import account, available_cores, libraries
from elbogap import provenance, style, tables
from elbogap.data.synthetic import problem
from elbogap.densities import log_mean_exp, pairwise_gaussian_log_density
from elbogap.evaluation.quadrature import adapted_panels, log_evidence
from elbogap.inference.empirical import index_log_posterior
from elbogap.inference.families.proposal import Proposal
from elbogap.runtime import limit_torch_threads, peak_memory_mib, set_up, torch_generator

Contender = Callable[[], Tensor]


def evidence(points: int, seed: int) -> dict[str, Contender]:
    """log p(x) of the Spiral-Dots problem by quadrature and by draws from the prior."""
    spiral = problem("spiral_dots")
    likelihood = partial(pairwise_gaussian_log_density, variance=spiral.noise_variance)
    generator = torch_generator(seed, "bench evidence")

    def decoder(z: Tensor) -> Tensor:
        return torch.from_numpy(spiral.decoder(z[..., 0].numpy()))

    z = torch.randn(points, 1, dtype=torch.float64, generator=generator)
    noise = torch.randn(points, 2, dtype=torch.float64, generator=generator)
    x = decoder(z) + spiral.noise_variance**0.5 * noise

    def quadrature() -> Tensor:
        return log_evidence(decoder, likelihood, x, adapted_panels(decoder, likelihood, x))

    def trapezoid(nodes: int) -> Tensor:
        grid = torch.linspace(-8, 8, nodes, dtype=torch.float64)[:, None]
        log_prior = torch.distributions.Normal(0.0, 1.0).log_prob(grid[:, 0]) + torch.log(
            grid[1, 0] - grid[0, 0]
        )
        return blocked(x, lambda rows: torch.logsumexp(likelihood(rows, decoder(grid)) + log_prior, -1))

    def monte_carlo(draws: int) -> Tensor:
        prior = torch.randn(draws, 1, dtype=torch.float64, generator=generator)
        return blocked(x, lambda rows: log_mean_exp(likelihood(rows, decoder(prior)), -1))

    return {
        "adaptive quadrature": quadrature,
        "trapezoid, 1,000 nodes": partial(trapezoid, 1_000),
        "trapezoid, 8,000 nodes": partial(trapezoid, 8_000),
        "prior draws, 20,000": partial(monte_carlo, 20_000),
    }


def blocked(x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply a function to 500 rows at a time, to bound memory."""
    return torch.cat([function(rows) for rows in x.split(500)])


def tail_sampling(points: int, seed: int) -> dict[str, Contender]:
    """180 draws per point from MAPA's renormalised tail, for a batch of 100 points."""
    generator = torch_generator(seed, "bench tail")
    data = torch.randn(points, 2, generator=generator)
    log_q = index_log_posterior(pairwise_gaussian_log_density(data[:100], data, variance=0.01))
    head, samples = 20, 180

    def tail() -> Tensor:
        return log_q.scatter(-1, torch.topk(log_q, head, dim=-1).indices, -torch.inf)

    def gumbel() -> Tensor:
        uniform = torch.rand(samples, *log_q.shape, generator=generator)
        return (tail() - torch.log(-torch.log(uniform))).argmax(-1)

    return {
        "bisection (elbogap)": lambda: (
            Proposal.prepare(log_q, head, generator).choose(samples, generator).indices
        ),
        "torch.multinomial": lambda: torch.multinomial(
            tail().exp(), samples, replacement=True, generator=generator
        ),
        "Gumbel-max": gumbel,
    }


def measure(group: str, contenders: dict[str, Contender], rounds: int, reference: str | None) -> pd.DataFrame:
    """Median seconds of each contender over interleaved rounds, and its worst distance to the reference."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    values: dict[str, Tensor] = {}
    for _ in range(rounds):
        for name, contender in contenders.items():
            started = time.perf_counter()
            values[name] = contender()
            seconds[name].append(time.perf_counter() - started)
    rows = [
        {
            "group": group,
            "contender": name,
            "median_s": pd.Series(times).median(),
            "worst_error_nats": float((values[name] - values[reference]).abs().max())
            if reference
            else float("nan"),
        }
        for name, times in seconds.items()
    ]
    return pd.DataFrame(rows)


def picture(table: pd.DataFrame) -> style.Figure:
    """One panel per group, seconds on a logarithmic axis."""
    groups = table["group"].unique()
    figure = style.Figure(figsize=(style.PAGE, 1.4 * len(groups) + 0.6))
    axes = figure.subplots(len(groups), 1, squeeze=False)
    for axis, group in zip(axes[:, 0], groups, strict=True):
        rows = table[table["group"] == group].iloc[::-1]
        axis.barh(rows["contender"], rows["median_s"], color=style.BLUE)
        axis.set(xscale="log", xlabel="median time (s)", title=group)
    return figure


def speed(points: int, rounds: int, seed: int) -> pd.DataFrame:
    """The evidence, and MAPA's tail."""
    groups = [
        ("log p(x), Spiral-Dots", evidence(points, seed), "adaptive quadrature"),
        ("180 draws from MAPA's tail", tail_sampling(points, seed), None),
    ]
    return pd.concat([measure(name, each, rounds, reference) for name, each, reference in groups])


def main() -> None:
    """Run all groups, or those asked for, and write the tables, their provenance and the pictures."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--points", type=int, default=5_000, help="number of data points (5000)")
    parser.add_argument("--training-points", type=int, default=1_000, help="points to train on (1000)")
    parser.add_argument("--seconds", type=float, default=2, help="time of each trainer's turn (2)")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved repetitions (5)")
    cores = available_cores()
    parser.add_argument("--threads", type=int, default=cores, help=f"of torch ({cores}); libraries has 1")
    parser.add_argument("--seed", type=int, default=0)
    made = [path.parent for path in sorted(Path("results").glob("*/benchmarks"))]
    parser.add_argument("--runs", type=Path, nargs="*", default=made, metavar="RESULTS")
    parser.add_argument("--folder", type=Path, default=Path("results/bench"))
    names = ("speed", "libraries", "account")
    parser.add_argument("--only", nargs="*", choices=names, default=names, help="tables to make (all)")
    options = parser.parse_args()
    set_up(options.threads)
    limit_torch_threads(options.threads)
    turns = (options.training_points, options.seconds, options.rounds, options.seed)
    measures: dict[str, tuple[Callable[[], pd.DataFrame], Callable[[pd.DataFrame], style.Figure]]] = {
        "speed": (partial(speed, options.points, options.rounds, options.seed), picture),
        "libraries": (partial(libraries.measure, *turns), libraries.picture),
    }
    if options.runs:
        accounts = partial(map, account.measure, options.runs)
        measures["account"] = (lambda: pd.concat(accounts(), ignore_index=True), account.picture)
    for name in filter(measures.__contains__, options.only):
        make, draw = measures[name]
        one = make()
        print(one.to_string(index=False))
        record = provenance.collect(
            source=provenance.source("elbogap.papers.mapa.experiments.train"),
            command=["python", "-m", "benchmarks", *sys.argv[1:]],
            scale="bench",
            settings=vars(options) | {"folder": str(options.folder), "runs": [*map(str, options.runs)]},
            inputs={},
            run={"threads": options.threads, "peak_memory_mib": round(peak_memory_mib(), 1)},
        )
        with style.applied():
            draw_to = partial(style.save, draw(one), source=f"benchmarks.{name}")
            file = options.folder / name
            provenance.publish(
                record,
                {file.with_suffix(".csv"): partial(tables.save, one), file.with_suffix(".png"): draw_to},
            )


main()
