"""Train all methods and regularisation strengths of one cell on one data set (air, all but Tables 5 and 6).

Widths, iterations, rates and search grids are lost from the document. Deviations: early stopping keeps the
networks of the best validation bound and trains to the end, since the rate of eq. 43 depends on the planned
number of iterations; the validation bound uses clean inputs. Members of equal seed share initial weights,
minibatches and noise, so that methods and strengths are compared on common random numbers.
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
from elbogap.ensemble import Fit, Monitor, decaying, fit, in_chunks
from elbogap.errors import UserError
from elbogap.nn.mlp import MLP, Network
from elbogap.nn.norm_bounded import NormBoundedMLP
from elbogap.papers.air.autoencoder import PIXELS, bounds
from elbogap.papers.air.experiments.images import unpack
from elbogap.papers.air.methods import Method, methods
from elbogap.papers.air.models import Models
from elbogap.papers.air.objective import Denoising
from elbogap.papers.air.settings import Architecture, Cell
from elbogap.papers.air.settings import Train as Settings
from elbogap.runtime import Run, torch_generator
from elbogap.tables import read_arrays
from elbogap.training import Work

CURVE_COLUMNS = (
    "method", "alpha", "strength", "seed", "step", "passes", "train_bound", "valid_bound", "test_bound",
)  # fmt: skip

Member = tuple[int, float]
"""Number of the seed, and strength."""


@dataclass(frozen=True)
class Trained:
    """Some members of a method, trained together."""

    method: Method
    members: Sequence[Member]
    fit: Fit


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Train the cell `cell` on the data set `dataset` (keys), whose images are the input `images`.

    Returns:
        `models`: see :class:`elbogap.papers.air.models.Models`; `curves`: per model and measurement
        `step`, `passes` over the training images, `train_bound` (the objective's mean since the last row),
        `valid_bound` (L of `valid_samples`) and `test_bound` (L_k), in nats per image.

    Raises:
        UserError: a minibatch larger than the training set, or an unknown cell.
        OutOfTime: the time budget is spent.
    """
    name, dataset = run.keys["cell"], run.keys["dataset"]
    if name not in settings.cells:
        raise UserError(f"air.train: no cell '{name}'; the settings have {', '.join(settings.cells)}")
    cell = settings.cells[name]
    arrays = read_arrays(run.inputs["images"])
    counts = {"train": None, "valid": settings.measure_images, "test": settings.measure_images}
    images = {
        part: torch.from_numpy(unpack(arrays, part, count)).to(run.device) for part, count in counts.items()
    }
    if settings.batch > len(images["train"]):
        raise UserError(
            f"air.train: batch {settings.batch} exceeds the {len(images['train'])} training images"
        )
    trained: list[Trained] = []
    for method in methods(cell):
        members = list(product(range(cell.seeds), method.strengths))
        size = max(1, settings.rows // rows_per_step(settings, cell, method))
        trained += in_chunks(members, size, partial(_train, settings, run, dataset, cell, method, images))
    models = _models(settings, cell, trained)
    key = {
        "document": "air",
        "dataset": dataset,
        "data": str(arrays["data"]),
        "cell": name,
        "k": cell.k,
        "m": cell.m,
        "encoder": "large" if cell.large_encoder else "standard",
    }
    return {
        "models": models.to_arrays(),
        "curves": _curves(settings, cell, len(images["train"]), trained).assign(**key)[
            [*key, *CURVE_COLUMNS]
        ],
    }


def rows_per_step(settings: Settings, cell: Cell, method: Method) -> int:
    """Decoder rows that one member takes per step."""
    return settings.batch * cell.k * cell.m * (2 if 0 < method.alpha < 1 else 1)


def initial_networks(
    settings: Settings, dataset: str, cell: Cell, method: Method, members: Sequence[Member]
) -> dict[str, MLP]:
    """Encoder 784 to (mean, log-variance) and decoder back, Glorot's weights, alike for equal seeds."""
    layers: Architecture = getattr(settings.architectures, dataset)
    hidden = settings.large_encoder if cell.large_encoder else layers.encoder
    sizes = {
        "encoder": [PIXELS, *hidden, 2 * settings.latent],
        "decoder": [settings.latent, *layers.decoder, PIXELS],
    }
    networks = {}
    for name, size in sizes.items():
        generators = [torch_generator(settings.seed, "air.train", dataset, name, seed) for seed, _ in members]
        networks[name] = MLP.independent(size, settings.activation, generators, "xavier")
    if method.name == "weight_norm":
        bounds_ = [strength for _, strength in members]
        networks["encoder"] = NormBoundedMLP.around(networks["encoder"], bounds_)
    return networks


def objective(
    settings: Settings, dataset: str, cell: Cell, method: Method, members: Sequence[Member], images: Tensor
) -> Denoising:
    """The method's objective on these training images, `[N, 784]`."""
    device = images.device.type
    seeds = sorted({seed for seed, _ in members})
    streams, noises = (
        [
            partial(torch_generator, settings.seed, "air.train", dataset, purpose, seed, device=device)
            for seed in seeds
        ]
        for purpose in ("order", "noise")
    )
    return Denoising(
        images=images,
        batch=settings.batch,
        k=cell.k,
        m=cell.m,
        latent=settings.latent,
        alpha=method.alpha,
        deviations=torch.tensor([strength for _, strength in members], device=device),
        seeds=torch.tensor([seeds.index(seed) for seed, _ in members], device=device),
        streams=streams,
        noises=noises,
        steps=settings.round_steps,
    )


def _train(
    settings: Settings,
    run: Run,
    dataset: str,
    cell: Cell,
    method: Method,
    images: Mapping[str, Tensor],
    members: Sequence[Member],
) -> Trained:
    """Train some of a method's members."""

    def measure(networks: Mapping[str, Network]) -> dict[str, Tensor]:
        """Bounds on clean images, with the same draws at each call and for each member."""
        asked = {"valid": settings.valid_samples, "test": cell.k}
        return {
            part: bounds(
                networks,
                images[part],
                k=k,
                draws=1,
                rows=settings.rows // len(members),
                generator=torch_generator(settings.seed, "air.train", dataset, part, device=run.device),
            ).mean(-1)
            for part, k in asked.items()
        }

    label = f"{dataset}-{run.keys['cell']}-{method.name}{method.alpha:g}-{members[0][0]}.{members[0][1]:g}"
    found = fit(
        objective(settings, dataset, cell, method, members, images["train"]),
        initial_networks(settings, dataset, cell, method, members),
        epochs=cell.rounds,
        learning_rate=settings.learning_rate,
        final_share=settings.final_share,
        schedule=decaying,
        record_epochs=settings.measure_rounds,
        monitor=Monitor(settings.measure_rounds, measure, select="valid"),
        work=Work.of(
            run,
            f"{label}-{len(members)}",
            provenance.identity(__name__, settings, run),
            settings.checkpoint_seconds,
        ),
        device=run.device,
    )
    return Trained(method, members, found)


def _models(settings: Settings, cell: Cell, trained: Sequence[Trained]) -> Models:
    members = [(one.method, seed, strength) for one in trained for seed, strength in one.members]
    steps = _measured_steps(settings, cell)
    encoders = [one.fit.networks["encoder"] for one in trained]
    return Models(
        method=np.array([method.name for method, _, _ in members]),
        alpha=np.array([method.alpha for method, _, _ in members]),
        strength=np.array([strength for _, _, strength in members]),
        seed=np.array([seed for _, seed, _ in members]),
        kept_step=np.concatenate([np.where(one.fit.kept < 0, -1, steps[one.fit.kept]) for one in trained]),
        encoder=MLP.joined([one.plain() if isinstance(one, NormBoundedMLP) else one for one in encoders]),
        decoder=MLP.joined([one.fit.networks["decoder"] for one in trained]),
    )


def _curves(settings: Settings, cell: Cell, images: int, trained: Sequence[Trained]) -> pd.DataFrame:
    """A row per model and measurement."""
    steps = _measured_steps(settings, cell)
    rows = [
        pd.DataFrame(
            {
                "method": one.method.name,
                "alpha": one.method.alpha,
                "strength": strength,
                "seed": seed,
                "step": steps,
                "passes": steps * settings.batch / images,
                "train_bound": one.fit.values[m],
                "valid_bound": one.fit.measured["valid"][m],
                "test_bound": one.fit.measured["test"][m],
            }
        )
        for one in trained
        for m, (seed, strength) in enumerate(one.members)
    ]
    return pd.concat(rows, ignore_index=True)


def _measured_steps(settings: Settings, cell: Cell) -> np.ndarray:
    rounds = np.arange(
        settings.measure_rounds, cell.rounds + settings.measure_rounds, settings.measure_rounds
    )
    return np.minimum(rounds, cell.rounds) * settings.round_steps
