"""Table 1 and the pictures of Figures 3 and 4: ELBO, FID and KID of all stages (efvae, section 4.2).

The document's Frechet distances are between images generated from the prior; it does not say whether these
have the model's noise. Here they are means G(z), and draws of the model with its noise in the second table.
At scales without the standard Inception network the distances are taken in a few features of a small random
network: they are then no FID or KID.
"""

import math
from collections.abc import Callable
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from elbogap.data.loaders import load
from elbogap.evaluation import fid
from elbogap.nn import store
from elbogap.nn.dcgan import Encoder
from elbogap.papers.efvae.celeba import Decoder, elbo_terms
from elbogap.papers.efvae.settings import CelebaEvaluate as Settings
from elbogap.runtime import Run, torch_generator
from elbogap.tables import read_arrays
from elbogap.training import Work, train

Models = dict[str, tuple[Decoder, Encoder]]
TRUTH, REFERENCE = "ground_truth", "reference"
SAMPLES = ("means", "draws")
TERMS = ("elbo", "kl", *SAMPLES)


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Evaluate the `ground_truth` with its pre-trained encoder, and the jointly trained `fixed`, `learned`.

    All models see the same images x, and decode the same z for the distance; the reference images are
    independent draws of the ground truth, so that its own row is the floor that the number of images sets.
    The input `inception` is the record of the Inception weights.

    Returns `table`: per model `elbo` with its standard error over minibatches and its `kl`, in nats per
    image, and the Frechet `distance` of means; `samples`: the `kid` of means and of draws with its standard
    error. `pictures`: uint8 `[N, S, S, 3]`: images, their re-decodings from the mean of the pre-trained
    q(z|x), and samples of the decoders from the same z.
    """
    stream = partial(torch_generator, settings.seed, "efvae.celeba_evaluate", device=run.device)
    models: Models = {}
    for name in (TRUTH, "elbo_fixed", "elbo_learned"):
        arrays = read_arrays(run.inputs[name.removeprefix("elbo_")])
        q = Encoder.from_arrays(store.part("encoder", arrays))
        models[name] = Decoder.from_arrays(arrays).to(run.device), q.to(run.device).eval()
    weights = load(run.inputs["inception"])
    real = weights.kind == "real"
    if real:
        features, size = fid.inception_features(weights, run.device), fid.INCEPTION
    else:
        features, size = fid.tiny_features(weights.record["stand_in"]["seed"], run.device), fid.TINY
    compared = {REFERENCE: models[TRUTH][0], **{name: decoder for name, (decoder, _) in models.items()}}
    statistics = {name: fid.Statistics(size, run.device) for name in compared}

    @torch.no_grad()
    def step(i: int) -> Tensor:
        """The terms `[T, models]` of a minibatch; its features go to the statistics."""
        rows: dict[str, Tensor] = {}
        found: dict[str, list[Tensor]] = {name: [] for name in TERMS}
        for kind, (name, decoder) in product(SAMPLES, compared.items()):
            random = stream(REFERENCE if name == REFERENCE else "samples", i - 1)
            images = decoder.generator(decoder.prior(settings.batch, random))
            if kind == "draws":
                images += decoder.sigma * torch.randn(images.shape, generator=random, device=run.device)
            rows[name] = features(fid.as_stored(images))
            if kind == "means":
                statistics[name].update(rows[name])
            if name != REFERENCE:
                found[kind].append(fid.kernel_distance(rows[REFERENCE], rows[name]))
        for pair in models.values():
            random = stream("elbo", i - 1)  # the same images and noise for all models
            _, x = models[TRUTH][0].draw(settings.batch, random)
            log_likelihood, kl = elbo_terms(*pair, x, random).mean(1)
            found["elbo"].append(log_likelihood - kl)
            found["kl"].append(kl)
        return torch.stack([torch.stack(values).cpu() for values in found.values()])

    work = Work.in_module(__name__, settings, run, "celeba-evaluate")
    records = train(step, steps=settings.batches, record_every=1, parts=statistics, work=work)
    means = dict(zip(TERMS, records.mean(0).numpy(), strict=True))
    errors = dict(zip(TERMS, (records.std(0) / math.sqrt(len(records))).numpy(), strict=True))
    key = {
        "document": "efvae",
        "data": "real" if real and str(arrays["data"]) == "real" else "stand-in",
        "model": list(models),
        "images": settings.batches * settings.batch,
        "features": "inception" if real else "tiny",
    }
    samples = [
        pd.DataFrame(key | {"samples": kind, "kid": means[kind], "kid_se": errors[kind]}) for kind in SAMPLES
    ]
    table = pd.DataFrame(key).assign(
        distance=[fid.distance(statistics[REFERENCE], statistics[name]) for name in models],
        sigma=[decoder.sigma for decoder, _ in models.values()],
        elbo=means["elbo"],
        elbo_se=errors["elbo"],
        kl=means["kl"],
    )
    pictures = {"data": arrays["data"], **_pictures(settings.shown, stream, models)}
    return {"table": table, "samples": pd.concat(samples, ignore_index=True), "pictures": pictures}


@torch.no_grad()
def _pictures(count: int, stream: Callable[..., torch.Generator], models: Models) -> dict[str, np.ndarray]:
    decoder, encoder = models[TRUTH]
    random = stream("pictures")
    _, x = decoder.draw(count, random)
    images = {"x": x, "decoded": decoder.generator(encoder.moments(x)[0])}
    z = decoder.prior(count, stream("shown"))
    images |= {f"samples_{name}": decoder.generator(z) for name, (decoder, _) in models.items()}
    stored = {name: (fid.as_stored(values) * fid.LEVELS).round().byte() for name, values in images.items()}
    return {name: values.permute(0, 2, 3, 1).cpu().numpy() for name, values in stored.items()}
