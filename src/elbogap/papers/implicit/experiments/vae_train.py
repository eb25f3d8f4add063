"""Train one model and method on one data set of binary images (implicit, Tables 1 and 2, Figure 6)."""

import numpy as np
import pandas as pd

from elbogap.errors import named, refuse_too_large
from elbogap.models.image_vae import unpacked
from elbogap.nn.store import Stored
from elbogap.papers.implicit.frames import by_seed, keyed
from elbogap.papers.implicit.settings import VaeTrain as Settings
from elbogap.papers.implicit.vae import Learning
from elbogap.runtime import Run
from elbogap.tables import read_arrays
from elbogap.training import Work


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Train the cell `cell` on the data set `dataset` (keys), whose images are the input `images`.

    Returns `models`: the networks as :class:`elbogap.nn.store.Stored`; `curves`: by seed and `step` the
    `bound` since the last record, in nats per image (the ELBO, or SIVI's bound; for UIVI that with L = 0).
    UserError for a minibatch larger than the training set, or an unknown cell.
    """
    name, dataset = run.keys["cell"], run.keys["dataset"]
    cell = named(settings.cells, name, "implicit.vae_train: no cell")
    arrays = read_arrays(run.inputs["images"])
    images = unpacked(arrays, "train", run.device)
    refuse_too_large(settings.batch, len(images), "implicit.vae_train")
    work = Work.in_module(__name__, settings, run, f"{dataset}-{name}")
    found = Learning(settings, dataset, cell, range(cell.seeds)).train(images, cell.rounds, work)
    records = settings.record_rounds * np.arange(1, found.values.shape[1] + 1)
    steps = np.minimum(records, cell.rounds) * settings.round_steps
    curves = keyed(
        by_seed({"bound": found.values}, step=steps),
        dataset=dataset,
        data=str(arrays["data"]),
        cell=name,
        group="+".join(cell.tables),
        **cell.model_dump(include={"model", "method", "refinements"}),
    )
    return {"models": Stored(found.networks).to_arrays(), "curves": curves}
