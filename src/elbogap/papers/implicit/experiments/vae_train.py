"""Train one model and method on one data set of binary images (implicit, Tables 1 and 2, Figure 6)."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from elbogap import provenance
from elbogap.ensemble import Variational, fit, stairs
from elbogap.errors import UserError
from elbogap.nn.store import Stored
from elbogap.papers.implicit.experiments.images import unpack
from elbogap.papers.implicit.settings import VaeCell
from elbogap.papers.implicit.settings import VaeTrain as Settings
from elbogap.papers.implicit.vae import initial_networks, training
from elbogap.runtime import Run, torch_generator
from elbogap.tables import read_arrays
from elbogap.training import Work

DECAY = 0.9


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Train the cell `cell` on the data set `dataset` (keys), whose images are the input `images`.

    Returns:
        `models`: the networks, a member per seed, as :class:`elbogap.nn.store.Stored`; `curves`: per seed and
        record `step` and `bound`, the mean over the steps since the last record, in nats per image (the ELBO,
        or SIVI's bound; for UIVI that with L = 0, which is lower).

    Raises:
        UserError: a minibatch larger than the training set, or an unknown cell.
        OutOfTime: the time budget is spent.
    """
    name, dataset = run.keys["cell"], run.keys["dataset"]
    if name not in settings.cells:
        raise UserError(
            f"implicit.vae_train: no cell '{name}'; the settings have {', '.join(settings.cells)}"
        )
    cell = settings.cells[name]
    arrays = read_arrays(run.inputs["images"])
    images = torch.from_numpy(unpack(arrays, "train")).to(run.device)
    if settings.batch > len(images):
        raise UserError(
            f"implicit.vae_train: batch {settings.batch} exceeds the {len(images)} training images"
        )
    seeds = range(cell.seeds)
    what = objective(settings, dataset, cell, seeds, images)
    found = fit(
        what,
        initial_networks(settings, dataset, cell, seeds),
        epochs=cell.rounds,
        learning_rate=cell.learning_rate,
        schedule=stairs(DECAY, settings.decay_every),
        record_epochs=settings.record_rounds,
        damped={"mean": 1.0, "deviation": cell.deviation_share, "decoder": 1.0},
        state=what.state,
        work=Work.of(
            run,
            f"{dataset}-{name}",
            provenance.identity(__name__, settings, run),
            settings.checkpoint_seconds,
        ),
        device=run.device,
    )
    rounds = np.arange(settings.record_rounds, cell.rounds + settings.record_rounds, settings.record_rounds)
    curves = [
        pd.DataFrame(
            {"seed": seed, "step": np.minimum(rounds, cell.rounds) * settings.round_steps, "bound": bound}
        )
        for seed, bound in zip(seeds, found.values, strict=True)
    ]
    key = {
        "document": "implicit",
        "dataset": dataset,
        "data": str(arrays["data"]),
        "cell": name,
        "group": "+".join(cell.tables),
        "model": cell.model,
        "method": cell.method,
        "refinements": cell.refinements,
        "alpha": cell.alpha,
    }
    table = pd.concat(curves, ignore_index=True).assign(**key)
    return {
        "models": Stored(found.networks).to_arrays(),
        "curves": table[[*key, "seed", "step", "bound"]],
    }


def objective(
    settings: Settings, dataset: str, cell: VaeCell, seeds: Sequence[int], images: Tensor
) -> Variational:
    """What the cell maximises on training images `[N, 784]`."""
    device = images.device.type
    streams = [
        partial(torch_generator, settings.seed, "implicit.vae", dataset, "noise", seed, device=device)
        for seed in seeds
    ]
    return training(settings, cell, images, streams)
