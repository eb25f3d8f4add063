"""Model-steps per second of training many small models: a plain loop, the ensemble core, vmap and JAX.

All contenders make the same steps of VAE (S = 1), IWAE (S = 50) and MAPA (S = 50, k = 5) on networks with
three hidden layers of 50 units and minibatches of 100: gradients of the same objective, Adam, own minibatches
and noise. The plain loop is what one would write with `torch.nn` and `torch.optim` as they come, one model
after another; the ensemble core takes its members in chunks of the size that the laptop scale uses.
"""

import importlib.util
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from elbogap import style
from elbogap.densities import (
    gaussian_kl_to_standard,
    gaussian_log_density,
    isotropic_gaussian_log_density,
    pairwise_gaussian_log_density,
)
from elbogap.densities import standard_gaussian_log_density as log_prior
from elbogap.ensemble import Objective, fit, in_chunks, minibatches
from elbogap.inference.bounds import iwae
from elbogap.inference.empirical import index_log_posterior
from elbogap.inference.families.proposal import Proposal
from elbogap.nn.mlp import MLP, Activation
from elbogap.papers.mapa.methods import Cell
from elbogap.papers.mapa.training import TrainingSets, encoder_outputs, of_cell
from elbogap.runtime import torch_generator
from elbogap.training import Work

HIDDEN, BATCH, VARIANCE, RATE = [50, 50, 50], 100, 0.01, 1e-3
ACTIVATION: Activation = "leaky_relu"
ROWS = 30_000
CELLS = {
    "VAE, S = 1": Cell.parse("vae"),
    "IWAE, S = 50": Cell.parse("iwae_plain_S50"),
    "MAPA, S = 50": Cell.parse("mapa_S50_k10"),
}

Steps = Callable[[int], int]
"""Makes about so many steps of every model; returns how many."""


@dataclass(frozen=True)
class Contender:
    """Someone who trains.

    Attributes:
        name: shown in the table.
        members: models trained at a time.
        make: builds the trainer of a cell on a data set `[N, 2]`.
    """

    name: str
    members: int
    make: Callable[[Cell, Tensor, int], Steps]


def contenders() -> list[Contender]:
    """All that can run here; JAX only where it is installed."""
    found = [Contender("plain loop", 1, _plain)]
    found += [Contender(f"ensemble, M = {m}", m, _ensemble) for m in (1, 10, 100)]
    found += [Contender(f"torch.func.vmap, M = {m}", m, _vmap) for m in (1, 10, 100)]
    if importlib.util.find_spec("jax"):
        found += [Contender(f"JAX jit + vmap, M = {m}", m, _jax) for m in (1, 10, 100)]
    return found


def data_set(points: int, seed: int) -> Tensor:
    """Points around a circle, `[N, 2]`."""
    generator = torch_generator(seed, "bench training")
    angle = 2 * math.pi * torch.rand(points, generator=generator)
    circle = torch.stack([angle.cos(), angle.sin()], -1)
    return circle + VARIANCE**0.5 * torch.randn(points, 2, generator=generator)


def measure(points: int, seconds: float, rounds: int, seed: int) -> pd.DataFrame:
    """One row per objective and contender: medians over rounds in which all contenders take turns.

    Columns: `model_steps_per_s`, `ratio` to the plain loop of the same round, `flops_share`, the networks'
    floating-point operations over the largest matrix-multiply rate measured in the same run.
    """
    x, peak = data_set(points, seed), max(_matrix_multiply_rate() for _ in range(3))
    rows = []
    for objective, cell in CELLS.items():
        trainers = {one: one.make(cell, x, one.members) for one in contenders()}
        lengths = {one: _steps_in(trainer, seconds) for one, trainer in trainers.items()}
        rates: dict[Contender, list[float]] = {one: [] for one in trainers}
        for _ in range(rounds):
            for one, trainer in trainers.items():
                started = time.perf_counter()
                steps = trainer(lengths[one])
                rates[one].append(one.members * steps / (time.perf_counter() - started))
        plain = pd.Series(rates[next(iter(trainers))])
        for one, values in rates.items():
            rate = pd.Series(values)
            rows.append(
                {
                    "objective": objective,
                    "contender": one.name,
                    "members": one.members,
                    "model_steps_per_s": rate.median(),
                    "ratio": (rate / plain).median(),
                    "flops_share": rate.median() * _operations(cell, points) / peak,
                }
            )
    return pd.DataFrame(rows)


def picture(table: pd.DataFrame) -> style.Figure:
    """Rates by objective, one bar per contender, with the ratio to the plain loop beside it."""
    objectives = table["objective"].unique()
    figure = style.Figure(figsize=(style.PAGE, 2.6))
    axes = figure.subplots(1, len(objectives), sharey=True)
    for axis, objective in zip(axes, objectives, strict=True):
        rows = table[table["objective"] == objective].iloc[::-1]
        colours = [style.BLUE if name.startswith("ensemble") else style.GREY for name in rows["contender"]]
        bars = axis.barh(rows["contender"], rows["model_steps_per_s"], color=colours)
        axis.bar_label(bars, [f"×{ratio:.2g}" for ratio in rows["ratio"]], padding=2, fontsize=7)
        axis.set(xlabel="model-steps per second", title=objective)
        axis.margins(x=0.2)
    return figure


def _steps_in(trainer: Steps, seconds: float) -> int:
    """Steps that take about that long, after a warm-up of two."""
    trainer(2)
    started = time.perf_counter()
    steps = trainer(3)
    return max(3, math.ceil(steps * seconds / (time.perf_counter() - started)))


def _matrix_multiply_rate(size: int = 2048) -> float:
    a = torch.randn(size, size)
    started = time.perf_counter()
    a @ a
    return 2 * size**3 / (time.perf_counter() - started)


def _operations(cell: Cell, points: int) -> float:
    """Floating-point operations of one step of one model: forward, and twice as many backward."""
    hidden = sum(a * b for a, b in pairwise(HIDDEN))
    decoder, encoder = HIDDEN[0] + hidden + 2 * HIDDEN[-1], 2 * HIDDEN[0] + hidden + 2 * HIDDEN[-1]
    if cell.method.posterior:
        return 6 * BATCH * ((cell.samples or 1) * decoder + encoder)
    return 6 * _rows(cell, points) * (decoder + encoder)


def _rows(cell: Cell, points: int) -> int:
    """Rows of a step's larger network; for MAPA the distinct points, about as many as if drawn at random."""
    rows = BATCH * (cell.samples or 1)
    return rows if cell.method.posterior else round(points * (1 - (1 - 1 / points) ** rows))


def _networks(cell: Cell, members: int) -> dict[str, MLP]:
    generator = torch_generator(0, "bench weights")
    return {
        "decoder": MLP(members, [1, *HIDDEN, 2], ACTIVATION, generator),
        "encoder": MLP(members, [2, *HIDDEN, encoder_outputs(cell)], ACTIVATION, generator),
    }


def _proposal(cell: Cell, x: Tensor) -> Proposal:
    log_q = index_log_posterior(pairwise_gaussian_log_density(x.double(), x.double(), VARIANCE))
    return Proposal.prepare(log_q, cell.terms(len(x))[0], torch_generator(0, "bench ties"))


def _ensemble(cell: Cell, x: Tensor, members: int) -> Steps:
    proposals = [] if cell.method.posterior else [_proposal(cell, x)]
    networks = _networks(cell, members)

    def objective(chunk: Sequence[int]) -> Objective:
        streams = [partial(torch_generator, 0, member) for member in chunk]
        sets = TrainingSets(x.expand(len(chunk), -1, -1), VARIANCE, BATCH, streams)
        return of_cell(cell, sets, proposals * len(chunk))

    def train(epochs: int, chunk: Sequence[int]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            fit(
                objective(chunk), {name: network.select(chunk) for name, network in networks.items()},
                epochs=epochs, learning_rate=RATE, record_epochs=epochs,
                work=Work("bench", Path(folder) / "c.pt", "", math.inf),
            )  # fmt: skip

    def run(steps: int) -> int:
        per_epoch = len(x) // BATCH
        epochs = max(1, round(steps / per_epoch))
        in_chunks(range(members), max(1, ROWS // _rows(cell, len(x))), partial(train, epochs))
        return epochs * per_epoch

    return run


def _sequential(inputs: int, outputs: int) -> nn.Sequential:
    sizes = [inputs, *HIDDEN]
    layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.LeakyReLU())]
    return nn.Sequential(*layers, nn.Linear(HIDDEN[-1], outputs))


def _plain(cell: Cell, x: Tensor, members: int) -> Steps:
    decoder, encoder = _sequential(1, 2), _sequential(2, encoder_outputs(cell))
    optimiser = torch.optim.Adam([*decoder.parameters(), *encoder.parameters()], lr=RATE)
    generator = torch_generator(0, "bench plain")
    if not cell.method.posterior:
        proposal = _proposal(cell, x)

    def bound(rows: Tensor) -> Tensor:
        batch = x[rows]
        if cell.method.posterior:
            mean, log_variance = encoder(batch).chunk(2, -1)
            noise = torch.randn(cell.samples or 1, BATCH, 1, generator=generator)
            z = mean + torch.exp(0.5 * log_variance) * noise
            log_likelihood = isotropic_gaussian_log_density(batch, decoder(z), VARIANCE)
            if cell.method.name == "vae":
                return (log_likelihood.mean(0) - gaussian_kl_to_standard(mean, log_variance)).mean()
            log_w = log_likelihood + log_prior(z) - gaussian_log_density(z, mean, log_variance)
            return iwae(log_w).mean()
        terms = proposal[rows].choose(cell.terms(len(x))[1], generator)
        unique, place = torch.unique(terms.indices, return_inverse=True)
        means = decoder(encoder(x[unique]))[place]
        log_likelihood = isotropic_gaussian_log_density(batch[:, None], means, VARIANCE)
        return (log_likelihood + terms.log_weights).logsumexp(-1).mean() - math.log(len(x))

    def batches() -> Iterator[Tensor]:
        while True:
            yield from minibatches(len(x), BATCH, generator)

    stream = batches()

    def run(steps: int) -> int:
        for _ in range(steps):
            optimiser.zero_grad()
            (-bound(next(stream))).backward()
            optimiser.step()
        return steps

    return run


def _inputs(cell: Cell, x: Tensor, members: int) -> Callable[[], dict[str, Tensor]]:
    """Batches `[M, ...]` of the ensemble's objectives, all N points decoded: what vmap and JAX can use."""
    generator = torch_generator(0, "bench inputs")
    if not cell.method.posterior:
        proposal = _proposal(cell, x)

    def batch() -> dict[str, Tensor]:
        rows = torch.stack([minibatches(len(x), BATCH, generator)[0] for _ in range(members)])
        if cell.method.posterior:
            noise = torch.randn(members, cell.samples or 1, BATCH, 1, generator=generator)
            return {"x": x[rows], "normal": noise}
        terms = [proposal[row].choose(cell.terms(len(x))[1], generator) for row in rows]
        return {
            "x": x[rows],
            "terms": torch.stack([one.indices for one in terms]),
            "log_weights": torch.stack([one.log_weights.float() for one in terms]),
        }

    return batch


def _vmap(cell: Cell, x: Tensor, members: int) -> Steps:
    """The objective of a single model, differentiated and batched by `torch.func`."""
    objective: Any = of_cell(cell, TrainingSets(x[None], VARIANCE, BATCH, []))
    ensembles = {
        "decoder": [_sequential(1, 2) for _ in range(members)],
        "encoder": [_sequential(2, encoder_outputs(cell)) for _ in range(members)],
    }
    parameters = {
        f"{name}.{key}": value
        for name, networks in ensembles.items()
        for key, value in torch.func.stack_module_state(networks)[0].items()
    }
    optimiser = torch.optim.Adam(parameters.values(), lr=RATE, fused=True)
    inputs = _inputs(cell, x, members)

    def loss(parameters: dict[str, Tensor], batch: dict[str, Tensor]) -> Tensor:
        batch = {name: value[None] for name, value in batch.items()}
        if not cell.method.posterior:
            batch["points"] = x[None]
        functions = {
            name: partial(_call, network, {
                key.removeprefix(f"{name}."): value
                for key, value in parameters.items() if key.startswith(f"{name}.")
            })
            for name, (network, *_) in ensembles.items()
        }  # fmt: skip
        return -objective.value(functions, batch)[0]

    gradient = torch.func.vmap(torch.func.grad(loss))

    def run(steps: int) -> int:
        for _ in range(steps):
            found = gradient({name: value.detach() for name, value in parameters.items()}, inputs())
            for name, value in parameters.items():
                value.grad = found[name]
            optimiser.step()
        return steps

    return run


def _call(network: nn.Module, parameters: dict[str, Tensor], inputs: Tensor) -> Tensor:
    return torch.func.functional_call(network, parameters, (inputs,))


def _jax(cell: Cell, x: Tensor, members: int) -> Steps:
    """The same objectives in JAX, one compiled step of all members with a hand-written Adam."""
    import jax
    from jax import numpy as jnp

    networks = _networks(cell, members)
    parameters = {
        name: [
            (jnp.asarray(weight.detach().numpy()), jnp.asarray(bias.detach().numpy()))
            for weight, bias in zip(network.weights, network.biases, strict=True)
        ]
        for name, network in networks.items()
    }
    points = jnp.asarray(x.numpy())

    def apply(layers: list[Any], values: Any) -> Any:
        for weight, bias in layers[:-1]:
            values = jax.nn.leaky_relu(values @ weight + bias[0])
        weight, bias = layers[-1]
        return values @ weight + bias[0]

    def log_normal(values: Any, mean: Any, log_variance: Any) -> Any:
        square = (values - mean) ** 2 * jnp.exp(-log_variance)
        return -0.5 * (math.log(2 * math.pi) + log_variance + square).sum(-1)

    def loss(parameters: dict[str, Any], batch: dict[str, Any]) -> Any:
        spread = math.log(VARIANCE)
        if not cell.method.posterior:
            means = apply(parameters["decoder"], apply(parameters["encoder"], points))[batch["terms"]]
            log_likelihood = log_normal(batch["x"][:, None], means, spread)
            bound = jax.nn.logsumexp(log_likelihood + batch["log_weights"], -1)
            return -bound.mean() + math.log(len(x))
        outputs = apply(parameters["encoder"], batch["x"])
        mean, log_variance = outputs[:, :1], outputs[:, 1:]
        z = mean + jnp.exp(0.5 * log_variance) * batch["normal"]
        log_likelihood = log_normal(batch["x"], apply(parameters["decoder"], z), spread)
        if cell.method.name == "vae":
            divergence = 0.5 * (mean**2 + jnp.exp(log_variance) - log_variance - 1).sum(-1)
            return -(log_likelihood.mean(0) - divergence).mean()
        log_w = log_likelihood + log_normal(z, 0.0, 0.0) - log_normal(z, mean, log_variance)
        return -(jax.nn.logsumexp(log_w, 0) - math.log(len(log_w))).mean()

    @jax.jit
    def step(state: Any, batch: Any) -> Any:
        parameters, first, second, t = state
        gradient = jax.vmap(jax.grad(loss))(parameters, batch)
        tree = jax.tree_util.tree_map
        t = t + 1
        first = tree(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
        second = tree(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradient)
        size = RATE * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        parameters = tree(lambda p, m, v: p - size * m / (jnp.sqrt(v) + 1e-8), parameters, first, second)
        return parameters, first, second, t

    zeros = jax.tree_util.tree_map(jnp.zeros_like, parameters)
    state = [(parameters, zeros, zeros, jnp.zeros(()))]
    inputs = _inputs(cell, x, members)

    def run(steps: int) -> int:
        for _ in range(steps):
            batch = {name: jnp.asarray(value.numpy()) for name, value in inputs().items()}
            state[0] = step(state[0], batch)
        jax.block_until_ready(state[0])
        return steps

    return run
