"""Models with one latent variable per image, their amortised q, and how each method trains both.

p(z) = N(0, I), p(x|z) Bernoulli; q(z|x) is a diagonal Gaussian with networks for mean and deviation, or
semi-implicit with a network of image and noise for the mean and one deviation for all images.

Deviation: a datum's control variate starts from the running mean over all data when the datum first comes,
not after a fixed number of steps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from elbogap.densities import (
    bernoulli_log_likelihood,
    gaussian_log_density,
    standard_gaussian_log_density,
)
from elbogap.ensemble import Batch, Stream, round_of_minibatches
from elbogap.evaluation.iw_svi import Gaussians, LogJoint
from elbogap.inference import contrastive, hmc
from elbogap.inference.semi_implicit import SemiImplicit, sivi_bound, uivi_gradient
from elbogap.nn.mlp import MLP, Network
from elbogap.papers.implicit.semi_implicit import log_deviation
from elbogap.papers.implicit.settings import VaeCell, VaeTrain
from elbogap.runtime import torch_generator

PIXELS = 28 * 28
FLOOR = 1e-4
"""Least standard deviation of an explicit q."""
FIRST_DEVIATION = 0.5
"""Standard deviation of a semi-implicit q given its noise, at the beginning."""
FACTOR_DEVIATION = 0.01
"""Standard deviation of the weights of the factorisation's decoder at the beginning."""
KEPT = 0.9
"""What a running mean keeps of itself."""
SEMI_IMPLICIT = ("sivi", "uivi")


def latent(settings: VaeTrain, cell: VaeCell) -> int:
    """Latent dimensions of the cell's model."""
    return settings.vae_latent if cell.model == "vae" else settings.factors


def initial_networks(settings: VaeTrain, dataset: str, cell: VaeCell, seeds: Sequence[int]) -> dict[str, MLP]:
    """Decoder, and networks of q; alike for equal seeds."""
    size, hidden = latent(settings, cell), settings.hidden
    sizes: dict[str, list[int]] = {}
    if cell.method in SEMI_IMPLICIT:
        sizes["mean"] = [PIXELS + settings.noise, *hidden, size]
    else:
        sizes["mean"] = sizes["deviation"] = [PIXELS, *hidden, size]
    sizes["decoder"] = [size, *(hidden if cell.model == "vae" else ()), PIXELS]
    networks = {}
    for name, widths in sizes.items():
        generators = [torch_generator(settings.seed, "implicit.vae", dataset, name, seed) for seed in seeds]
        networks[name] = MLP.independent(widths, "relu", generators, cell.initialisation)
        if name == "decoder" and cell.model == "factorisation":
            with torch.no_grad():
                for member, generator in enumerate(generators):
                    networks[name].weights[0][member].normal_(0, FACTOR_DEVIATION, generator=generator)
    if cell.method in SEMI_IMPLICIT:
        networks["deviation"] = MLP.constant(torch.full((len(seeds), size), FIRST_DEVIATION))
    return networks


def explicit(networks: Mapping[str, MLP], x: Tensor) -> Gaussians:
    """q(z|x) = N(m(x), diag s(x)^2) of images `[M, B, 784]`."""
    deviation = functional.softplus(networks["deviation"](x)) + FLOOR
    return Gaussians(networks["mean"](x), 2 * deviation.log())


def semi_implicit(networks: Mapping[str, MLP], x: Tensor, constant: bool = False) -> SemiImplicit:
    """q(z|x) = E_e N(m(x, e), diag s^2) of images `[M, B, 784]`, without gradients if constant."""
    mean, deviation = networks["mean"].layers(), networks["deviation"].layers()
    if constant:
        mean, deviation = mean.detach(), deviation.detach()
    return SemiImplicit(mean.given(x), log_deviation(deviation(x.new_empty(1, 1, 0))))


def log_joint(decoder: Network, x: Tensor) -> LogJoint:
    """log p(x_b, z) in nats for images `[M, B, 784]` and z `[M, ..., B, L]`: `[M, ..., B]`."""

    def of_draws(z: Tensor) -> Tensor:
        images = x.view(len(x), *[1] * (z.ndim - x.ndim), *x.shape[1:])
        return bernoulli_log_likelihood(images, decoder(z)) + standard_gaussian_log_density(z)

    return of_draws


class Memory(nn.Module):
    """What the chains and the control variate remember from step to step.

    Attributes:
        step_size: of each member, `[M, 1]`.
        common: running mean of f(z_t) over all data, `[M, 1]`; NaN before the first step.
        own: running mean of each datum, `[M, N]`; NaN before its first step.
    """

    step_size: Tensor
    common: Tensor
    own: Tensor

    def __init__(self, members: int, images: int, step_size: float) -> None:
        """For M members and N images."""
        super().__init__()
        self.register_buffer("step_size", torch.full((members, 1), step_size))
        self.register_buffer("common", torch.full((members, 1), torch.nan))
        self.register_buffer("own", torch.full((members, images), torch.nan))

    def baseline(self, rows: Tensor) -> Tensor:
        """C of data `[M, B]`."""
        own = self.own.gather(1, rows)
        return torch.where(own.isnan(), self.common, own).nan_to_num()

    @torch.no_grad()
    def update(self, rows: Tensor, baseline: Tensor, refined: Tensor, step_size: Tensor) -> None:
        """Take in f(z_t) of data `[M, B]`, whose baselines were C."""
        mean = refined.mean(1, keepdim=True)
        self.common.copy_(torch.where(self.common.isnan(), mean, torch.lerp(mean, self.common, KEPT)))
        start = torch.where(self.own.gather(1, rows).isnan() & (baseline == 0), mean, baseline)
        self.own.scatter_(1, rows, torch.lerp(refined, start, KEPT))
        self.step_size.copy_(step_size)


@dataclass(frozen=True)
class Training:
    """The objective of one cell; its members are seeds.

    Attributes:
        settings: of all cells.
        cell: of this one.
        images: training images `[N, 784]`.
        streams: each member's generator of an epoch.
        memory: what steps leave for later ones.
    """

    settings: VaeTrain
    cell: VaeCell
    images: Tensor
    streams: Sequence[Stream]
    memory: Memory

    reported: ClassVar[tuple[str, ...]] = ()

    @property
    def steps(self) -> int:
        """Steps per round."""
        return self.settings.round_steps

    def prepare(self, epoch: int) -> Batch:
        """A round's minibatches and all noise, `[M, K, ...]`."""
        drawn = [self._drawn(stream(epoch)) for stream in self.streams]
        return {name: torch.stack([one[name] for one in drawn]) for name in drawn[0]}

    def value(self, networks: Mapping[str, MLP], batch: Batch) -> Tensor:
        """The bound's mean over the minibatch, `[M]`, in nats, with the gradient of its sum.

        That is the ELBO, and for semi-implicit q SIVI's bound, with L = 0 where UIVI needs none.
        """
        x = self.images[batch["rows"]]
        live = log_joint(networks["decoder"], x)
        if self.cell.method == "sivi":
            q = semi_implicit(networks, x)
            bound = sivi_bound(live, q, batch["noise"], batch["draws"], batch["more"])
            return _summed(bound, bound)
        if self.cell.method == "uivi":
            return self._uivi(networks, batch, x, live)
        return self._explicit(networks, batch, x, live)

    def _explicit(self, networks: Mapping[str, MLP], batch: Batch, x: Tensor, live: LogJoint) -> Tensor:
        q = explicit(networks, x)
        z = q.placed(batch["draws"].unsqueeze(-3)).squeeze(-3)

        def log_q(z: Tensor) -> Tensor:
            return gaussian_log_density(z, q.mean, q.log_variance)

        if self.cell.method == "elbo":
            bound = live(z) - log_q(z)
            return _summed(bound, bound)
        fixed = log_joint(networks["decoder"].layers().detach(), x)
        chains = hmc.sample(
            fixed,
            z,
            self._noise(batch),
            step_size=self.memory.step_size,
            leapfrog_steps=self.settings.leapfrog_steps,
            adapting=self.cell.refinements,
            adaptation=self._adaptation(),
        )
        if self.cell.method == "hoffman":
            self.memory.step_size.copy_(chains.step_size)
            bound = contrastive.hoffman(fixed, live, log_q, z, chains.last)
            return _summed(bound, bound)
        rows = batch["rows"]
        baseline = self.memory.baseline(rows)
        found = contrastive.alpha_vcd(fixed, log_q, z, chains.last, self.cell.alpha, baseline)
        self.memory.update(rows, baseline, found.refined, chains.step_size)
        elbo = self.cell.alpha * found.refined - found.value
        return _summed(live(chains.last) - found.surrogate, elbo)

    def _uivi(self, networks: Mapping[str, MLP], batch: Batch, x: Tensor, live: LogJoint) -> Tensor:
        q = semi_implicit(networks, x)
        found = uivi_gradient(
            live,
            q,
            semi_implicit(networks, x, constant=True),
            batch["noise"],
            batch["draws"],
            self._noise(batch),
            step_size=self.memory.step_size,
            burn_in=self.settings.burn_in,
            leapfrog_steps=self.settings.leapfrog_steps,
            adaptation=self._adaptation(),
        )
        self.memory.step_size.copy_(found.chains.step_size)
        # z - m(x, e) = s u
        conditional = standard_gaussian_log_density(batch["draws"]) - q.log_deviation.sum(-1)
        return _summed(found.surrogate, found.log_joint - conditional)

    def _adaptation(self) -> hmc.Adaptation:
        return hmc.Adaptation(target=self.settings.target_acceptance)

    def _noise(self, batch: Batch) -> hmc.Noise:
        """Chains run over the first axis."""
        return hmc.Noise(batch["momenta"].transpose(0, 1), batch["uniforms"].transpose(0, 1))

    def _drawn(self, generator: torch.Generator) -> dict[str, Tensor]:
        """One member's minibatches and noise of a round, `[K, ...]`."""
        settings, cell = self.settings, self.cell
        device = self.images.device
        shape = (self.steps, settings.batch)
        size = latent(settings, cell)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, device=device)

        rows = round_of_minibatches(len(self.images), settings.batch, self.steps, generator)
        drawn = {"rows": rows, "draws": normal(*shape, size)}
        iterations, moving = cell.refinements, size
        if cell.method in SEMI_IMPLICIT:
            drawn["noise"] = normal(*shape, settings.noise)
        if cell.method == "uivi":
            iterations, moving = settings.burn_in + settings.kept, settings.noise
        if cell.method == "sivi":
            drawn["more"] = normal(self.steps, settings.sivi_samples, settings.batch, settings.noise)
        if iterations:
            chains = (self.steps, iterations, settings.batch)
            drawn["momenta"] = normal(*chains, moving)
            drawn["uniforms"] = torch.rand(chains, generator=generator, device=device)
        return drawn


def _summed(surrogate: Tensor, bound: Tensor) -> Tensor:
    """The mean of a bound `[M, B]` with the gradient of the sum of a surrogate, `[M]`."""
    total = surrogate.sum(-1)
    return total - total.detach() + bound.detach().mean(-1)
