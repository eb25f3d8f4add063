"""Training speed beside what one would take instead: a plain torch loop, pythae, and JAX with optax.

All contenders begin with the same weights and make the same steps: shuffled minibatches of the same data in
memory, draws of their own, the same bound, Adam, float32. Two kinds of networks, with the paper scale's
settings: those of document air on binary images, a model at a time; and those of document mapa on points in
the plane, several models with data orders and noise of their own. The losses before the first step must
agree.

XLA's flags do not keep it to one thread, so the measurement runs in a process of its own that is pinned to a
core. It has the library's settings of the memory allocator, which spare all contenders page faults.
"""

import importlib.util
import math
import multiprocessing
import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional

from benchmarks import available_cores
from elbogap import style
from elbogap.ensemble import Objective, fit, in_chunks, members_at_once
from elbogap.nn.mlp import MLP
from elbogap.papers.air.methods import PLAIN, Method
from elbogap.papers.air.training import Training
from elbogap.papers.mapa.methods import Cell
from elbogap.papers.mapa.training import TrainingSets, of_cell
from elbogap.runtime import limit_torch_threads, set_up, torch_generator
from elbogap.scales import load
from elbogap.training import Work

OURS = "elbogap"
MEMBERS = 16
RATE = 1e-3
LOSSES = 40
"""Minibatches of the comparison of losses."""


@dataclass(frozen=True)
class Problem:
    """What all contenders train.

    Attributes:
        data: `images`, with a Bernoulli decoder, or `points`, with a Gaussian one of variance 1.
        k: importance samples; 1 is the ELBO.
        members: models, each with minibatches and noise of its own.
        x: the data, `[N, D]`, a whole number of minibatches.
        settings: of the document's training at paper scale.
        sizes: widths of all layers by network.
    """

    data: str
    k: int
    members: int
    x: Tensor
    settings: Any
    sizes: Mapping[str, Sequence[int]]

    @property
    def model(self) -> str:
        """What is trained, as the table shows it."""
        return f"{'VAE' if self.k == 1 else 'IWAE'} on {self.data}"

    @property
    def activation(self) -> str:
        """Of the hidden layers."""
        return str((self.settings if self.data == "images" else self.settings.schedule).activation)

    @property
    def steps(self) -> int:
        """Steps per pass over the data."""
        return len(self.x) // self.settings.batch

    def networks(self) -> dict[str, MLP]:
        """The initial networks of all members."""
        start = "xavier" if self.data == "images" else "pytorch"
        return {
            name: MLP.independent(
                widths,
                self.activation,
                [torch_generator(0, "bench", name, member) for member in range(self.members)],
                start,
            )
            for name, widths in self.sizes.items()
        }

    def objective(self, members: Sequence[int]) -> Objective:
        """The document's own objective for some of the members."""
        if self.data == "images":
            settings = self.settings.model_copy(update={"round_steps": self.steps})
            cell = settings.cells["k1"].model_copy(update={"k": self.k})
            plain, strength = Method(PLAIN, 0.0, (0.0,)), 0.0
            together = [(member, strength) for member in members]
            return Training(settings, "binarized_mnist", cell, plain, together).objective(self.x)
        streams = [partial(torch_generator, 0, "bench", member) for member in members]
        sets = TrainingSets(self.x.expand(len(members), -1, -1), 1.0, self.settings.batch, streams)
        return of_cell(Cell.parse("vae" if self.k == 1 else f"iwae_plain_S{self.k}"), sets)


Losses = Callable[[int], np.ndarray]
"""Losses before the first step on at least so many minibatches, means over the members."""


@dataclass(frozen=True)
class Trainer:
    """A contender at work.

    Attributes:
        run: trains every model for so many passes over the data.
        parameters: their number in all models.
        losses: by what they are: `bound`, or sum_s w~_s log w_s, which is above it and has its gradient.
    """

    run: Callable[[int], None]
    parameters: int
    losses: Mapping[str, Losses]


@dataclass(frozen=True)
class Contender:
    """Someone who trains: the name in the table, the packages that it takes, and how its trainer is made."""

    name: str
    packages: tuple[str, ...]
    make: Callable[[Problem], Trainer]
    for_many: bool = False  # whether it differs from another contender only where there are several members

    @property
    def missing(self) -> list[str]:
        """Packages that are not installed."""
        return [name for name in self.packages if not importlib.util.find_spec(name)]

    @property
    def version(self) -> str:
        """Of its packages, as far as they are installed."""
        installed = [name for name in self.packages if name not in self.missing]
        return ", ".join(f"{name} {metadata.version(name)}" for name in installed)


def contenders() -> list[Contender]:
    """All, in the order of their turns; ours is the first."""
    return [
        Contender(OURS, ("torch",), _ours),
        Contender("torch, plain loop", ("torch",), _plain),
        Contender("pythae, plain loop", ("pythae",), _pythae),
        Contender("JAX", ("jax", "optax"), partial(_jax, together=False)),
        Contender("JAX, vmap over models", ("jax", "optax"), partial(_jax, together=True), for_many=True),
    ]


def problems(points: int, seed: int) -> list[Problem]:
    """VAE, IWAE with k = 5 and k = 50, of images and of points."""
    config = load(Path(__file__).parents[1] / "config" / "paper.yaml")
    air, mapa = config.air.train, config.mapa.train
    layers = air.architectures["binarized_mnist"]
    images = {
        "encoder": [784, *layers.encoder, 2 * air.latent],
        "decoder": [air.latent, *layers.decoder, 784],
    }
    plane = {"encoder": [2, *mapa.hidden, 2], "decoder": [1, *mapa.hidden, 2]}
    generator = torch_generator(seed, "bench images")
    frequencies = 0.3 * torch.rand(784, generator=generator)
    x = (torch.rand(points, 784, generator=generator) < frequencies).float()
    angle = 2 * math.pi * torch.rand(points, generator=generator)
    circle = 10 * torch.stack([angle.cos(), angle.sin()], -1) + torch.randn(points, 2, generator=generator)

    def whole(x: Tensor, batch: int) -> Tensor:
        return x[: len(x) // batch * batch]

    return [Problem("images", k, 1, whole(x, air.batch), air, images) for k in (1, 5, 50)] + [
        Problem("points", k, MEMBERS, whole(circle, mapa.batch), mapa, plane) for k in (1, 5, 50)
    ]


def measure(points: int, seconds: float, rounds: int, seed: int) -> pd.DataFrame:
    """A row per model and contender, also for those that are not installed; see :func:`_measure`."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, _one_core) as pool:
        return pool.submit(_measure, points, seconds, rounds, seed).result()


def agree(losses: Mapping[str, np.ndarray]) -> None:
    """Raise an AssertionError unless the means of all contenders' losses are within 5 standard errors."""
    for (first, a), (second, b) in combinations(losses.items(), 2):
        distance, error = (
            abs(a.mean() - b.mean()),
            math.hypot(*(v.std(ddof=1) / len(v) ** 0.5 for v in (a, b))),
        )
        if not distance <= 5 * error:
            raise AssertionError(
                f"{first} and {second} do not train the same: first losses {a.mean():.4f} and {b.mean():.4f} "
                f"nats, standard error {error:.4f}"
            )


def picture(table: pd.DataFrame) -> style.Figure:
    """Speeds relative to ours, with their quartiles; contenders that are not installed have no bar."""
    groups = list(table.groupby(["model", "k"], sort=False))
    figure = style.Figure(figsize=(style.PAGE, 1.5 * len(groups)))
    for axis, ((model, k), rows) in zip(figure.subplots(len(groups), 1, sharex=True), groups, strict=True):
        rows = rows.iloc[::-1]
        whiskers = [rows["ratio"] - rows["ratio_low"], rows["ratio_high"] - rows["ratio"]]
        colours = [style.BLUE if name == OURS else style.GREY for name in rows["contender"]]
        axis.barh(rows["contender"], rows["ratio"], xerr=whiskers, color=colours)
        axis.set(title=f"{model}, k = {k}, {rows['members'].iloc[0]} at a time")
    axis.set(xlabel="model-steps per second, relative to elbogap")
    return figure


def _one_core() -> None:
    """Keep this process to one core, where the system can, and torch to one thread."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    set_up(1)
    limit_torch_threads(1)


def _measure(points: int, seconds: float, rounds: int, seed: int) -> pd.DataFrame:
    """Medians over rounds in which all contenders take turns.

    Columns: `model_steps_per_s`; `ratio` to ours in the same round, with quartiles `ratio_low` and
    `ratio_high`; `ratio_cpu`, the same per second of CPU time, on which other load has less influence and
    waits for the disk have none; `warm_up_s`, the time to make the trainer, and by which its first pass over
    the data took longer than its second one; `cores` that the process could use; `reason` why a contender is
    missing.
    """
    rows = []
    for problem in problems(points, seed):
        able = [one for one in contenders() if problem.members > 1 or not one.for_many]
        trainers: dict[Contender, Trainer] = {}
        warm_up: dict[Contender, float] = {}
        lengths: dict[Contender, int] = {}
        for one in able:
            if not one.missing:
                for package in one.packages:
                    importlib.import_module(package)
                started = time.perf_counter()
                trainers[one] = one.make(problem)
                warm_up[one] = time.perf_counter() - started
        parameters = {trainer.parameters for trainer in trainers.values()}
        assert len(parameters) == 1, f"numbers of parameters differ: {parameters}"
        for kind in ("bound", "weighted"):
            agree({o.name: t.losses[kind](LOSSES) for o, t in trainers.items() if kind in t.losses})
        for one, trainer in trainers.items():
            first, second = (_timed(trainer, 1) for _ in range(2))
            warm_up[one] += max(0.0, first - second)
            lengths[one] = max(1, math.ceil(seconds / second))
        rates: dict[Contender, list[float]] = {one: [] for one in trainers}
        of_cpu: dict[Contender, list[float]] = {one: [] for one in trainers}
        for _ in range(rounds):
            for one, trainer in trainers.items():
                steps = problem.members * problem.steps * lengths[one]
                started = time.process_time()
                rates[one].append(steps / _timed(trainer, lengths[one]))
                of_cpu[one].append(steps / (time.process_time() - started))
        for one in able:
            rate = pd.Series(rates.get(one, []), dtype=float)
            ratio = rate / pd.Series(rates[able[0]])
            rows.append(
                {
                    "contender": one.name,
                    "model": problem.model,
                    "members": problem.members,
                    "k": problem.k,
                    "model_steps_per_s": rate.median(),
                    "ratio": ratio.median(),
                    "ratio_low": ratio.quantile(0.25),
                    "ratio_high": ratio.quantile(0.75),
                    "ratio_cpu": (pd.Series(of_cpu.get(one, []), dtype=float) / of_cpu[able[0]]).median(),
                    "warm_up_s": warm_up.get(one),
                    "reason": f"not installed: {', '.join(one.missing)}" if one.missing else "",
                    "version": one.version,
                    "device": _processor(),
                    "cores": available_cores(),
                }
            )
    return pd.DataFrame(rows)


def _timed(trainer: Trainer, passes: int) -> float:
    started = time.perf_counter()
    trainer.run(passes)
    return time.perf_counter() - started


def _processor() -> str:
    """The name of the CPU."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _ours(problem: Problem) -> Trainer:
    """The ensemble trainer as the experiments call it, in chunks of their size, with its checkpoint."""
    networks = problem.networks()
    size = members_at_once(problem.settings.rows, problem.settings.batch * problem.k, "cpu")

    def train(passes: int, members: Sequence[int]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            fit(
                problem.objective(members),
                {name: network.select(members) for name, network in networks.items()},
                epochs=passes,
                learning_rate=RATE,
                final_fraction=1.0,
                record_epochs=passes,
                work=Work("bench", Path(folder) / "c.pt", "", math.inf),
            )

    @torch.no_grad()
    def losses(count: int) -> np.ndarray:
        objective, found = problem.objective(range(problem.members)), []
        for epoch in range(math.ceil(count / problem.steps)):
            prepared = objective.prepare(epoch)
            for step in range(problem.steps):
                batch = {name: value[:, step] for name, value in prepared.items()}
                found.append(-objective.value(networks, batch).mean().item())
        return np.array(found)

    return Trainer(
        lambda passes: in_chunks(range(problem.members), size, partial(train, passes)),
        sum(values.numel() for network in networks.values() for values in network.parameters()),
        {"bound": losses},
    )


def _sequential(network: MLP, member: int) -> nn.Sequential:
    """One member as torch's own layers."""
    activation = {"relu": nn.ReLU, "tanh": nn.Tanh}[network.activation]
    layers: list[nn.Module] = []
    for weight, bias in zip(network.weights, network.biases, strict=True):
        layer = nn.Linear(*weight.shape[1:])
        layer.load_state_dict({"weight": weight[member].detach().mT, "bias": bias[member, 0].detach()})
        layers += [layer, activation()]
    return nn.Sequential(*layers[:-1])


class _VAE(nn.Module):
    """As tutorials write it."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, k: int, binary: bool) -> None:
        super().__init__()
        self.encoder, self.decoder, self.k, self.binary = encoder, decoder, k, binary

    def forward(self, x: Tensor, weighted: bool = False) -> Tensor:
        """Minus the bound, or minus sum_s w~_s log w_s, mean over the minibatch."""
        mean, log_variance = self.encoder(x).chunk(2, -1)
        q, prior = Normal(mean, torch.exp(0.5 * log_variance)), Normal(0.0, 1.0)
        if self.k == 1:
            return -(self._log_likelihood(x, q.rsample()) - kl_divergence(q, prior).sum(-1)).mean()
        z = q.rsample((self.k,))
        log_w = self._log_likelihood(x, z) + (prior.log_prob(z) - q.log_prob(z)).sum(-1)
        if weighted:
            return -(log_w.softmax(0) * log_w).sum(0).mean()
        return -(log_w.logsumexp(0) - math.log(self.k)).mean()

    def _log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        outputs = self.decoder(z)
        if self.binary:
            x = x.expand_as(outputs)
            return -functional.binary_cross_entropy_with_logits(outputs, x, reduction="none").sum(-1)
        return Normal(outputs, 1.0).log_prob(x).sum(-1)


Loss = Callable[[Any, Tensor], Tensor]


def _loop(problem: Problem, models: Sequence[nn.Module], loss: Loss, losses: Mapping[str, Loss]) -> Trainer:
    """Train torch models one after the other."""
    x, batch = problem.x, problem.settings.batch
    optimisers = [torch.optim.Adam(model.parameters(), lr=RATE) for model in models]

    def run(passes: int) -> None:
        for model, optimiser in zip(models, optimisers, strict=True):
            for _ in range(passes):
                for rows in torch.randperm(len(x)).split(batch):
                    optimiser.zero_grad()
                    loss(model, x[rows]).backward()
                    optimiser.step()

    @torch.no_grad()
    def values(loss: Loss, count: int) -> np.ndarray:
        def mean(i: int) -> float:
            return sum(loss(model, x[torch.randperm(len(x))[:batch]]).item() for model in models) / len(
                models
            )

        return np.array([mean(i) for i in range(count)])

    parameters = sum(values.numel() for model in models for values in model.parameters())
    return Trainer(run, parameters, {name: partial(values, one) for name, one in losses.items()})


def _plain(problem: Problem) -> Trainer:
    """`torch.nn`, `torch.distributions` and `torch.optim` as they come."""
    networks, binary = problem.networks(), problem.data == "images"
    models = [
        _VAE(*(_sequential(networks[name], member) for name in ("encoder", "decoder")), problem.k, binary)
        for member in range(problem.members)
    ]
    losses: dict[str, Loss] = {"bound": _VAE.__call__}
    if problem.k > 1:
        losses["weighted"] = partial(_VAE.__call__, weighted=True)
    return _loop(problem, models, _VAE.__call__, losses)


def _pythae(problem: Problem) -> Trainer:
    """Its models in the same plain loop: its trainer adds a loader, records and checkpoints of each epoch."""
    from pythae.models import IWAE, VAE, IWAEConfig, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    networks, binary = problem.networks(), problem.data == "images"
    dimensions, latent = problem.x.shape[1], problem.sizes["decoder"][0]

    class Encoder(BaseEncoder):
        def __init__(self, member: int) -> None:
            super().__init__()
            self.layers = _sequential(networks["encoder"], member)

        def forward(self, x: Tensor) -> ModelOutput:
            mean, log_variance = self.layers(x).chunk(2, -1)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):
        def __init__(self, member: int) -> None:
            super().__init__()
            self.layers = _sequential(networks["decoder"], member)

        def forward(self, z: Tensor) -> ModelOutput:
            outputs = self.layers(z)
            return ModelOutput(reconstruction=outputs.sigmoid() if binary else outputs)

    options = {
        "input_dim": (dimensions,),
        "latent_dim": latent,
        "reconstruction_loss": "bce" if binary else "mse",
    }

    def model(member: int) -> nn.Module:
        parts = Encoder(member), Decoder(member)
        if problem.k == 1:
            return VAE(VAEConfig(**options), *parts)
        return IWAE(IWAEConfig(number_samples=problem.k, **options), *parts)

    def loss(model: nn.Module, x: Tensor) -> Tensor:
        return model({"data": x}).loss

    constant = 0.0 if binary else 0.5 * dimensions * math.log(2 * math.pi)  # which its loss leaves out
    kind = "bound" if problem.k == 1 else "weighted"
    models = [model(member) for member in range(problem.members)]
    return _loop(problem, models, loss, {kind: lambda model, x: loss(model, x) + constant})


def _jax(problem: Problem, *, together: bool) -> Trainer:
    """A compiled pass over the data, of one model after the other, or of all of them by vmap."""
    import jax
    import optax
    from jax import numpy as jnp

    networks, x, k, batch = (
        problem.networks(),
        jnp.asarray(problem.x.numpy()),
        problem.k,
        problem.settings.batch,
    )
    activation = {"relu": jax.nn.relu, "tanh": jnp.tanh}[problem.activation]
    adam = optax.adam(RATE)

    def apply(layers: Any, values: Any) -> Any:
        *hidden, (weight, bias) = layers
        for w, b in hidden:
            values = activation(values @ w + b)
        return values @ weight + bias

    def log_normal(values: Any, mean: Any, log_variance: Any) -> Any:
        square = (values - mean) ** 2 * jnp.exp(-log_variance)
        return -0.5 * (math.log(2 * math.pi) + log_variance + square).sum(-1)

    def loss(parameters: Any, x: Any, key: Any) -> Any:
        mean, log_variance = jnp.split(apply(parameters["encoder"], x), 2, -1)
        z = mean + jnp.exp(0.5 * log_variance) * jax.random.normal(key, (k, *mean.shape))
        outputs = apply(parameters["decoder"], z)
        if problem.data == "images":
            log_likelihood = (x * outputs - jax.nn.softplus(outputs)).sum(-1)
        else:
            log_likelihood = log_normal(x, outputs, 0.0)
        if k == 1:
            divergence = 0.5 * (mean**2 + jnp.exp(log_variance) - log_variance - 1).sum(-1)
            return -(log_likelihood - divergence).mean()
        log_w = log_likelihood + log_normal(z, 0.0, 0.0) - log_normal(z, mean, log_variance)
        return -(jax.nn.logsumexp(log_w, 0) - math.log(k)).mean()

    def step(state: Any, inputs: Any) -> Any:
        parameters, moments = state
        rows, key = inputs
        updates, moments = adam.update(jax.grad(loss)(parameters, x[rows], key), moments)
        return (optax.apply_updates(parameters, updates), moments), None

    def minibatches(key: Any) -> Any:
        order, noise = jax.random.split(key)
        rows = jax.random.permutation(order, len(x)).reshape(problem.steps, batch)
        return rows, jax.random.split(noise, problem.steps)

    def one_pass(state: Any, key: Any) -> Any:
        return jax.lax.scan(step, state, minibatches(key))[0]

    def member(m: int) -> Any:
        return {
            name: [(jnp.asarray(w[m].detach()), jnp.asarray(b[m, 0].detach())) for w, b in _layers(network)]
            for name, network in networks.items()
        }

    members = [member(m) for m in range(problem.members)]
    parameters = sum(values.size for values in jax.tree.leaves(members))
    if together:
        members = [jax.tree.map(lambda *own: jnp.stack(own), *members)]
    over = jax.vmap if together else lambda function: function
    states = [(own, over(adam.init)(own)) for own in members]
    compiled, compiled_loss = jax.jit(over(one_pass), donate_argnums=0), jax.jit(over(loss))
    source = [jax.random.key(0)]

    def keys() -> Any:
        source[0], key = jax.random.split(source[0])
        return jax.random.split(key, problem.members) if together else key

    def run(passes: int) -> None:
        for m, state in enumerate(states):
            for _ in range(passes):
                state = compiled(state, keys())
            states[m] = jax.block_until_ready(state)

    def losses(count: int) -> np.ndarray:
        def mean(own: Any) -> float:
            rows = over(lambda key: jax.random.permutation(key, len(x))[:batch])(keys())
            return float(compiled_loss(own, x[rows], keys()).mean())

        return np.array([np.mean([mean(own) for own, _ in states]) for _ in range(count)])

    return Trainer(run, parameters, {"bound": losses})


def _layers(network: MLP) -> Any:
    return zip(network.weights, network.biases, strict=True)
