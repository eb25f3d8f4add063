"""Fit M independent members as one batched program: networks with a member axis, own data and noise.

Everything random of an epoch is drawn at its beginning, for each member from generators of its own: a member
never depends on its companions (but for float32 rounding), no generator's state needs to be saved, and a step
is a fixed sequence of operations, which on a GPU is captured once as a CUDA graph.
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from elbogap.errors import out_of_memory
from elbogap.inference import noise
from elbogap.inference.families.base import Family, LogJoint
from elbogap.inference.noise import Specs
from elbogap.inference.objectives import base as inference
from elbogap.inference.objectives.base import Estimate
from elbogap.nn.damped_rms import DampedRms
from elbogap.nn.mlp import MLP
from elbogap.training import Part, Work, train

Batch = Mapping[str, Tensor]
Member = TypeVar("Member")
Result = TypeVar("Result")

Stream = Callable[[int], torch.Generator]
"""A member's generator of an epoch; what it draws is made on its device."""


def minibatches(count: int, batch: int, generator: torch.Generator) -> Tensor:
    """An epoch's indices `[K, B]`: a permutation of the N points without the last incomplete batch."""
    steps = count // batch
    order = torch.randperm(count, generator=generator, device=generator.device)
    return order[: steps * batch].unflatten(0, (steps, batch))


def round_of_minibatches(count: int, batch: int, steps: int, generator: torch.Generator) -> Tensor:
    """Indices `[K, B]` of K steps, from as many shuffled passes over the N points as they take."""
    passes = math.ceil(steps / (count // batch))
    return torch.cat([minibatches(count, batch, generator) for _ in range(passes)])[:steps]


def rows_of(data: Tensor, rows: Tensor) -> Tensor:
    """Each member's own rows, `[M, N, ...]` at `[M, ...]`."""
    return torch.stack([own[chosen] for own, chosen in zip(data, rows, strict=True)])


def continued_minibatches(count: int, batch: int, steps: int, stream: Stream, number: int) -> Tensor:
    """Indices `[K, B]` of round `number`, which go on where those of the last ended; streams by pass."""
    per_pass = count // batch
    first, last = number * steps, (number + 1) * steps
    passes = range(first // per_pass, math.ceil(last / per_pass))
    rows = torch.cat([minibatches(count, batch, stream(epoch)) for epoch in passes])
    start = first - passes[0] * per_pass
    return rows[start : start + steps]


class Objective(Protocol):
    """What the members maximise."""

    @property
    def steps(self) -> int:
        """The number K of steps per epoch."""

    @property
    def reported(self) -> tuple[str, ...]:
        """Names of prepared tensors `[M, K]` whose means over each record are wanted."""

    def prepare(self, epoch: int) -> Batch:
        """All data and noise by name, `[M, K, ...]`, from the epoch alone; on GPUs always of equal shapes."""

    def value(self, networks: Mapping[str, MLP], batch: Batch) -> Tensor:
        """The objective of each member at one step, `[M, ...]` in the batch to `[M]`, differentiable."""


@dataclass(frozen=True)
class Variational:
    """An objective of inference, on the family and the model that networks make, as an ensemble trains it."""

    objective: inference.Objective[Any]
    family: Callable[[Mapping[str, MLP], Batch], Family]  # q from the networks and a step's batch
    log_joint: Callable[[Mapping[str, MLP], Batch], LogJoint]  # log p(x, z) from them
    specs: Specs  # the noise of a step
    streams: Sequence[Stream]  # on the device of the networks
    steps: int  # per epoch
    rows: Callable[[torch.Generator], Tensor] | None = None  # draws minibatches `[K, B]` before all noise
    orders: Sequence[Callable[[int], Tensor]] = ()  # instead, an epoch's minibatches `[K, B]` of each stream
    data: Tensor | None = None  # observations `[M, N, ...]`, if a batch is to hold those of its rows as `x`
    state: nn.Module | None = None  # what the objective carries from step to step
    reduce: Callable[[Estimate], Tensor] = Estimate.mean  # the value of a member from a step's estimates
    seeds: Tensor | None = None  # the stream of each member, `[M]`, where members share streams

    reported: ClassVar[tuple[str, ...]] = ()

    def prepare(self, epoch: int) -> Batch:
        """`rows` `[M, K, B]`, their `x` and the steps' noise, `[M, K, ...]`; by stream if it is shared."""
        drawn = []
        for generator in (stream(epoch) for stream in self.streams):
            rows = {} if self.rows is None else {"rows": self.rows(generator)}
            drawn.append(rows | noise.draw(self.specs, generator, self.steps))
        batch = {name: torch.stack([own[name] for own in drawn]) for name in drawn[0]}
        if self.orders:
            batch["rows"] = torch.stack([order(epoch) for order in self.orders])
        if self.data is not None:
            batch["x"] = rows_of(self.data, batch["rows"])
        return batch

    def value(self, networks: Mapping[str, MLP], batch: Batch) -> Tensor:
        """The objective of each member, `[M]`, in nats."""
        if self.seeds is not None:
            batch = {name: value[self.seeds] for name, value in batch.items()}
        q, log_joint = self.family(networks, batch), self.log_joint(networks, batch)
        return self.reduce(self.objective.estimate(q, log_joint, batch, self.state))


Schedule = Callable[[float, float], float]
"""Learning-rate multiplier as a function of training progress in [0, 1] and the final multiplier."""


@dataclass(frozen=True)
class Monitor:
    """What is measured during training: values by name, `[M]` each, in the same order at each call.

    With early stopping a member keeps the networks of the largest finite measurement of the value `select`.
    """

    every: int  # epochs between measurements; the last epoch is always measured
    measure: Callable[[Mapping[str, MLP]], Mapping[str, Tensor]]
    select: str | None = None


@dataclass(frozen=True)
class Fit:
    """Trained members.

    `kept` `[M]` is the measurement, from 0, whose networks are kept; -1 if nothing is selected, or nothing
    finite was measured (then those of the first measurement are kept).
    """

    networks: Mapping[str, MLP]  # on the CPU
    values: np.ndarray  # means of the objective over each record, `[M, R]`
    reported: Mapping[str, np.ndarray]  # means over each record of what the objective reports, `[M, R]`
    measured: Mapping[str, np.ndarray]  # what the monitor measured, `[M, V]`
    kept: np.ndarray


def exponential_decay(progress: float, final: float) -> float:
    """final^progress."""
    return final**progress


def cosine_decay(progress: float, final: float) -> float:
    """Half a cosine from 1 to the final multiplier."""
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))


def step_decay(factor: float, every: float) -> Schedule:
    """One factor after each fraction `every` of the steps, whatever the final multiplier."""
    return lambda progress, _: factor ** max(0, math.ceil(progress / every - 1e-9) - 1)


def fit(
    objective: Objective,
    networks: Mapping[str, MLP],
    *,
    epochs: int,
    learning_rate: float,
    final_fraction: float = 1.0,
    schedule: Schedule = cosine_decay,
    record_epochs: int,
    monitor: Monitor | None = None,
    damped: Mapping[str, float] | None = None,
    state: nn.Module | None = None,
    work: Work,
    device: str = "cpu",
) -> Fit:
    """Maximise every member's objective with Adam (Kingma and Ba 2015) or :class:`DampedRms`.

    Args:
        objective: what to maximise; its tensors are on `device`, which is `cpu` or `cuda`.
        networks: initial networks of M members each, by the names that the objective uses.
        epochs: their number; `record_epochs` of them give one recorded mean.
        learning_rate: at the first step; `schedule` changes it.
        final_fraction: learning rate at the end over that at the beginning, for schedules that end somewhere.
        monitor: what to measure during training, and early stopping by it.
        damped: multiples of the learning rate by network, for :class:`DampedRms` instead of Adam.
        state: buffers on `device` that the objective changes in place, such as step sizes of Markov chains.
        work: the training as work that may be stopped; on the CPU it goes on bit for bit.

    UserError if the checkpoint is damaged, or all members diverged; OutOfTime if the deadline has passed.
    """
    trained = {name: copy.deepcopy(network).to(device) for name, network in networks.items()}
    modules = nn.ModuleDict(trained)
    on_gpu = device == "cuda"
    rate = torch.tensor(learning_rate, device=device)
    flat, slopes = _flatten(modules)
    optimiser: torch.optim.Optimizer
    if damped is None:
        first_rate = rate if on_gpu else learning_rate
        optimiser = torch.optim.Adam([flat], lr=first_rate, fused=True, capturable=on_gpu)
    else:
        multiples = [
            torch.full_like(parameter, damped[name]).flatten()
            for name, network in trained.items()
            for parameter in network.parameters()
        ]
        optimiser = DampedRms(flat, torch.cat(multiples), rate)

    def update(batch: Batch) -> Tensor:
        value = objective.value(trained, batch)
        found = torch.autograd.grad(-value.sum(), list(modules.parameters()), materialize_grads=True)
        for part, gradient in zip(slopes, found, strict=True):
            part.copy_(gradient)
        optimiser.step()
        return torch.stack([value.detach(), *(batch[name] for name in objective.reported)])

    epochs_prepared: dict[int, Batch] = {}
    graphed: Callable[[Batch], Tensor] | None = None

    def step(i: int) -> Tensor:
        nonlocal graphed
        epoch, k = divmod(i - 1, objective.steps)
        if epoch not in epochs_prepared:
            epochs_prepared.clear()  # before the next is made: an epoch can be a large part of the memory
            epochs_prepared[epoch] = objective.prepare(epoch)
        batch = {name: values[:, k] for name, values in epochs_prepared[epoch].items()}
        now = learning_rate * schedule(i / (epochs * objective.steps), final_fraction)
        if not on_gpu:
            optimiser.param_groups[0]["lr"] = now
            return update(batch)
        rate.fill_(now)  # a captured step reads the rate from this tensor
        if graphed is None:
            optimiser.param_groups[0]["lr"] = rate  # a checkpoint's rate is another tensor
            graphed = _capture(update, batch, flat, optimiser, state)
        return graphed(batch)

    measured: list[dict[str, Tensor]] = []
    best: list[Tensor] = []

    def monitored(i: int) -> Tensor:
        value = step(i)
        epoch, left = divmod(i, objective.steps)
        if monitor and left == 0 and (epoch % monitor.every == 0 or epoch == epochs):
            _measure(monitor, trained, measured, best)
        return value

    parts: dict[str, Part] = {"networks": modules, "optimiser": optimiser, "measured": measured, "best": best}
    records = train(
        monitored,
        steps=epochs * objective.steps,
        record_every=record_epochs * objective.steps,
        parts=parts if state is None else parts | {"state": state},
        work=work,
    )
    values, *reported = records.permute(1, 2, 0).numpy()
    with torch.no_grad():
        for parameter, at_best in zip(modules.parameters(), best[2:], strict=False):
            parameter.copy_(at_best)
    names = measured[0] if measured else ()
    return Fit(
        networks={name: network.cpu() for name, network in trained.items()},
        values=values,
        reported=dict(zip(objective.reported, reported, strict=True)),
        measured={name: torch.stack([at[name] for at in measured], 1).numpy() for name in names},
        kept=best[1].numpy() if best else np.full(len(values), -1),
    )


@torch.no_grad()
def _measure(
    monitor: Monitor, networks: Mapping[str, MLP], measured: list[dict[str, Tensor]], best: list[Tensor]
) -> None:
    """Append a measurement; `best` are the value, number and parameters of each member's best, on the CPU."""
    measured.append({name: value.cpu() for name, value in monitor.measure(networks).items()})
    if monitor.select is None:
        return
    value = measured[-1][monitor.select]
    value = value.where(value.isfinite(), -math.inf)
    number = torch.full(value.shape, len(measured) - 1).where(value.isfinite(), -1)
    parameters = [parameter.cpu() for network in networks.values() for parameter in network.parameters()]
    latest = [value, number, *parameters]
    if not best:
        best.extend(tensor.clone() for tensor in latest)
    better = value > best[0]
    for at_best, now in zip(best, latest, strict=True):
        at_best[better] = now[better]


def _flatten(modules: nn.Module) -> tuple[nn.Parameter, list[Tensor]]:
    """Move all parameters into one tensor; it, and the part of its gradient that belongs to each of them.

    An optimiser that walks over sixteen small tensors spends its time on starting operations.
    """
    parameters = list(modules.parameters())
    sizes = [parameter.numel() for parameter in parameters]
    flat = nn.Parameter(torch.cat([parameter.detach().flatten() for parameter in parameters]))
    flat.grad = torch.zeros_like(flat)
    for parameter, values in zip(parameters, flat.data.split(sizes), strict=True):
        parameter.data = values.view_as(parameter)
    slopes = zip(parameters, flat.grad.split(sizes), strict=True)
    return flat, [slope.view_as(parameter) for parameter, slope in slopes]


CACHED_ROWS = 10_000  # rows of a step on a CPU: those of layers with tens of units then stay in its cache


def members_at_once(rows: int, rows_of_each: int, device: str) -> int:
    """How many members to train side by side: those of so many rows, on a CPU of at most `CACHED_ROWS`."""
    return max(1, (min(rows, CACHED_ROWS) if device == "cpu" else rows) // rows_of_each)


def in_chunks(
    members: Sequence[Member], size: int, work: Callable[[Sequence[Member]], Result]
) -> list[Result]:
    """Work on `size` members at a time; where memory runs out, on half as many; MemoryError if for none."""
    results: list[Result] = []
    while members:
        chunk = members[:size]
        try:
            results.append(work(chunk))
            members = members[size:]
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            if len(chunk) == 1:
                raise MemoryError("a single member does not fit") from error
            size = math.ceil(len(chunk) / 2)
    return results


def _capture(
    update: Callable[[Batch], Tensor],
    batch: Batch,
    flat: nn.Parameter,
    optimiser: torch.optim.Optimizer,
    state: nn.Module | None,
) -> Callable[[Batch], Tensor]:
    """The update as a CUDA graph that reads its batch from fixed tensors."""
    static = {name: values.clone() for name, values in batch.items()}
    changed = [flat, *([] if state is None else state.buffers())]
    values = [tensor.detach().clone() for tensor in changed]
    before = {name: value.clone() for name, value in optimiser.state[flat].items()}
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # a capture needs all lazy initialisation to be over
        for _ in range(3):
            update(static)
    torch.cuda.current_stream().wait_stream(side)
    with torch.no_grad():  # undo what these updates did, in place: the graph holds addresses
        for tensor, value in zip(changed, values, strict=True):
            tensor.copy_(value)
        for name, value in optimiser.state[flat].items():
            value.copy_(before.get(name, torch.zeros_like(value)))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = update(static)

    def replay(batch: Batch) -> Tensor:
        for name, values in batch.items():
            static[name].copy_(values)
        graph.replay()
        return result.clone()

    return replay
