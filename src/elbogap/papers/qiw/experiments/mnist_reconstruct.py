"""Reconstructions from q and from q_IW (Cremer et al. 2017, figure 2; table 2 measures what it shows).

As in the authors' code the figure shows pixel means for five test images chosen with NumPy's RandomState(0)
(how is a guess: its first permutation), ten draws of each distribution, each draw of q_IW resampled among 50.
"""

from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from elbogap.data.loaders import load
from elbogap.densities import bernoulli_log_likelihood
from elbogap.evaluation.iw_svi import estimate
from elbogap.inference import noise
from elbogap.inference.importance import resample
from elbogap.models.image_vae import log_joint, posterior
from elbogap.nn.mlp import MLP
from elbogap.nn.store import Stored
from elbogap.papers.qiw.experiments.mnist_classifier import predict
from elbogap.papers.qiw.settings import MnistReconstruct as Settings
from elbogap.runtime import Run, numpy_generator, torch_generator

ROWS = 10_000  # decoder rows held at once
Networks = Mapping[str, MLP]


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Reconstruct test images: the figure's pixel means (`images`) and Table 2 (`reconstruction`).

    `digit_agreement` is the fraction of images for which the classifier reads the same digit in the decoded
    mean, thresholded at 1/2, `test_iwae_s<S>` the IWAE bound with S draws on the first `bound_images`, in
    nats per image. `images`: `real` uint8 `[images, 784]`; `q`, `q_iw` float32 `[images, samples, 784]`.
    """
    networks = Stored.load(run.inputs["parameters"]).member(0, run.device)
    classifier = Stored.load(run.inputs["classifier"])
    data = load(run.inputs["data"])
    test = torch.from_numpy(data.arrays["test"]).to(run.device, torch.float32)
    # The test part is sorted by class, so its first rows are no sample of it.
    order = numpy_generator(settings.seed, "qiw.mnist_reconstruct", "images").permutation(len(test))
    images = test[torch.from_numpy(order[: settings.images]).to(run.device)]
    stream = partial(torch_generator, settings.seed, "qiw.mnist_reconstruct", device=run.device)
    with torch.no_grad():
        bound = _bound(networks, images[: settings.bound_images], settings.bound_samples, stream("bound"))
        digits, rows = predict(classifier, images), []
        for draw_seed in range(settings.repeats):
            reconstructed = _reconstruct(networks, images, settings.k, stream("table", draw_seed))
            for method, logits in reconstructed.items():
                log_likelihood = bernoulli_log_likelihood(images, logits).double().mean().item()
                row = {"method": method, "draw_seed": draw_seed, "mean_log_p_x_given_z": log_likelihood}
                rows.append(row | {"digit_agreement": (predict(classifier, logits > 0) == digits).mean()})
        chosen = np.random.RandomState(settings.figure_seed).permutation(len(test))[: settings.figure_images]
        real = test[torch.from_numpy(chosen).to(run.device)]
        repeated = real.repeat_interleave(settings.figure_samples, 0)
        means = {
            method: logits.sigmoid().unflatten(0, (len(real), -1)).cpu().numpy()
            for method, logits in _reconstruct(networks, repeated, settings.k, stream("figure")).items()
        }
    table = pd.DataFrame(
        {
            "document": "qiw",
            "dataset": data.name,
            "data": "real" if data.kind == str(classifier.values["data"]) == "real" else "stand-in",
            "k": settings.k,
            "images": len(images),
            f"test_iwae_s{settings.bound_samples}": bound,
            **pd.DataFrame(rows),
        }
    )
    return {"reconstruction": table, "images": {"real": real.cpu().numpy().astype(np.uint8), **means}}


def _reconstruct(networks: Networks, images: Tensor, k: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Logits `[B, 784]` of one reconstruction per image and method; q_IW chooses among k draws of q."""
    logits: dict[str, list[Tensor]] = {"q": [], "q_iw": []}
    for block in images.split(max(1, ROWS // k)):
        q, joint = posterior(networks["encoder"], block[None, None]), log_joint(networks["decoder"], block)
        z = q.rsample(noise.draw(q.noise(1, k, len(block)), generator))
        resampled = resample(z, joint(z) - q.log_prob(z), generator)
        logits["q"].append(networks["decoder"](z[:, 0])[0])
        logits["q_iw"].append(networks["decoder"](resampled)[0])
    return {method: torch.cat(blocks) for method, blocks in logits.items()}


def _bound(networks: Networks, images: Tensor, samples: int, generator: torch.Generator) -> float:
    bounds = []
    for block in images.split(max(1, ROWS // samples)):
        q, joint = posterior(networks["encoder"], block[None, None]), log_joint(networks["decoder"], block)
        bounds.append(estimate(joint, q, samples=samples, at_once=samples, generator=generator))
    return torch.cat(bounds, -1).double().mean().item()
