"""Models with one latent variable per image, their amortised q, and how each method trains both.

p(z) = N(0, I), p(x|z) Bernoulli; q(z|x) is a diagonal Gaussian with networks for mean and scale, or
semi-implicit with a network of image and noise for the mean and one scale for all images.

Deviation: a datum's control variate starts from the running mean over all data when the datum first comes,
not after a fixed number of steps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from elbogap.ensemble import Fit, Variational, fit, round_of_minibatches, step_decay
from elbogap.inference.families.gaussian import DiagonalGaussian
from elbogap.inference.families.semi_implicit import SemiImplicit
from elbogap.inference.objectives.base import ChainState, Estimate
from elbogap.inference.objectives.contrastive import VCD, RunningMeanPerDatum
from elbogap.models.image_vae import PIXELS, log_joint
from elbogap.nn.mlp import MLP
from elbogap.papers.implicit.methods import DECAY, floored_log, kernel_of, objective_of, streams
from elbogap.papers.implicit.names import OF_VAE, Method
from elbogap.papers.implicit.settings import VaeCell, VaeTrain
from elbogap.training import Work

GAUSSIAN_FLOOR = 1e-4  # least scale of a Gaussian q(z|x)
FIRST_SCALE = 0.5  # scale of a semi-implicit q given its noise, at the beginning
FACTOR_SCALE = 0.01  # standard deviation of the weights of the factorisation's decoder at the beginning


def posterior(networks: Mapping[str, MLP], method: Method, x: Tensor) -> DiagonalGaussian | SemiImplicit:
    """q(z|x) of images `[M, B, 784]`: N(m(x), diag s(x)^2), or E_e N(m(x, e), diag s^2), one s for all."""
    mean, scale = networks["mean"], networks["scale"]
    if method.mixing:
        log_scale = floored_log(scale.layers()(x.new_empty(1, 1, 0)))
        return SemiImplicit(mean.layers().given(x), log_scale, mean.sizes[0] - x.shape[-1])
    return DiagonalGaussian(mean(x), 2 * (functional.softplus(scale(x)) + GAUSSIAN_FLOOR).log())


@dataclass(frozen=True)
class Learning:
    """The training of a cell's q and model on a data set; members are seeds."""

    settings: VaeTrain
    dataset: str
    cell: VaeCell
    seeds: Sequence[int]

    @property
    def _method(self) -> Method:
        return OF_VAE[self.cell.method]

    @property
    def _latent(self) -> int:
        return self.settings.vae_latent if self.cell.model == "vae" else self.settings.factors

    @property
    def _mixing(self) -> int:
        return self.settings.noise * self._method.mixing

    def initial_networks(self) -> dict[str, MLP]:
        """Decoder, and networks of q; alike for equal seeds."""
        hidden, linear = self.settings.hidden, self.cell.model == "factorisation"
        encoder = [PIXELS + self._mixing, *hidden, self._latent]

        def network(purpose: str, sizes: Sequence[int]) -> MLP:
            generators = [stream() for stream in self._streams(purpose)]
            made = MLP.independent(sizes, "relu", generators, self.cell.initialisation)
            if purpose == "decoder" and linear:
                for weight, generator in zip(made.weights[0].detach(), generators, strict=True):
                    weight.normal_(0, FACTOR_SCALE, generator=generator)
            return made

        if self._method.mixing:
            scale = MLP.constant(torch.full((len(self.seeds), self._latent), FIRST_SCALE))
        else:
            scale = network("deviation", encoder)
        decoder = network("decoder", [self._latent, *([] if linear else hidden), PIXELS])
        return {"mean": network("mean", encoder), "decoder": decoder, "scale": scale}

    def variational(self, images: Tensor) -> Variational:
        """What is maximised on images `[N, 784]`.

        The value of a member is the mean over the minibatch of the ELBO, or of SIVI's bound for semi-implicit
        q (with L = 0 for UIVI), in nats per image, with the gradient of the sum.
        """
        settings, cell, method, device = self.settings, self.cell, self._method, images.device.type
        members = len(self.seeds)
        iterations = (cell.refinements, 0) if method.refining else (settings.burn_in, settings.kept)
        objective = objective_of(
            method,
            settings.sivi_samples,
            kernel_of(settings, *iterations),
            settings.step_size / (self._mixing or self._latent),
            shared=False,
        )
        state = objective.initial_state(members, device)
        if isinstance(objective, VCD):
            control = RunningMeanPerDatum(members, len(images), device=device)
            state = ChainState(members, objective.step_size, device, control)
        specs = objective.noise(settings.batch, dimensions=self._latent, mixing=self._mixing)
        return Variational(
            objective=objective,
            family=lambda networks, batch: posterior(networks, method, images[batch["rows"]]),
            log_joint=lambda networks, batch: log_joint(networks["decoder"], images[batch["rows"]]),
            specs={"normal": specs["normal"]} | dict(specs),  # drawn first, so that methods share it
            streams=self._streams("noise", device),
            steps=settings.round_steps,
            rows=partial(round_of_minibatches, len(images), settings.batch, settings.round_steps),
            state=state,
            reduce=Estimate.sum_of_gradients,
        )

    def train(self, images: Tensor, rounds: int, work: Work) -> Fit:
        """Fit q and the model on images `[N, 784]` for a number of rounds."""
        variational = self.variational(images)
        return fit(
            variational,
            self.initial_networks(),
            epochs=rounds,
            learning_rate=self.cell.learning_rate,
            schedule=step_decay(DECAY, self.settings.decay_every),
            record_epochs=self.settings.record_rounds,
            damped={"mean": 1.0, "scale": self.cell.deviation_share, "decoder": 1.0},
            state=variational.state,
            work=work,
            device=images.device.type,
        )

    def _streams(self, purpose: str, device: str = "cpu") -> list[partial[torch.Generator]]:
        keys = self.settings.seed, "implicit.vae", self.dataset, purpose
        return streams(*keys, members=self.seeds, device=device)
