"""Table 1 and the pictures of Figures 3 and 4: ELBO and Frechet distance of all stages (efvae, section 4.2).

The document's Frechet distances are between images generated from the prior; here these are means G(z). At
scales without the standard Inception network the distance is taken in a few features of a small random
network: it is then no FID, and the column `fid` is empty.
"""

import math

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from elbogap.data.loaders import Dataset, load
from elbogap.evaluation import fid
from elbogap.nn import store
from elbogap.nn.dcgan import Encoder
from elbogap.papers.efvae.celeba import Decoder, elbo_terms
from elbogap.papers.efvae.settings import CelebaEvaluate as Settings
from elbogap.runtime import Run, torch_generator
from elbogap.tables import read_arrays
from elbogap.training import Work, tabulate, train

Models = dict[str, tuple[Decoder, Encoder]]

TRUTH, REFERENCE = "ground_truth", "reference"


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Evaluate `ground_truth` with its pre-trained `encoder`, and the jointly trained `fixed` and `learned`.

    All models see the same images x, and decode the same z for the distance; the reference images are
    independent draws of the ground truth, so that its own row is the floor that the number of images sets.
    The input `inception` is the record of the Inception weights.

    Returns `table`: per model `elbo` with its standard error over images, `log_likelihood` and `kl`, in nats
    per image, and the `distance`. `pictures`: uint8 `[N, S, S, 3]`: images, their re-decodings from mean and
    draw of the pre-trained q(z|x), and samples of the decoders from the same z.
    """
    truth, encoder, fixed, learned = (
        read_arrays(run.inputs[name]) for name in (TRUTH, "encoder", "fixed", "learned")
    )
    stored = {TRUTH: truth | encoder, "elbo_fixed": fixed, "elbo_learned": learned}
    models: Models = {}
    for name, arrays in stored.items():
        q = Encoder.from_arrays(store.part("encoder", arrays))
        models[name] = Decoder.from_arrays(arrays).to(run.device), q.to(run.device).eval()
    weights = load(run.inputs["inception"])
    real = weights.kind == "real"
    log_likelihood, kl = _terms(settings, run, models)
    elbo, distances = log_likelihood - kl, _distances(settings, run, models, weights)
    table = pd.DataFrame(
        {
            "document": "efvae",
            "data": "real" if real and str(truth["data"]) == "real" else "stand-in",
            "model": list(models),
            "sigma": [decoder.sigma for decoder, _ in models.values()],
            "images": settings.images,
            "elbo": elbo.mean(1),
            "elbo_se": elbo.std(1, ddof=1) / math.sqrt(settings.images),
            "log_likelihood": log_likelihood.mean(1),
            "kl": kl.mean(1),
            "features": "inception" if real else "tiny",
            "fid_images": settings.fid_images,
            "distance": distances,
            "fid": distances if real else math.nan,
        }
    )
    return {"table": table, "pictures": {"data": truth["data"], **_pictures(settings, run, models)}}


def _terms(settings: Settings, run: Run, models: Models) -> np.ndarray:
    """Both parts of the ELBO of fresh images of the ground truth, `[2, models, N]`."""
    sizes = _batches(settings.images, settings.batch)

    @torch.no_grad()
    def row(k: int) -> Tensor:
        terms = []
        for pair in models.values():
            random = _stream(settings, run, "elbo", k)  # the same images and noise for all models
            _, x = models[TRUTH][0].draw(sizes[k], random)
            terms.append(elbo_terms(*pair, x, random).cpu())
        return functional.pad(torch.stack(terms, 1), (0, settings.batch - sizes[k]))

    rows = tabulate(row, rows=len(sizes), work=Work.in_module(__name__, settings, run, "celeba-elbo"))
    return torch.cat([*rows], -1)[..., : settings.images].numpy()


def _distances(settings: Settings, run: Run, models: Models, weights: Dataset) -> list[float]:
    """Squared Frechet distance of each decoder's prior samples from the reference images."""
    if weights.kind == "real":
        features, size = fid.inception_features(weights, run.device), fid.INCEPTION
    else:
        features, size = fid.tiny_features(weights.record["stand_in"]["seed"], run.device), fid.TINY
    decoders = {REFERENCE: models[TRUTH][0], **{name: decoder for name, (decoder, _) in models.items()}}
    statistics = {name: fid.Statistics(size, run.device) for name in decoders}
    sizes = _batches(settings.fid_images, settings.batch)

    @torch.no_grad()
    def step(i: int) -> Tensor:
        for name, decoder in decoders.items():
            random = _stream(settings, run, REFERENCE if name == REFERENCE else "samples", i - 1)
            rows = features(fid.as_stored(decoder.generator(decoder.prior(sizes[i - 1], random))))
            statistics[name].update(rows)
        return rows.mean()

    work = Work.in_module(__name__, settings, run, "celeba-distance")
    train(step, steps=len(sizes), record_every=1, parts=statistics, work=work)
    return [fid.distance(statistics[REFERENCE], statistics[name]) for name in models]


@torch.no_grad()
def _pictures(settings: Settings, run: Run, models: Models) -> dict[str, np.ndarray]:
    decoder, encoder = models[TRUTH]
    random = _stream(settings, run, "pictures")
    _, x = decoder.draw(settings.shown, random)
    mean, log_scale = encoder.moments(x)
    z = mean + log_scale.exp() * decoder.prior(settings.shown, random)
    images = {"x": x, "decoded_mean": decoder.generator(mean), "decoded_draw": decoder.generator(z)}
    z = decoder.prior(settings.shown, _stream(settings, run, "shown"))
    images |= {f"samples_{name}": decoder.generator(z) for name, (decoder, _) in models.items()}
    stored = {name: (fid.as_stored(values) * fid.LEVELS).round().byte() for name, values in images.items()}
    return {name: values.permute(0, 2, 3, 1).cpu().numpy() for name, values in stored.items()}


def _batches(count: int, batch: int) -> list[int]:
    """Sizes of minibatches that make up the count."""
    return [min(batch, count - start) for start in range(0, count, batch)]


def _stream(settings: Settings, run: Run, *purpose: str | int) -> torch.Generator:
    return torch_generator(settings.seed, "efvae.celeba_evaluate", *purpose, device=run.device)
