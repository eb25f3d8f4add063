"""The shared autoencoder and objectives give the values and gradients of the documents' own, in float64."""

from collections.abc import Iterator
from functools import partial

import pytest
import torch
from torch import Tensor

from elbogap.ensemble import Variational
from elbogap.inference.objectives.denoising import Denoising
from elbogap.inference.objectives.elbo import IWAE
from elbogap.models import image_vae
from elbogap.nn.mlp import MLP
from elbogap.papers.air import autoencoder
from elbogap.papers.air.objective import Denoising as OldDenoising
from elbogap.papers.qiw.autoencoder import Autoencoder

PIXELS, LATENT, IMAGES, BATCH, STEPS = 6, 2, 11, 4, 3
SEEDS, SCALES = [0, 0, 1], [0.3, 0.9, 0.3]


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def networks(members: int, pixels: int = PIXELS) -> dict[str, MLP]:
    random = torch.Generator().manual_seed(1)
    return {
        name: MLP(members, sizes, "tanh", random, dtype=torch.float64)
        for name, sizes in {"encoder": [pixels, 5, 2 * LATENT], "decoder": [LATENT, 5, pixels]}.items()
    }


def pictures(pixels: int = PIXELS) -> Tensor:
    return torch.randint(2, (IMAGES, pixels), generator=torch.Generator().manual_seed(0)).double()


def same(new: Tensor, old: Tensor, nets: dict[str, MLP]) -> None:
    parameters = [parameter for net in nets.values() for parameter in net.parameters()]
    found, expected = (torch.autograd.grad(value.sum(), parameters) for value in (new, old))
    for one, other in zip([new, *found], [old, *expected], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("k", "m"), [(1, 1), (4, 1), (1, 3), (2, 3)])
def test_denoising(alpha: float, k: int, m: int) -> None:
    images, nets = pictures(), networks(3)
    old = OldDenoising(
        images, BATCH, k, m, LATENT, alpha, torch.tensor(SCALES), torch.tensor(SEEDS),
        [partial(order, seed) for seed in range(2)], [], STEPS,
    )  # fmt: skip
    objective = Denoising(image_vae.bound(k), alpha, PIXELS)
    new = Variational(
        objective=objective,
        family=lambda nets, batch: image_vae.posterior(
            nets["encoder"],
            objective.views(images[batch["rows"]], torch.tensor(SCALES), batch)[:, :, None, None],
        ),
        log_joint=lambda nets, batch: image_vae.log_joint(
            nets["decoder"], images[batch["rows"]][:, None, None, None]
        ),
        specs=objective.noise(m, k, BATCH, dimensions=LATENT),
        streams=[partial(order, seed) for seed in range(2)],
        orders=[partial(old._rows, stream=partial(order, seed)) for seed in range(2)],
        steps=STEPS,
        seeds=torch.tensor(SEEDS),
    )
    batch = {name: values[:, 1] for name, values in new.prepare(2).items()}
    before = {"rows": batch["rows"], "draws": batch["normal"].flatten(2, 3)}
    before |= {"noise": batch["input"]} if alpha > 0 else {}
    same(new.value(nets, batch), old.value(nets, before), nets)


def order(seed: int, epoch: int) -> torch.Generator:
    return torch.Generator().manual_seed(10 * seed + epoch)


def test_bounds() -> None:
    nets = networks(2)
    for k in (1, 3):
        asked = {"k": k, "draws": 2, "rows": 4 * k}
        torch.set_default_dtype(torch.float32)  # of the noise
        new = image_vae.bounds(nets, pictures(), **asked, generator=order(0, 0))
        old = autoencoder.bounds(nets, pictures(), **asked, generator=order(0, 0))
        torch.testing.assert_close(new, old, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("k", [1, 5])
def test_iwae_of_images(k: int) -> None:
    nets, images = networks(1, 784), pictures(784)
    draws = Autoencoder(nets["encoder"], nets["decoder"]).draw(images, k, order(0, 0))
    q = image_vae.posterior(nets["encoder"], images[None, None])
    normal = torch.randn(1, k, IMAGES, LATENT, generator=order(0, 0))
    joint = image_vae.log_joint(nets["decoder"], images)
    torch.testing.assert_close(q.rsample({"normal": normal})[0], draws.z, rtol=1e-10, atol=1e-12)
    new = IWAE().estimate(q, joint, {"normal": normal}).mean()[0]
    same(new, draws.log_weights.logsumexp(0).mean() - torch.tensor(k).log(), nets)


def test_log_weights() -> None:
    nets, images = networks(2), pictures()
    old = autoencoder.posterior(nets["encoder"], images[None])
    new = image_vae.posterior(nets["encoder"], images[None, None])
    z = old.draw(3, order(0, 0)).detach()
    weights = image_vae.log_joint(nets["decoder"], images)(z) - new.log_prob(z)
    same(weights, old.log_weights(autoencoder.log_joint(nets["decoder"], images), z), nets)
