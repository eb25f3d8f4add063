"""What was run: sizes of the data sets and training settings (air, Tables 5 and 6; the numbers are lost)."""

import pandas as pd

from elbogap.models.image_vae import PIXELS, unpacked
from elbogap.papers.air.experiments.images import PARTS
from elbogap.papers.air.settings import Train as Settings
from elbogap.runtime import Run
from elbogap.tables import read_arrays


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Tables of the settings of training and of the inputs `<dataset>`, images as used.

    Returns `splits`: images per part, and `ink`, the mean pixel value of the training part; `settings`: per
    data set and cell layers, learning rates, iterations, batch and passes over the training images.
    """
    splits, rows = [], []
    for dataset, path in run.inputs.items():
        arrays = read_arrays(path)
        key = {"document": "air", "dataset": dataset, "data": str(arrays["data"])}
        sizes = {part: len(arrays[part]) for part in PARTS}
        splits.append(key | sizes | {"ink": float(unpacked(arrays, "train").numpy().mean())})
        for name, cell in settings.cells_of(dataset):
            layers, iterations = settings.layers(dataset, cell), settings.iterations(cell)
            encoder, decoder = [*layers.encoder, settings.latent], [*layers.decoder, PIXELS]
            rows.append(
                {**key, "cell": name, "k": cell.k, "m": cell.m}
                | {"encoder": "-".join(map(str, encoder)), "decoder": "-".join(map(str, decoder))}
                | {"activation": settings.activation, "learning_rate": settings.learning_rate}
                | {"final_learning_rate": settings.learning_rate * settings.final_share}
                | {"iterations": iterations, "batch": settings.batch}
                | {"passes": iterations * settings.batch / sizes["train"], "seeds": cell.seeds}
            )
    return {"splits": pd.DataFrame(splits), "settings": pd.DataFrame(rows)}
