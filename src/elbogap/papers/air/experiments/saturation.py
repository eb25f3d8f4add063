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
    """Estimate log p(x) of each method's first model in each data set's `models_<dataset>`.

    Returns `saturation`: per model, `steps` T, `step_samples` k' and `samples` k the mean `loglik` over the
    first test images in nats, and `below_best`, how far it lies below that of the largest T, k' and k, with
    the standard error of this paired difference. T = 0 is the importance sampling of IWAE-k.
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
    models = Stored.load(run.inputs[f"models_{dataset}"])
    labels = pd.DataFrame({name: models.values[name] for name in ("method", "alpha", "strength")})
    first = labels.drop_duplicates(["method", "alpha"])
    best = max(range(len(grid)), key=lambda i: (grid[i].steps, grid[i].step_samples, grid[i].samples))

    def row(number: int) -> Tensor:
        place, i = divmod(number, len(grid))
        generator = torch_generator(settings.seed, "air.saturation", dataset, i, device=run.device)
        networks = models.member(first.index[place], run.device)
        return log_likelihood(networks, images, grid[i], rows=settings.rows, generator=generator).cpu()

    work = Work.in_module(__name__, settings, run, f"{dataset}-saturation")
    values = tabulate(row, rows=len(first) * len(grid), work=work).unflatten(0, (-1, len(grid))).numpy()
    below = values[:, [best]] - values
    key = {"document": "air", "dataset": dataset, "data": str(arrays["data"])}
    asked = pd.DataFrame([key | each.model_dump(exclude={"learning_rate"}) for each in grid])
    return first.merge(asked, how="cross")[[*key, *labels, "steps", "step_samples", "samples"]].assign(
        images=len(images),
        loglik=values.mean(-1).ravel(),
        below_best=below.mean(-1).ravel(),
        below_best_se=below.std(-1, ddof=1).ravel() / len(images) ** 0.5,
    )
