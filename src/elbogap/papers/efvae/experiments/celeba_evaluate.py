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

from elbogap import provenance
from elbogap.data.loaders import Dataset, load
from elbogap.evaluation import fid
from elbogap.nn.dcgan import Encoder
from elbogap.papers.efvae.celeba import Decoder, elbo_terms, load_decoder, load_encoder
from elbogap.papers.efvae.settings import CelebaEvaluate as Settings
from elbogap.runtime import Run, torch_generator
from elbogap.tables import Arrays, read_arrays
from elbogap.training import Work, tabulate, train

Models = dict[str, tuple[Decoder, Encoder]]

TRUTH, REFERENCE = "ground_truth", "reference"
WHITE = 255


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Evaluate `ground_truth` with its pre-trained `encoder`, and the jointly trained `fixed` and `learned`.

    The input `inception` is the record of the Inception weights. All models see the same images x, and decode
    the same z for the distance; the reference images are independent draws of the ground truth, so that its
    own row is the floor that the number of images sets.

    Returns:
        `table`: per model `elbo` with its standard error over images, its parts `log_likelihood` and `kl`, in
        nats per image; `sigma`; `distance` in the features `features`, and as `fid` where these are
        Inception's. `pictures`: uint8 `[N, S, S, 3]`: images, their re-decodings from mean and draw of the
        pre-trained q(z|x), and samples of the decoders from the same z.

    Raises:
        OutOfTime: the time budget is spent.
    """
    truth = read_arrays(run.inputs[TRUTH])
    weights = load(run.inputs["inception"])
    models = _models(run, truth)
    log_likelihood, kl = _terms(settings, run, models)
    elbo = log_likelihood - kl
    distances = _distances(settings, run, models, weights)
    real = weights.kind == "real"
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


def _models(run: Run, truth: Arrays) -> Models:
    """Decoder and encoder of each row, on the run's device; the encoders with their running statistics."""
    stages = {"elbo_fixed": run.inputs["fixed"], "elbo_learned": run.inputs["learned"]}
    arrays = {TRUTH: {**truth, **read_arrays(run.inputs["encoder"])}}
    arrays |= {name: read_arrays(path) for name, path in stages.items()}
    return {
        name: (load_decoder(one).to(run.device), load_encoder(one).to(run.device).eval())
        for name, one in arrays.items()
    }


def _terms(settings: Settings, run: Run, models: Models) -> np.ndarray:
    """Both parts of the ELBO of fresh images of the ground truth, `[2, models, N]`."""
    sizes, pairs = _batches(settings.images, settings.batch), list(models.values())

    @torch.no_grad()
    def row(i: int) -> Tensor:
        number, k = divmod(i, len(sizes))
        random = _stream(settings, run, "elbo", k)
        _, x = models[TRUTH][0].draw(sizes[k], random)
        found = torch.full((2, settings.batch), math.nan)
        found[:, : sizes[k]] = elbo_terms(*pairs[number], x, random).cpu()
        return found

    values = tabulate(row, rows=len(pairs) * len(sizes), work=_work(settings, run, "celeba-elbo"))
    by_model = values.unflatten(0, (len(pairs), len(sizes))).permute(2, 0, 1, 3).flatten(2)
    return by_model[:, :, : settings.images].numpy()


def _distances(settings: Settings, run: Run, models: Models, weights: Dataset) -> list[float]:
    """Squared Frechet distance of each decoder's prior samples from the reference images."""
    if weights.kind == "real":
        features, size = fid.inception_features(weights, run.device), fid.INCEPTION
    else:
        features, size = fid.tiny_features(weights.record["stand_in"]["seed"], run.device), fid.TINY
    decoders = {REFERENCE: models[TRUTH][0], **{name: decoder for name, (decoder, _) in models.items()}}
    statistics = {name: fid.Statistics(size, run.device) for name in decoders}
    names, sizes = list(decoders), _batches(settings.fid_images, settings.batch)

    @torch.no_grad()
    def step(i: int) -> Tensor:
        number, k = divmod(i - 1, len(sizes))
        name = names[number]
        random = _stream(settings, run, REFERENCE if name == REFERENCE else "samples", k)
        found = features(fid.as_stored(_samples(decoders[name], sizes[k], random)))
        statistics[name].update(found)
        return found.mean()

    train(
        step,
        steps=len(names) * len(sizes),
        record_every=len(sizes),
        parts=statistics,
        work=_work(settings, run, "celeba-distance"),
    )
    return [fid.distance(statistics[REFERENCE], statistics[name]) for name in models]


@torch.no_grad()
def _pictures(settings: Settings, run: Run, models: Models) -> dict[str, np.ndarray]:
    decoder, encoder = models[TRUTH]
    random = _stream(settings, run, "pictures")
    _, x = decoder.draw(settings.shown, random)
    mean, log_deviation = encoder.moments(x)
    draw = mean + log_deviation.exp() * decoder.prior(settings.shown, random)
    found = {"x": x, "decoded_mean": decoder.generator(mean), "decoded_draw": decoder.generator(draw)}
    for name, (one, _) in models.items():
        found[f"samples_{name}"] = _samples(one, settings.shown, _stream(settings, run, "shown"))
    stored = {name: fid.as_stored(images) * WHITE for name, images in found.items()}
    return {name: images.round().byte().permute(0, 2, 3, 1).cpu().numpy() for name, images in stored.items()}


def _samples(decoder: Decoder, count: int, random: torch.Generator) -> Tensor:
    """Means G(z) of draws of the prior."""
    return decoder.generator(decoder.prior(count, random))


def _batches(count: int, batch: int) -> list[int]:
    """Sizes of minibatches that make up the count."""
    return [min(batch, count - start) for start in range(0, count, batch)]


def _stream(settings: Settings, run: Run, *purpose: str | int) -> torch.Generator:
    return torch_generator(settings.seed, "efvae.celeba_evaluate", *purpose, device=run.device)


def _work(settings: Settings, run: Run, label: str) -> Work:
    return Work.of(run, label, provenance.identity(__name__, settings, run), settings.checkpoint_seconds)
