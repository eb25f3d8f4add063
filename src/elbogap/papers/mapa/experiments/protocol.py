"""How biased the document's estimate of the likelihood is (mapa, section 6; the comparison is ours).

The document fits a mixture encoder q(z|x) to the fixed model with IWAE and reports the bound with many more
samples. It does not say how the draws choose their component: here they are stratified over the components
(:mod:`elbogap.inference.mixture`). The encoder's widths are not stated either; its log-variances and weights
are free, and it is fitted anew for every model, the ground truth included. MAPA's models have their prior
recovered by the exact quantile map, so that the estimate and quadrature are of one and the same model.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from elbogap import provenance
from elbogap.densities import isotropic_gaussian_log_density, standard_gaussian_log_density
from elbogap.ensemble import Batch, fit, in_chunks, minibatches
from elbogap.errors import UserError
from elbogap.evaluation.pushforward import standard_log_evidence
from elbogap.inference.bounds import iwae
from elbogap.inference.mixture import Mixture
from elbogap.inference.prior_recovery import MonotoneMap
from elbogap.nn.mlp import MLP, Network
from elbogap.papers.mapa.cells import Cell
from elbogap.papers.mapa.ground_truth import GroundTruth
from elbogap.papers.mapa.models import Models
from elbogap.papers.mapa.objectives import OnMinibatches
from elbogap.papers.mapa.selected import selected
from elbogap.papers.mapa.settings import Protocol as Settings
from elbogap.runtime import Run, torch_generator
from elbogap.tables import read_table
from elbogap.training import Work, tabulate

GROUND_TRUTH = "ground_truth"
CHECKPOINT_SECONDS = 30.0
ROWS = {"cpu": 2**17, "cuda": 2**23}  # network rows of the models that are fitted together in one step
TERMS = {"cpu": 2**18, "cuda": 2**26}  # draws times components held in memory at once


@dataclass(frozen=True)
class Target:
    """A fixed model whose likelihood is estimated: x = f(h(z)) + noise, z ~ N(0, 1).

    Attributes:
        draw: number of its data set.
        restart: number of its restart, if it was trained.
        network: f, one network.
        law: h, or None for the identity.
        train: its training set `[N, 2]`.
        test: the test set `[T, 2]`.
        exact: log p(x) of the test set by quadrature.
    """

    draw: int
    restart: int | None
    network: MLP
    law: MonotoneMap | None
    train: Tensor
    test: Tensor
    exact: Callable[[], Tensor]


@dataclass(frozen=True)
class Encoded:
    """A model with its mixture encoder.

    Attributes:
        cell: name of its cell.
        target: the model.
        encoder: heads of the mixture, one network.
        seconds: its share of the fit's wall time, or NaN where an earlier run did part of the fit.
    """

    cell: str
    target: Target
    encoder: MLP
    seconds: float


@dataclass(frozen=True)
class Decoders:
    """z to f(h(z)) of M models, `[M, ..., 1]` to `[M, ..., 2]`, differentiable in z alone.

    Attributes:
        network: f, M members without gradient.
        laws: h of each, or None for the identity.
    """

    network: MLP
    laws: Sequence[MonotoneMap | None]

    @classmethod
    def of(cls, targets: Sequence[Target], device: str, dtype: torch.dtype) -> "Decoders":
        """The decoders of some models."""
        network = MLP.joined([target.network for target in targets]).to(device, dtype).requires_grad_(False)
        laws = [
            None if law is None else MonotoneMap(law.latents.to(device), law.codes.to(device))
            for law in (target.law for target in targets)
        ]
        return cls(network, laws)

    def __call__(self, z: Tensor) -> Tensor:
        """f(h(z)) of each model."""
        pieces = [one if law is None else law(one).to(z) for one, law in zip(z, self.laws, strict=True)]
        return self.network(torch.stack(pieces))


@dataclass(frozen=True)
class MixtureObjective(OnMinibatches):
    """IWAE's bound on fixed models with a mixture encoder and stratified draws.

    Attributes:
        decoders: the models.
        components: K.
        samples: S, a multiple of K.
    """

    decoders: Decoders
    components: int
    samples: int

    def prepare(self, epoch: int) -> Batch:
        """`x` `[M, steps, B, 2]` and standard normal `noise` `[M, steps, K, S / K, B]`."""
        xs, noises = [], []
        shape = (self.components, self.samples // self.components, self.batch)
        for data, stream in zip(self.data, self.streams, strict=True):
            generator = stream(epoch)
            chosen = minibatches(len(data), self.batch, generator)
            xs.append(data[chosen])
            noises.append(torch.randn((len(chosen), *shape), generator=generator, device=data.device))
        return {"x": torch.stack(xs), "noise": torch.stack(noises)}

    def value(self, networks: Mapping[str, Network], batch: Batch) -> Tensor:
        """The bound's mean over the batch, `[M]`, in nats."""
        mixture = Mixture.from_heads(networks["encoder"](batch["x"]))
        log_weights = log_weights_of(self.decoders, self.noise_variance, batch["x"], mixture, batch["noise"])
        return iwae(log_weights).mean(-1)


def log_weights_of(
    decoders: Decoders, noise_variance: float, x: Tensor, mixture: Mixture, noise: Tensor
) -> Tensor:
    """Log-weights of stratified draws of M models; x `[M, B, 2]`, noise `[M, K, n, B]` to `[M, K n, B]`."""
    z = mixture.draw(noise)
    means = decoders(z.unsqueeze(-1))
    log_likelihood = isotropic_gaussian_log_density(x.unsqueeze(-3), means, noise_variance)
    return mixture.log_weights(z, log_likelihood + standard_gaussian_log_density(z.unsqueeze(-1)))


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, object]]:
    """Estimate the likelihood of the selected models of the problem `problem`, and of the ground truth.

    The inputs are `surrogate`, `density` (the table that selects restarts), and models by cell.

    Returns:
        `protocol`: one row per cell and data draw, in nats, means over `points` test observations.
        `loglik_protocol` is the document's estimate and `loglik_quadrature` the exact mean of log p(x);
        `bias` is their difference and `bias_se` its standard error over observations; `kl_protocol` and
        `kl_quadrature` are the means of log p_GT(x) - log p(x), both terms by the same means, and
        `kl_difference` the first less the second, the error that the estimate makes in the divergence.
        `timing`: per model, `fit_s` and `bound_s` of the protocol, and `quadrature_s` on the same
        observations, wall seconds; models of one cell are fitted together, and share that time. `fit_s` is
        null where an earlier, stopped run did part of the work. `ratio` is protocol over quadrature.

    Raises:
        UserError: sizes that do not fit together, or no selected model of a cell and draw.
        OutOfTime: the time budget is spent.
    """
    truth = GroundTruth.load(run.keys["problem"], run.inputs["surrogate"])
    density = read_table(run.inputs["density"])
    cells = {name: Models.load(run.inputs[name]) for name in settings.cells}
    _check(settings, cells)
    targets = {GROUND_TRUTH: _ground_truths(settings, truth, next(iter(cells.values())))}
    targets |= {name: _targets(settings, truth, density, name, models) for name, models in cells.items()}
    identity = provenance.identity(__name__, settings, run)
    size = max(1, ROWS[run.device] // (settings.samples * settings.batch))
    encoders = [
        encoded
        for name, models in targets.items()
        for chunk in in_chunks(models, size, partial(_fit, settings, run, truth, name, identity))
        for encoded in chunk
    ]
    values = _evaluate(settings, run, truth, encoders, identity)
    return _results(settings, truth, encoders, values)


def _check(settings: Settings, cells: Mapping[str, Models]) -> None:
    sources = {(models.points, models.seed) for models in cells.values()}
    if len(sources) != 1:
        raise UserError("mapa.protocol: the cells were trained on different data sets; rebuild their models")
    ((points, _),) = sources
    if settings.batch > points:
        raise UserError(f"mapa.protocol: batch {settings.batch} exceeds the {points} training points")


def _ground_truths(settings: Settings, truth: GroundTruth, models: Models) -> list[Target]:
    targets = []
    for draw in range(settings.draws):
        _, x = truth.data_set(models.points, models.seed, draw)
        _, test = truth.data_set(settings.test_points, models.seed, draw, "test")
        exact = partial(standard_log_evidence, truth.decoder, truth.log_likelihood, test)
        targets.append(Target(draw, None, truth.network, None, x, test, exact))
    return targets


def _targets(
    settings: Settings, truth: GroundTruth, density: pd.DataFrame, name: str, models: Models
) -> list[Target]:
    targets = []
    for one in selected(truth, density, name, models, range(settings.draws)):
        _, test = truth.data_set(settings.test_points, models.seed, one.draw, "test")
        network, exact = models.decoder.select([one.member]), partial(one.log_evidence, truth, test)
        targets.append(Target(one.draw, one.restart, network, one.law, one.train[1], test, exact))
    return targets


def _fit(
    settings: Settings, run: Run, truth: GroundTruth, name: str, identity: str, targets: Sequence[Target]
) -> list[Encoded]:
    """Fit the mixture encoders of some models of a cell."""
    keys = [(truth.name, name, target.draw) for target in targets]
    objective = MixtureObjective(
        torch.stack([target.train.float() for target in targets]).to(run.device),
        truth.noise_variance,
        settings.batch,
        [
            partial(torch_generator, settings.seed, "mapa.protocol", "epoch", *key, device=run.device)
            for key in keys
        ],
        Decoders.of(targets, run.device, torch.float32),
        settings.components,
        settings.samples,
    )
    sizes = [2, *settings.hidden, 3 * settings.components]
    activation = targets[0].network.activation
    generators = [torch_generator(settings.seed, "mapa.protocol", "weights", *key) for key in keys]
    label = f"{truth.name}-{name}-{targets[0].draw}-{len(targets)}"
    work = Work.of(run, label, identity, CHECKPOINT_SECONDS)
    whole, start = not work.checkpoint.exists(), time.perf_counter()
    encoder = fit(
        objective,
        {"encoder": MLP.independent(sizes, activation, generators)},
        epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        record_epochs=settings.epochs,
        work=work,
        device=run.device,
    ).networks["encoder"]
    seconds = (time.perf_counter() - start) / len(targets) if whole else math.nan
    return [Encoded(name, target, encoder.select([m]), seconds) for m, target in enumerate(targets)]


def _evaluate(
    settings: Settings,
    run: Run,
    truth: GroundTruth,
    encoders: Sequence[Encoded],
    identity: str,
) -> np.ndarray:
    """Bound and exact value of log p(x) of every test observation, and their seconds, `[models, 2 T + 2]`."""

    def row(i: int) -> Tensor:
        one = encoders[i]
        key = ("bound", truth.name, one.cell, one.target.draw)
        generator = torch_generator(settings.seed, "mapa.protocol", *key, device=run.device)
        start = time.perf_counter()
        bound = bound_of(settings, truth, one.target, one.encoder, generator)
        middle = time.perf_counter()
        exact = one.target.exact()
        seconds = torch.tensor([middle - start, time.perf_counter() - middle], dtype=torch.float64)
        return torch.cat([bound, exact, seconds])

    values = tabulate(row, rows=len(encoders), work=Work.of(run, f"{truth.name}-bounds", identity))
    return values.numpy()


@torch.no_grad()
def bound_of(
    settings: Settings,
    truth: GroundTruth,
    target: Target,
    encoder: MLP,
    generator: torch.Generator,
) -> Tensor:
    """log p^(x) with `bound_samples` draws of each test observation, `[T]`, in nats and float64.

    The work is done on the device of the generator; the result is on the CPU.
    """
    device = generator.device.type
    decoders, encoder = Decoders.of([target], device, torch.float64), encoder.to(device, torch.float64)
    components, most = settings.components, TERMS[device]
    per_component = settings.bound_samples // components
    at_once = min(per_component, max(1, most // components**2))
    bounds = []
    for x in target.test.to(device)[None].split(max(1, most // (components**2 * at_once)), 1):
        mixture, parts = Mixture.from_heads(encoder(x)), []
        for start in range(0, per_component, at_once):
            shape = (1, components, min(at_once, per_component - start), x.shape[1])
            noise = torch.randn(shape, generator=generator, device=x.device, dtype=x.dtype)
            log_weights = log_weights_of(decoders, truth.noise_variance, x, mixture, noise)
            parts.append(torch.logsumexp(log_weights, -2))
        bounds.append(torch.logsumexp(torch.stack(parts), 0)[0] - math.log(settings.bound_samples))
    return torch.cat(bounds).cpu()


def _results(
    settings: Settings, truth: GroundTruth, encoders: Sequence[Encoded], values: np.ndarray
) -> dict[str, pd.DataFrame | dict[str, object]]:
    count = settings.test_points
    bounds, exact, seconds = values[:, :count], values[:, count : 2 * count], values[:, 2 * count :]
    place = {one.target.draw: i for i, one in enumerate(encoders) if one.cell == GROUND_TRUTH}
    rows, timings = [], []
    for i, one in enumerate(encoders):
        true, target = place[one.target.draw], one.target
        trained = one.cell != GROUND_TRUTH
        key = Cell.parse(one.cell).key() if trained else {"method": GROUND_TRUTH, "S": None, "k_share": None}
        difference = bounds[i] - exact[i]
        kl = {
            name: float((of[true] - of[i]).mean())
            for name, of in (("protocol", bounds), ("quadrature", exact))
        }
        rows.append(
            {
                "document": "mapa",
                "problem": truth.name,
                "cell": one.cell,
                **key,
                "draw": target.draw,
                "restart": target.restart,
                "points": count,
                "loglik_protocol": float(bounds[i].mean()),
                "loglik_quadrature": float(exact[i].mean()),
                "bias": float(difference.mean()),
                "bias_se": float(difference.std(ddof=1)) / math.sqrt(count) if count > 1 else math.nan,
                "kl_protocol": kl["protocol"],
                "kl_quadrature": kl["quadrature"],
                "kl_difference": kl["protocol"] - kl["quadrature"],
            }
        )
        bound_s, quadrature_s = map(float, seconds[i])
        fit_s = None if math.isnan(one.seconds) else one.seconds
        timings.append(
            {
                "cell": one.cell,
                "draw": target.draw,
                "fit_s": fit_s,
                "bound_s": bound_s,
                "quadrature_s": quadrature_s,
                "ratio": None if fit_s is None else (fit_s + bound_s) / quadrature_s,
            }
        )
    table = pd.DataFrame(rows).astype({"S": "Int64", "k_share": "Float64", "restart": "Int64"})
    return {"protocol": table, "timing": {"problem": truth.name, "models": timings}}
