"""MAPA on binarised MNIST against VAE and IWAE, with equal networks and decoder passes (ours)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from elbogap.data.loaders import load
from elbogap.densities import bernoulli_log_likelihood, standard_gaussian_log_density
from elbogap.evaluation import iw_svi
from elbogap.inference import noise
from elbogap.inference.families.gaussian import DiagonalGaussian
from elbogap.inference.objectives.base import StandardNormalPrior
from elbogap.inference.objectives.elbo import IWAE, ClosedFormELBO
from elbogap.mapa.kernels import Bernoulli, choose_scale
from elbogap.mapa.model import Mapa
from elbogap.papers.mapa.settings import Images as Settings
from elbogap.runtime import Run, derive_seed, numpy_generator

METHODS = ("vae", "iwae", "mapa", "mapa_scale_one")  # the last with the kernel as printed
MAPA = METHODS[2:]
SIDE, BLOCK = 28, 50  # pixels; observations at once


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Train on images of the record `data`, and score on test images.

    Returns:
        `table`: by method, latent dimension and seed, `test_loglik` by IW-SVI, a lower bound of log p(x), and
        `test_quadrature`, log p(x) itself for two dimensions, in nats per image; `reconstruction`,
        log p(x|z) at the code of x, and `decoder_passes` per training image; `samples`: images that the
        models of the first seed generate, as probabilities `[method, dimension, image, 28, 28]`.
    """
    data = load(run.inputs["data"])
    chosen = numpy_generator(settings.seed, "mapa.images").permutation(len(data.arrays["train"]))
    train = torch.from_numpy(data.arrays["train"][chosen[: settings.images]]).float()
    test = torch.from_numpy(data.arrays["test"][: settings.test_images]).float()
    kernel = choose_scale(Bernoulli(settings.agreement), train, settings.scales)
    rows, samples = [], []
    cells = [*product(range(settings.seeds), settings.latents, METHODS)]
    for seed, latent, method in tqdm(cells, desc="images", mininterval=5):
        key = derive_seed(settings.seed, "mapa.images", seed, latent)
        tempered = kernel.tempered(1.0) if method == "mapa_scale_one" else kernel
        model = _Model.trained(settings, method, latent, train, tempered, key)
        rows.append(
            {"dataset": data.name, "data": data.kind, "method": method, "latent": latent, "seed": seed}
            | {"images": len(train), "kernel_scale": tempered.scale, **model.scores(settings, test, key)}
        )
        if not seed:
            samples.append(model.draw(settings.shown, key).reshape(-1, SIDE, SIDE))
    shape = (len(settings.latents), len(METHODS), settings.shown, SIDE, SIDE)
    pictures = torch.stack(samples).reshape(shape).mul(255).byte().numpy()
    return {"table": pd.DataFrame(rows), "samples": {"images": pictures, "data": np.array(data.kind)}}


@dataclass(frozen=True)
class _Model:
    """A decoder with a prior of its codes, and a Gaussian near the posterior of each image."""

    decoder: nn.Module
    log_prior: Callable[[Tensor], Tensor]
    near: Callable[[Tensor], DiagonalGaussian]
    draw_codes: Callable[[int, torch.Generator], Tensor]
    reach: tuple[Tensor, Tensor]  # the box that holds the codes
    passes: float  # of the decoder in training, per image

    @classmethod
    def trained(
        cls, settings: Settings, method: str, latent: int, train: Tensor, kernel: Bernoulli, seed: int
    ) -> "_Model":
        """Equal seeds start from equal decoders."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            decoder = _network(latent, settings.hidden, train.shape[1])
            encoder = _network(train.shape[1], settings.hidden[::-1], latent * (1 if method in MAPA else 2))
        generator, budget = torch.Generator().manual_seed(seed), settings.decoder_passes
        if method in MAPA:
            mapa = Mapa(
                encoder,
                decoder,
                kernel,
                settings.code_scale,
                settings.neighbours,
                settings.head,
                settings.samples,
            )
            options = {
                "batch_size": settings.batch,
                "leaf_size": settings.leaf_size,
                "seed": seed,
                "progress": False,
            }
            per_image = mapa.passes_per_epoch(train, settings.batch, settings.leaf_size, seed) / len(train)
            epochs = max(1, round(budget / per_image))
            mapa.fit(train, epochs=epochs, learning_rate=settings.learning_rate, **options)  # type: ignore[arg-type]
            codes, scale = mapa.codes, settings.code_scale
            prior = mapa.prior("mixture", components=min(settings.components, len(train) // 4), seed=seed)
            reach = codes.amin(0) - 4 * scale, codes.amax(0) + 4 * scale
            passes = mapa.decoder_passes / len(train)
            return cls(decoder, prior, partial(_moments, mapa), mapa.draw_codes, reach, passes)
        samples = 1 if method == "vae" else settings.samples
        parameters = [*encoder.parameters(), *decoder.parameters()]
        optimiser = torch.optim.Adam(parameters, lr=settings.learning_rate, fused=True)
        epochs = max(1, round(budget / samples))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
        objective = ClosedFormELBO() if method == "vae" else IWAE()
        for _ in range(epochs):
            for rows in torch.randperm(len(train), generator=generator).split(settings.batch):
                q = _gaussian(encoder(train[rows]))
                joint = StandardNormalPrior(partial(_log_likelihood, decoder, train[rows]))
                drawn = noise.draw(q.noise(samples, len(rows)), generator)
                loss = -objective.estimate(q, joint, drawn).mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            schedule.step()

        def draw_codes(count: int, random: torch.Generator) -> Tensor:
            return torch.randn(count, latent, generator=random)

        half = torch.full((latent,), 5.0)
        near = lambda x: _gaussian(encoder(x))  # noqa: E731
        return cls(decoder, standard_gaussian_log_density, near, draw_codes, (-half, half), epochs * samples)

    def scores(self, settings: Settings, test: Tensor, seed: int) -> dict[str, float]:
        """What the model is worth on test images."""
        generator, estimates = torch.Generator().manual_seed(seed), []
        for x in test.split(BLOCK):
            with torch.no_grad():
                start = self.near(x)
            joint = partial(self._log_joint, x)
            options = {"samples": settings.svi_samples, "steps": settings.svi_steps, "generator": generator}
            q = iw_svi.fit(joint, start, learning_rate=settings.svi_learning_rate, **options)  # type: ignore[arg-type]
            count = settings.bound_samples
            estimates.append(
                iw_svi.estimate(joint, q, samples=count, at_once=50, generator=generator).squeeze(0)
            )
        with torch.no_grad():
            at_code = _log_likelihood(self.decoder, test, self.near(test).mean)
        quadrature = self._quadrature(settings.grid, test) if len(self.reach[0]) == 2 else float("nan")
        return {
            "test_loglik": float(torch.cat(estimates).mean()), "test_quadrature": quadrature,
            "reconstruction": float(at_code.mean()), "decoder_passes": self.passes,
        }  # fmt: skip

    @torch.no_grad()
    def draw(self, count: int, seed: int) -> Tensor:
        """Probabilities of pixels of new images."""
        return self.decoder(self.draw_codes(count, torch.Generator().manual_seed(seed))).sigmoid()

    def _log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        return _log_likelihood(self.decoder, x, z) + self.log_prior(z)

    @torch.no_grad()
    def _quadrature(self, points: int, test: Tensor) -> float:
        axes = [
            torch.linspace(float(low), float(high), points) for low, high in zip(*self.reach, strict=True)
        ]
        grid = torch.cartesian_prod(*axes)
        area = torch.stack([axis[1] - axis[0] for axis in axes]).log().sum()
        decoded, log_prior = self.decoder(grid), self.log_prior(grid)
        likelihood = Bernoulli().log_likelihood
        parts = [torch.logsumexp(likelihood(x, decoded) + log_prior, -1) + area for x in test.split(BLOCK)]
        return float(torch.cat(parts).mean())


def _network(inputs: int, hidden: tuple[int, ...], outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(inputs, width), nn.Tanh()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


def _gaussian(outputs: Tensor) -> DiagonalGaussian:
    """q(z|x_b), of draws `[S, B, L]`."""
    mean, log_variance = outputs.unsqueeze(-3).chunk(2, -1)
    return DiagonalGaussian(mean, log_variance)


def _log_likelihood(decoder: nn.Module, x: Tensor, z: Tensor) -> Tensor:
    return bernoulli_log_likelihood(x, decoder(z))


def _moments(mapa: Mapa, x: Tensor) -> DiagonalGaussian:
    """The Gaussian with the mean and variance of the codes of near training images."""
    posterior = mapa.posterior(x)
    weights = posterior.log_weights.exp().unsqueeze(-1)
    mean = (weights * posterior.codes).sum(-2)
    variance = (weights * (posterior.codes - mean.unsqueeze(-2)).square()).sum(-2) + posterior.scale**2
    return DiagonalGaussian(mean.unsqueeze(0), variance.log().unsqueeze(0))
