"""The ground truth of the CelebA images: a DCGAN trained on the real ones (efvae, section 4.2).

The document names no epoch; its replicators took the generator of epoch 44, before it collapsed. The last
incomplete minibatch of an epoch is left out.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from elbogap.data.loaders import Dataset, load
from elbogap.ensemble import minibatches
from elbogap.errors import UserError, refuse_too_large
from elbogap.nn.dcgan import Generator, ImageNetwork
from elbogap.papers.efvae.celeba import BLOCK, Decoder, adam
from elbogap.papers.efvae.settings import Gan as Settings
from elbogap.runtime import Run, numpy_generator, torch_generator
from elbogap.tables import Arrays
from elbogap.training import Part, Work, descend, train

WHITE = 255
READ_AT_ONCE = 5000


def run(settings: Settings, run: Run) -> dict[str, Arrays]:
    """Train generator and discriminator on the images of the record `data`.

    The discriminator minimises -log D(x) - log(1 - D(G(z))), the generator -log D(G(z)) (Goodfellow et al.
    2014), a step each by turns.

    Returns `ground_truth`: the generator after the last epoch and the image noise. UserError for fewer images
    than set, a minibatch larger than their number, or a bad image size.
    """
    data = load(run.inputs["data"])
    images = _images(settings, data).to(run.device)
    refuse_too_large(settings.batch, len(images), "efvae.gan")
    random = torch_generator(settings.seed, "efvae.gan", "weights")
    generator = Generator(settings.latent, settings.width, settings.side, random).to(run.device)
    discriminator = ImageNetwork(1, settings.width, settings.side, random).to(run.device)
    of_discriminator, of_generator = adam(settings, discriminator), adam(settings, generator)
    per_epoch = len(images) // settings.batch
    steps = settings.epochs * per_epoch

    def step(i: int) -> Tensor:
        epoch, k = divmod(i - 1, per_epoch)
        order = torch_generator(settings.seed, "efvae.gan", "order", epoch, device=run.device)
        chosen = images[minibatches(len(images), settings.batch, order)[k]]
        noise = torch_generator(settings.seed, "efvae.gan", "noise", i, device=run.device)
        z = torch.randn(settings.batch, settings.latent, generator=noise, device=run.device)
        real, fake = chosen.float() * (2 / WHITE) - 1, generator(z)
        loss = _cross_entropy(discriminator(real), 1.0) + _cross_entropy(discriminator(fake.detach()), 0.0)
        descend(loss, of_discriminator)
        descend(_cross_entropy(discriminator(fake), 1.0), of_generator)
        return loss.detach()

    parts: dict[str, Part] = {"generator": generator, "discriminator": discriminator}
    parts |= {"discriminator_optimiser": of_discriminator, "generator_optimiser": of_generator}
    work = Work.in_module(__name__, settings, run, "celeba-gan")
    train(step, steps=steps, record_every=BLOCK, parts=parts, work=work)
    truth = {"data": np.array(data.kind), **Decoder(generator, settings.sigma).to_arrays()}
    return {"ground_truth": truth}


def _images(settings: Settings, data: Dataset) -> Tensor:
    """Images of all parts, chosen at random, scaled by means over blocks of pixels, uint8 `[N, 3, S, S]`."""
    assert data.images is not None  # the data set is CelebA or its stand-in
    names = np.concatenate(list(data.arrays.values()))
    if settings.images > len(names):
        raise UserError(
            f"efvae.gan: {settings.images} images are set and this copy of {data.name} has {len(names)}; get "
            "the whole data set, or lower efvae.gan.images"
        )
    random = numpy_generator(settings.seed, "efvae.gan", "images")
    chosen = names[random.permutation(len(names))[: settings.images]]
    parts = np.split(chosen, range(READ_AT_ONCE, len(chosen), READ_AT_ONCE))
    return torch.cat([_reduced(data.images(part), settings.side) for part in parts])


def _reduced(images: np.ndarray, side: int) -> Tensor:
    """Images `[N, H, H, 3]` as `[N, 3, S, S]`."""
    height = images.shape[1]
    if height % side:
        raise UserError(f"efvae.gan: images of side {height} cannot be reduced to side {side}")
    channels_first = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    return functional.avg_pool2d(channels_first, height // side).round().byte()


def _cross_entropy(logits: Tensor, label: float) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
