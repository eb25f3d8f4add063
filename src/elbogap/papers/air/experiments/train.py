"""Train all methods and regularisation strengths of one cell on one data set (air, all but Tables 5 and 6).

Widths, iterations, rates and search grids are lost from the document. Deviations: early stopping keeps the
networks of the best validation bound and trains to the end, since the rate of eq. 43 depends on the planned
number of iterations; the validation bound uses clean inputs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
from torch import Tensor

from elbogap.ensemble import Fit, Monitor, in_chunks
from elbogap.errors import named, refuse_too_large
from elbogap.models.image_vae import bounds, unpacked
from elbogap.nn.mlp import MLP
from elbogap.nn.store import Stored
from elbogap.papers.air.methods import methods
from elbogap.papers.air.settings import Train as Settings
from elbogap.papers.air.training import Member, Training
from elbogap.runtime import Run, torch_generator
from elbogap.tables import read_arrays
from elbogap.training import Work


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Train the cell `cell` on the data set `dataset` (keys), whose images are the input `images`.

    Returns `models`: encoder and decoder of members ordered by method, seed, then strength; of each member
    `method`, `alpha`, `strength`, `seed` and `kept_step`, the step whose networks these are, -1 where no
    measurement was finite; `curves`: per model and measurement `step`, `passes` over the training images,
    `train_bound` (the objective's mean since the last row), `valid_bound` (L of `valid_samples`) and
    `test_bound` (L_k), in nats per image. UserError for a minibatch larger than the training set, or an
    unknown cell.
    """
    name, dataset = run.keys["cell"], run.keys["dataset"]
    cell, arrays = named(settings.cells, name, "air.train: no cell"), read_arrays(run.inputs["images"])
    counts = {"train": None, "valid": settings.measure_images, "test": settings.measure_images}
    images = {part: unpacked(arrays, part, run.device, count) for part, count in counts.items()}
    count = len(images["train"])
    refuse_too_large(settings.batch, count, "air.train")
    fits: list[Fit] = []
    keys: list[tuple[str, float, float, int]] = []
    for method in methods(cell):
        members = list(product(range(cell.seeds), method.strengths))
        training = Training(settings, dataset, cell, method, members)
        size = max(1, settings.rows // training.rows_per_member())
        fits += in_chunks(members, size, partial(_train, training, images, run))
        keys += [(method.name, method.alpha, strength, seed) for seed, strength in members]
    table = pd.DataFrame(keys, columns=["method", "alpha", "strength", "seed"])
    every = settings.measure_rounds
    step = np.minimum(np.arange(every, cell.rounds + every, every), cell.rounds) * settings.round_steps
    kept = np.concatenate([fit.kept for fit in fits])
    networks = {name: MLP.joined([fit.networks[name] for fit in fits]) for name in ("encoder", "decoder")}
    values = {name: np.array(column.tolist()) for name, column in table.items()}
    models = Stored(networks, values | {"kept_step": np.where(kept < 0, -1, step[kept])})
    key = {"document": "air", "dataset": dataset, "data": str(arrays["data"]), "cell": name, "k": cell.k}
    key |= {"m": cell.m, "encoder": "large" if cell.large_encoder else "standard"}
    curves = pd.DataFrame(key, index=table.index).join(table)
    curves = curves.merge(pd.DataFrame({"step": step, "passes": step * settings.batch / count}), how="cross")
    curves["train_bound"] = np.concatenate([fit.values.ravel() for fit in fits])
    for part in ("valid", "test"):
        curves[f"{part}_bound"] = np.concatenate([fit.measured[part].ravel() for fit in fits])
    return {"models": models.to_arrays(), "curves": curves}


def _train(training: Training, images: Mapping[str, Tensor], run: Run, members: Sequence[Member]) -> Fit:
    """Train some of a method's members."""
    training = replace(training, members=members)
    settings, dataset, method = training.settings, training.dataset, training.method

    def measure(networks: Mapping[str, MLP]) -> dict[str, Tensor]:
        """Bounds on clean images, with the same draws at each call and for each member."""
        asked = {"valid": settings.valid_samples, "test": training.cell.k}
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

    (seed, strength), number = members[0], len(members)
    label = f"{dataset}-{run.keys['cell']}-{method.name}{method.alpha:g}-{seed}.{strength:g}-{number}"
    return training.fit(
        images["train"],
        epochs=training.cell.rounds,
        record_epochs=settings.measure_rounds,
        monitor=Monitor(settings.measure_rounds, measure, select="valid"),
        work=Work.in_module(__name__, settings, run, label),
    )
