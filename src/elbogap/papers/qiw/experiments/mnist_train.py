"""Train the importance-weighted autoencoder of figure 2 on binarised MNIST (Cremer et al. 2017).

Networks, bound and optimiser follow the authors' code: softplus, Xavier-uniform weights, zero biases, Adam,
images reshuffled each epoch. That the bound is averaged, not summed, over the minibatch is a guess; it
matters because of Adam's large epsilon, which has TensorFlow's meaning here (:func:`torch_epsilon`).
"""

import math
from functools import lru_cache, partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from elbogap.data.loaders import load
from elbogap.ensemble import minibatches
from elbogap.errors import refuse_too_large
from elbogap.inference import noise
from elbogap.inference.objectives.elbo import IWAE
from elbogap.models.image_vae import initial_networks, log_joint, posterior
from elbogap.nn.store import Stored
from elbogap.papers.qiw.settings import MnistTrain as Settings
from elbogap.runtime import Run, numpy_generator, torch_generator
from elbogap.training import Part, Work, descend, train

BETAS = (0.9, 0.999)


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Train, and give the parameters (`parameters`) and the training curve (`curve`).

    `train_iwae` is the mean IWAE bound with k draws over the steps up to `step`, in nats per image. UserError
    for a minibatch larger than the training set.
    """
    data = load(run.inputs["data"])
    images = data.arrays["train"]
    chosen = numpy_generator(settings.seed, "qiw.mnist_train", "subset").permutation(len(images))
    images = torch.from_numpy(images[chosen[: settings.images]]).to(run.device, torch.float32)
    refuse_too_large(settings.batch, len(images), "qiw.mnist_train")
    steps_per_epoch = len(images) // settings.batch
    stream = partial(torch_generator, settings.seed, "qiw.mnist_train")
    weights, generator = stream("weights"), stream("noise", device=run.device)
    hidden = settings.hidden
    networks = initial_networks(hidden, settings.latent, hidden, "softplus", lambda _: [weights])
    modules = nn.ModuleDict(networks).to(run.device)
    optimiser = torch.optim.Adam(modules.parameters(), lr=settings.learning_rate, betas=BETAS, fused=True)

    @lru_cache(maxsize=1)
    def rows(epoch: int) -> Tensor:
        return minibatches(len(images), settings.batch, stream("order", epoch)).to(run.device)

    def step(i: int) -> Tensor:
        epoch, k = divmod(i - 1, steps_per_epoch)
        x = images[rows(epoch)[k]][None, None]
        q = posterior(networks["encoder"], x)
        drawn = noise.draw(q.noise(1, settings.k, settings.batch), generator)
        bound = IWAE().estimate(q, log_joint(networks["decoder"], x), drawn).mean()[0]
        optimiser.param_groups[0]["eps"] = torch_epsilon(settings.epsilon, i)
        descend(-bound, optimiser)
        return bound.detach()

    steps, every = settings.epochs * steps_per_epoch, settings.record_every
    parts: dict[str, Part] = {"networks": modules, "optimiser": optimiser, "noise": generator}
    work = Work.in_module(__name__, settings, run, "IWAE")
    bounds = train(step, steps=steps, record_every=every, parts=parts, work=work)
    last = np.minimum(np.arange(1, len(bounds) + 1) * every, steps)
    curve = {"document": "qiw", "dataset": data.name, "data": data.kind, "k": settings.k, "step": last}
    curve |= {"epoch": last / steps_per_epoch, "train_iwae": bounds.numpy()}
    parameters = Stored(networks, {"data": np.array(data.kind)}).to_arrays()
    return {"parameters": parameters, "curve": pd.DataFrame(curve)}


def torch_epsilon(epsilon: float, step: int) -> float:
    """The epsilon that makes step t of torch's Adam equal to TensorFlow's with `epsilon`.

    TensorFlow adds epsilon to sqrt(v), torch to the bias-corrected sqrt(v / (1 - beta2^t)): the two agree if
    torch's is epsilon / sqrt(1 - beta2^t), 32 times `epsilon` at first and `epsilon` in the end.
    """
    return epsilon / math.sqrt(1 - BETAS[1] ** step)
