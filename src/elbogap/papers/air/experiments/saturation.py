"""Whether IW-SVI has converged in its samples and gradient steps (air, appendix C; the settings are lost)."""

import pandas as pd
from torch import Tensor

from elbogap.models.image_vae import unpacked
from elbogap.nn.store import Stored
from elbogap.papers.air.experiments.evaluate import log_likelihood
from elbogap.papers.air.settings import Estimator
from elbogap.papers.air.settings import Saturation as Settings
from elbogap.runtime import Run, torch_generator
from elbogap.tables import read_arrays
from elbogap.training import Work, tabulate


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Estimate log p(x) of the first model of each data set's `models_<dataset>` with all settings.

    Returns `saturation`: per data set, `steps` T, `step_samples` k' and `samples` k the mean `loglik` over
    the first test images in nats, and `below_best`, how far it lies below that of the largest T, k' and k,
    with the standard error of this paired difference. T = 0 is the importance sampling of IWAE-k.
    """
    datasets = [name.removeprefix("models_") for name in run.inputs if name.startswith("models_")]
    tables = [_of_dataset(settings, run, dataset) for dataset in datasets]
    return {"saturation": pd.concat(tables, ignore_index=True)}


def _of_dataset(settings: Settings, run: Run, dataset: str) -> pd.DataFrame:
    grid = [
        Estimator(steps=t, step_samples=s, samples=k, learning_rate=settings.learning_rate)
        for t in settings.steps
        for s in (settings.step_samples if t else settings.step_samples[:1])
        for k in settings.samples
    ]
    arrays = read_arrays(run.inputs[f"images_{dataset}"])
    images = unpacked(arrays, "test", run.device, settings.images)
    networks = Stored.load(run.inputs[f"models_{dataset}"]).member(0, run.device)

    def row(i: int) -> Tensor:
        generator = torch_generator(settings.seed, "air.saturation", dataset, i, device=run.device)
        return log_likelihood(networks, images, grid[i], settings.rows, generator).cpu()

    work = Work.in_module(__name__, settings, run, f"{dataset}-saturation")
    values = tabulate(row, rows=len(grid), work=work).numpy()
    key = {"document": "air", "dataset": dataset, "data": str(arrays["data"])}
    levels = pd.DataFrame([key | asked.model_dump(exclude={"learning_rate"}) for asked in grid])
    best = levels.sort_values(["steps", "step_samples", "samples"]).index[-1]
    below = values[best] - values
    return levels.assign(
        images=len(images),
        loglik=values.mean(1),
        below_best=below.mean(1),
        below_best_se=below.std(1, ddof=1) / len(images) ** 0.5,
    )
