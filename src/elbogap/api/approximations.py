"""Trainable approximations q in whitened coordinates v, where the user's real vector is u = m + L v."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
import zuko
from torch import Tensor, nn

from elbogap.densities import standard_gaussian_log_density
from elbogap.inference import importance
from elbogap.inference.families.base import Family, LogJoint
from elbogap.inference.families.flow import Flow
from elbogap.inference.families.gaussian import FullRankGaussian
from elbogap.inference.families.mixture import GaussianMixture
from elbogap.inference.families.semi_implicit import Implicit, SemiImplicit
from elbogap.inference.noise import Noise, Spec, draw, take
from elbogap.inference.objectives.base import StandardNormalPrior
from elbogap.nn.mlp import MLP, Layers

DENSITY_DRAWS = 1000  # further noises that estimate a semi-implicit density
MOST_NUMBERS = 2_000_000  # in a tensor of differences to all components
HIDDEN = 64


@dataclass(frozen=True)
class Setup:
    """What an approximation starts from: the whitening's L `[D, D]`, and a generator on its device."""

    scale_tril: Tensor
    generator: torch.Generator

    @property
    def dimensions(self) -> int:
        """D."""
        return len(self.scale_tril)

    def zeros(self, *shape: int) -> nn.Parameter:
        """A parameter that is 0 at first."""
        return nn.Parameter(self.scale_tril.new_zeros(*shape))

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers."""
        like = self.scale_tril
        return torch.randn(*shape, generator=self.generator, dtype=like.dtype, device=like.device)

    def seed(self) -> int:
        """A seed for another generator, on the CPU."""
        return int(torch.randint(2**31, (), generator=self.generator, device=self.generator.device))

    def network(self, inputs: int, outputs: int) -> MLP:
        """A network that is nearly 0 at first."""
        random = torch.Generator().manual_seed(self.seed())
        sizes = [inputs, HIDDEN, HIDDEN, outputs]
        network = MLP(1, sizes, "tanh", random, dtype=self.scale_tril.dtype).to(self.scale_tril.device)
        with torch.no_grad():
            network.weights[-1].mul_(0.01)
            network.biases[-1].zero_()
        return network


class Approximation(nn.Module, ABC):
    """A module whose parameters are those of q; `exact` says whether :meth:`log_prob` is, or an estimate."""

    exact = True

    @abstractmethod
    def family(self) -> Family:
        """q at the current parameters."""

    def log_joint(self, log_joint: LogJoint) -> LogJoint:
        """The log-joint of v in the form that the objectives of :meth:`family` take."""
        return log_joint

    def optimiser(self, learning_rate: float) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), lr=learning_rate)

    @torch.no_grad()
    def sample(self, num_samples: int, generator: torch.Generator) -> Tensor:
        """Draws v, `[S, D]`."""
        q = self.family()
        return q.sample(draw(q.noise(num_samples), generator, dtype=torch.float64))

    @torch.no_grad()
    def log_prob(self, v: Tensor, generator: torch.Generator) -> Tensor:
        """log q(v), or its estimate, `[S, D]` to `[S]`."""
        return self.family().log_prob(v)

    def sample_and_log_prob(self, num_samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draws `[S, D]`, and log q or an estimate that is above it on average, `[S]`."""
        v = self.sample(num_samples, generator)
        return v, self.log_prob(v, generator)


class MeanField(Approximation):
    """A Gaussian that is diagonal in u, N(L m, diag s^2), so that in v it is N(m, L^-1 s^2 L^-T)."""

    def __init__(self, setup: Setup) -> None:
        """The Gaussian of least KL(q || N(0, I)) at first."""
        super().__init__()
        identity = torch.eye(setup.dimensions, dtype=setup.scale_tril.dtype, device=setup.scale_tril.device)
        inverse = torch.linalg.solve_triangular(setup.scale_tril, identity, upper=False)
        self.directions = nn.Parameter(inverse / inverse.norm(dim=0), requires_grad=False)
        self.mean, self.log_scale = setup.zeros(setup.dimensions), setup.zeros(setup.dimensions)

    def family(self) -> FullRankGaussian:
        """A Gaussian that is diagonal in u."""
        return FullRankGaussian(self.mean, self.directions * self.log_scale.exp())


class FullRank(Approximation):
    """N(m, S S^T)."""

    def __init__(self, setup: Setup) -> None:
        """N(0, I) at first."""
        super().__init__()
        d = setup.dimensions
        self.mean, self.log_diagonal, self.lower = setup.zeros(d), setup.zeros(d), setup.zeros(d, d)

    def family(self) -> FullRankGaussian:
        """A Gaussian."""
        return FullRankGaussian(self.mean, self.lower.tril(-1) + torch.diag(self.log_diagonal.exp()))


class Mixture(Approximation):
    """Eight Gaussians, each with the covariance L diag(s_k^2) L^T in u."""

    def __init__(self, setup: Setup, components: int = 8) -> None:
        """Means are standard normal at first."""
        super().__init__()
        shape = components, setup.dimensions
        self.logits, self.log_scale = setup.zeros(components), setup.zeros(*shape)
        self.mean = nn.Parameter(setup.normal(*shape))

    def family(self) -> GaussianMixture:
        """A mixture with stratified draws."""
        return GaussianMixture(self.logits.log_softmax(-1), self.mean, self.log_scale.exp())

    @torch.no_grad()
    def sample(self, num_samples: int, generator: torch.Generator) -> Tensor:
        """Draws of components that are drawn by their weights."""
        q, components = self.family(), len(self.logits)
        noise = draw(
            {**q.noise(components * num_samples), "choice": Spec((components, num_samples), True)},
            generator,
            dtype=torch.float64,
        )
        of_each = q.rsample(noise).view(components, num_samples, -1)
        return importance.choose(of_each, q.log_weight[:, None].expand(-1, num_samples), noise["choice"])


@dataclass(frozen=True)
class InverseFlow(Flow):
    """z = f(u), u ~ N(0, I): a flow the other way round, whose draws have their density in one pass."""

    def rsample(self, noise: Noise) -> Tensor:
        """z = f(u)."""
        return self.rsample_and_log_prob(noise)[0]

    def rsample_and_log_prob(self, noise: Noise) -> tuple[Tensor, Tensor]:
        """z, and log N(u; 0, I) - log |det df/du|."""
        u = take(noise, "normal", *self.distribution.event_shape)
        z, log_det = self.distribution.transform.call_and_ladj(u)
        return z, standard_gaussian_log_density(u) - log_det

    def log_prob(self, z: Tensor, noise: Noise | None = None) -> Tensor:
        """The same at any z, by D passes."""
        u: Tensor = self.distribution.transform.inv(z)
        return self.rsample_and_log_prob({"normal": u})[1]


class NormalisingFlow(Approximation):
    """An inverse autoregressive flow of neural splines (Kingma et al. 2016, Durkan et al. 2019)."""

    def __init__(self, setup: Setup) -> None:
        """The identity, nearly, at first."""
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # zuko draws from the global generator
            torch.manual_seed(setup.seed())
            network = zuko.flows.NSF(setup.dimensions, transforms=2, hidden_features=(HIDDEN, HIDDEN))
        with torch.no_grad():
            for transform in network.transform.transforms:
                last = transform.hyper[-1] if setup.dimensions > 1 else transform
                for parameter in last.parameters():
                    parameter.mul_(0.01)
        self.network = network.to(setup.scale_tril)

    def family(self) -> InverseFlow:
        """A flow of zuko."""
        return InverseFlow(self.network)

    @torch.no_grad()
    def sample_and_log_prob(self, num_samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Both in one pass."""
        q = self.family()
        return q.rsample_and_log_prob(draw(q.noise(num_samples), generator, dtype=torch.float64))


@dataclass(frozen=True)
class Skip:
    """e to e A + f(e), with a matrix A `[E, D]` (`weight`) and a network f (`layers`)."""

    weight: Tensor
    layers: Layers

    def __call__(self, mixing: Tensor) -> Tensor:
        """`[..., E]` to `[..., D]`."""
        return mixing @ self.weight + self.layers(mixing)

    def detach(self) -> "Skip":
        """The same with constant weights."""
        return Skip(self.weight.detach(), self.layers.detach())


class SemiImplicitMean(Approximation):
    """Gaussians whose mean is a linear map and a network of E = max(4, D) noises (Yin and Zhou 2018).

    Each sigma_d is above exp(-5 / D): of narrower Gaussians, 1,000 would not cover the posterior, and
    nobody could tell the density.
    """

    exact = False

    def __init__(self, setup: Setup) -> None:
        """N(0, I), nearly, at first."""
        super().__init__()
        d = setup.dimensions
        self.mixing, self.floor = max(4, d), math.exp(-5 / d)
        sigma = (1 + self.floor) / 2
        self.weight = nn.Parameter((1 - sigma**2) ** 0.5 * torch.eye(self.mixing, d).to(setup.scale_tril))
        self.network = setup.network(self.mixing, d)
        self.log_excess = nn.Parameter(torch.full_like(setup.scale_tril[0], math.log(sigma - self.floor)))

    def family(self) -> SemiImplicit:
        """A semi-implicit distribution."""
        log_scale = (self.floor + self.log_excess.exp()).log()
        return SemiImplicit(Skip(self.weight, self.network.layers()), log_scale, self.mixing, DENSITY_DRAWS)

    @torch.no_grad()
    def log_prob(self, v: Tensor, generator: torch.Generator) -> Tensor:
        """Below log q(v) on average."""
        q = self.family()
        return torch.cat([q.log_prob(part, self._more(generator)) for part in v.split(self._chunk())])

    @torch.no_grad()
    def sample_and_log_prob(self, num_samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """SIVI's estimate, which counts each draw's own noise too and is above log q on average."""
        q, parts = self.family(), []
        for begin in range(0, num_samples, self._chunk()):
            own = draw(q.noise(min(self._chunk(), num_samples - begin)), generator, dtype=torch.float64)
            parts.append(q.rsample_and_log_prob({**own, **self._more(generator)}))
        draws, log_prob = zip(*parts, strict=True)
        return torch.cat(draws), torch.cat(log_prob)

    def _more(self, generator: torch.Generator) -> dict[str, Tensor]:
        return draw({"more": Spec((DENSITY_DRAWS, 1, self.mixing))}, generator, dtype=torch.float64)

    def _chunk(self) -> int:
        return max(1, MOST_NUMBERS // (DENSITY_DRAWS * len(self.log_excess)))


class Adversarial(Approximation):
    """v / 1.5 = y = e A + f(e), without a density, and a discriminator T = log q - log N(0, I) of y.

    The normal is wider than the posterior, so that a tail that is heavier than normal does not draw q away
    before T has learnt it (lecture, part I).
    """

    exact = False
    width = 1.5

    def __init__(self, setup: Setup) -> None:
        """N(0, I) of v, nearly, and T its log-ratio, nearly, at first."""
        super().__init__()
        d = setup.dimensions
        self.noises = max(4, d)
        self.weight = nn.Parameter(torch.eye(self.noises, d).to(setup.scale_tril) / self.width)
        self.network, self.critic = setup.network(self.noises, d), setup.network(2 * d, 1)

    def optimiser(self, learning_rate: float) -> torch.optim.Optimizer:
        """Adam, ten times as fast for the discriminator, or q would leave behind what it knows."""
        own, critic = [self.weight, *self.network.parameters()], list(self.critic.parameters())
        groups: list[dict[str, Any]] = [{"params": own}, {"params": critic, "lr": 10 * learning_rate}]
        return torch.optim.Adam(groups, lr=learning_rate)

    def discriminator(self, y: Tensor) -> Tensor:
        """T(y), `[..., D]` to `[...]`; it is bounded, so that log p decides far away."""
        return self.critic(torch.cat([y, y.square()], -1)).squeeze(-1)

    def log_joint(self, log_joint: LogJoint) -> StandardNormalPrior:
        """The log-joint of v as one of y, whose prior is N(0, I) and whose likelihood is the rest."""

        def rest(y: Tensor) -> Tensor:
            return log_joint(self.width * y) + self._log_det(y) - standard_gaussian_log_density(y)

        return StandardNormalPrior(rest)

    def family(self) -> Implicit:
        """An implicit distribution of y."""
        return Implicit(Skip(self.weight, self.network.layers()), self.noises)

    def sample(self, num_samples: int, generator: torch.Generator) -> Tensor:
        """v = 1.5 y."""
        return self.width * super().sample(num_samples, generator)

    @torch.no_grad()
    def log_prob(self, v: Tensor, generator: torch.Generator) -> Tensor:
        """T(y) + log N(y; 0, I) - D log 1.5: neither bound nor unbiased."""
        y = v / self.width
        return self.discriminator(y) + standard_gaussian_log_density(y) - self._log_det(y)

    def _log_det(self, y: Tensor) -> float:
        return y.shape[-1] * math.log(self.width)
