"""Deep generative models trained by MAPA: no approximate posterior is fitted, only a map from data to codes.

Codes have entropy: z_i ~ N(g(x_i), s^2 I), one draw for each index and step, which all observations share.
The prior is the mixture p(z) = (1/N) sum_i N(z; g(x_i), s^2 I), continuous in any dimension, and for s = 0
the atoms of the document. The bound (document mapa, eq. 10) is

    log p(x_n) >= E log [sum_{i in B_n(k)} p(x_n|z_i) + (1/S) sum_s p(x_n|z_{i_s}) / q~(i_s|n)] - log N.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np
import torch
import zuko
from sklearn.mixture import GaussianMixture
from torch import Tensor, nn
from tqdm import tqdm

from elbogap.densities import isotropic_gaussian_log_density, log_mean_exp, log_sum_exp
from elbogap.errors import UserError
from elbogap.inference.families.proposal import Terms
from elbogap.mapa.kernels import Kernel
from elbogap.mapa.neighbours import leaves
from elbogap.mapa.proposal import NeighbourProposal

LogDensity = Callable[[Tensor], Tensor]
Prior = Literal["codes", "mixture", "flow"]


@dataclass(frozen=True)
class Posterior:
    """q(z|x) = sum_i q_i(x) N(z; g(x_i), s^2 I) of B observations, by near points' codes `[B, K, L]`."""

    log_weights: Tensor
    codes: Tensor
    scale: float

    def sample(self, num_samples: int, generator: torch.Generator) -> Tensor:
        """Draws z, `[S, B, L]`."""
        chosen = torch.multinomial(self.log_weights.exp(), num_samples, replacement=True, generator=generator)
        means = torch.take_along_dim(self.codes, chosen.unsqueeze(-1), -2).transpose(0, 1)
        return means + self.scale * torch.randn(means.shape, generator=generator)

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z|x) in nats, `[S, B, L]` to `[S, B]`; UserError for codes without entropy."""
        if not self.scale:
            raise UserError("codes without entropy have no density; fit with code_scale > 0")
        parts = isotropic_gaussian_log_density(z.unsqueeze(-2), self.codes, self.scale**2)
        return log_sum_exp(parts + self.log_weights, -1)


@dataclass
class Mapa:
    """A model of x with latent z `[L]`: `encoder` g, `decoder` f and the `kernel` whose likelihood f serves.

    `code_scale` is s; K `neighbours`, the first k (`head`) of which every step evaluates, S others
    (`num_samples`) and the `floor` make the proposal.
    """

    encoder: nn.Module
    decoder: nn.Module
    kernel: Kernel
    code_scale: float = 0.1
    neighbours: int = 50
    head: int = 5
    num_samples: int = 5
    floor: float = 0.1
    trace: list[float] = field(default_factory=list)
    """The bound by epoch, in nats per observation."""
    decoder_passes: int = 0
    """Codes that training has decoded."""

    def fit(
        self,
        x: Tensor,
        *,
        epochs: int,
        batch_size: int = 100,
        leaf_size: int = 5,
        learning_rate: float = 1e-3,
        most_passes: int | None = None,
        seed: int = 0,
        progress: bool = True,
    ) -> Self:
        """Maximise the bound on x `[N, D]` by Adam, whose rate falls to 0 on a cosine schedule.

        Batches consist of random groups of at most `leaf_size` near observations, whose terms share codes.
        `most_passes` ends training early, between epochs, at that many decoder passes. UserError if the bound
        is not finite.
        """
        generator = torch.Generator().manual_seed(seed)
        proposal = self._proposal(None, x)
        parameters = [*self.encoder.parameters(), *self.decoder.parameters()]
        optimiser = torch.optim.Adam(parameters, lr=learning_rate, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
        groups = leaves(x.numpy(), leaf_size)
        shown = tqdm(range(epochs), desc="MAPA", unit="epoch", disable=not progress)
        for _ in shown:
            total = 0.0
            for rows in _batches(groups, batch_size, generator):
                terms = proposal.terms(rows, self.num_samples, generator)
                bound = self.bound(x, rows, terms, generator)
                loss = -bound.mean()
                if not loss.isfinite():
                    raise UserError(
                        f"the bound is {-loss.item()} after {len(self.trace)} epochs; take a smaller "
                        "learning rate, or a decoder whose outputs are finite"
                    )
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                total += float(bound.detach().sum())
            schedule.step()
            self.trace.append(total / len(x))
            shown.set_postfix(bound=f"{self.trace[-1]:.3f}")
            if most_passes is not None and self.decoder_passes >= most_passes:
                break
        with torch.no_grad():
            self.points, self.codes = x, torch.cat([self.encoder(block) for block in x.split(1000)])
        return self

    def bound(self, x: Tensor, rows: Tensor, terms: Terms, generator: torch.Generator) -> Tensor:
        """The bound for rows n of x `[N, D]` by their terms, `[B]` in nats; each index is decoded once."""
        indices, at = terms.indices.unique(return_inverse=True)
        codes = self.encoder(x[indices])
        codes = codes + self.code_scale * torch.randn(codes.shape, generator=generator)
        self.decoder_passes += len(indices)
        values = self.kernel.log_likelihood(x[rows], self.decoder(codes)).gather(-1, at)
        return log_sum_exp(values + terms.log_weights, -1) - math.log(len(x))

    def passes_per_epoch(self, x: Tensor, batch_size: int, leaf_size: int, seed: int = 0) -> int:
        """Codes that one epoch decodes."""
        generator, proposal = torch.Generator().manual_seed(seed), self._proposal(None, x)
        batches = _batches(leaves(x.numpy(), leaf_size), batch_size, generator)
        terms = (proposal.terms(rows, self.num_samples, generator) for rows in batches)
        return sum(len(of_batch.indices.unique()) for of_batch in terms)

    def gradient_variance(self, x: Tensor, batch_size: int, leaf_size: int, seed: int = 0) -> float:
        """Variance of a step's gradient over the squared norm of its mean, from one epoch of batches of x."""
        generator, proposal = torch.Generator().manual_seed(seed), self._proposal(None, x)
        parameters, gradients = [*self.encoder.parameters(), *self.decoder.parameters()], []
        for rows in _batches(leaves(x.numpy(), leaf_size), batch_size, generator):
            bound = self.bound(x, rows, proposal.terms(rows, self.num_samples, generator), generator)
            of_batch = torch.autograd.grad(bound.mean(), parameters)
            gradients.append(torch.cat([gradient.flatten() for gradient in of_batch]))
        every = torch.stack(gradients)
        return float(every.var(0).sum() / every.mean(0).square().sum())

    def posterior(self, x: Tensor) -> Posterior:
        """q(z|x) of new observations `[B, D]`, by their kernel to the training points."""
        near = self._proposal(x, self.points)
        return Posterior(near.log_kernel, self.codes[near.indices.long()], self.code_scale)

    def prior(
        self, kind: Prior = "codes", *, components: int = 50, steps: int = 2000, seed: int = 0
    ) -> LogDensity:
        """log p(z) of codes `[..., L]`: the mixture over all N codes, a smaller one, or a flow fitted to it.

        UserError for a prior of codes without entropy.
        """
        if kind == "codes":
            if not self.code_scale:
                raise UserError(
                    "codes without entropy have no density; fit with code_scale > 0, or take a mixture"
                )
            return self._density_of_codes
        draws = self.draw_codes(max(len(self.codes), 10_000), torch.Generator().manual_seed(seed))
        if kind == "mixture":
            return _mixture(draws, components, seed)
        return _flow(draws, steps, seed)

    @torch.no_grad()
    def sample(self, num_samples: int, seed: int = 0) -> Tensor:
        """New observations, `[S, D]`: a code of the prior, decoded."""
        generator = torch.Generator().manual_seed(seed)
        return self.kernel.draw(self.decoder(self.draw_codes(num_samples, generator)), generator)

    @torch.no_grad()
    def log_prob(
        self, x: Tensor, num_samples: int = 200, prior: LogDensity | None = None, seed: int = 0
    ) -> Tensor:
        """log (1/S) sum_s p(x|z_s) p(z_s) / q(z_s|x), below log p(x) on average: `[B, D]` to `[B]`, in nats.

        Half of the draws are from q(z|x), half from the codes' prior (a defensive mixture, whose weights are
        bounded). The `prior` is that of the codes if left out.
        """
        generator = torch.Generator().manual_seed(seed)
        q = self.posterior(x)
        half = num_samples // 2
        z = torch.cat(
            [
                q.sample(num_samples - half, generator),
                self.draw_codes(half * len(x), generator).unflatten(0, (half, -1)),
            ]
        )
        log_codes = self._density_of_codes(z)
        log_q = torch.logaddexp(
            q.log_prob(z) + math.log1p(-half / num_samples), log_codes + math.log(half / num_samples)
        )
        decoded = self.decoder(z)
        likelihood = torch.stack(
            [self.kernel.log_likelihood(x[b : b + 1], decoded[:, b]).squeeze(0) for b in range(len(x))], -1
        )
        return log_mean_exp(likelihood + (prior(z) if prior else log_codes) - log_q, 0)

    def _proposal(self, queries: Tensor | None, x: Tensor) -> NeighbourProposal:
        count = min(self.neighbours, len(x))
        return NeighbourProposal.prepare(
            self.kernel, x, queries, neighbours=count, head=min(self.head, count - 1), floor=self.floor
        )

    def draw_codes(self, num_samples: int, generator: torch.Generator) -> Tensor:
        """Draws of the codes' prior, `[S, L]`."""
        chosen = torch.randint(len(self.codes), (num_samples,), generator=generator)
        return self.codes[chosen] + self.code_scale * torch.randn(
            num_samples, self.codes.shape[-1], generator=generator
        )

    def _density_of_codes(self, z: Tensor) -> Tensor:
        variance = self.code_scale**2
        blocks = z.flatten(0, -2).split(max(1, 20_000_000 // self.codes.numel()))
        parts = [
            isotropic_gaussian_log_density(block.unsqueeze(-2), self.codes, variance) for block in blocks
        ]
        return torch.cat([log_mean_exp(part, -1) for part in parts]).unflatten(0, z.shape[:-1])


def _batches(groups: list[np.ndarray], batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """One epoch of row numbers: whole groups in random order, until a batch is full."""
    order = torch.randperm(len(groups), generator=generator).tolist()
    rows = torch.from_numpy(np.concatenate([groups[group] for group in order]))
    yield from rows.split(batch_size)


def _mixture(draws: Tensor, components: int, seed: int) -> LogDensity:
    """A mixture of Gaussians with full covariances by expectation maximisation."""
    fitted = GaussianMixture(components, reg_covar=1e-4, random_state=seed % 2**32).fit(
        draws.double().numpy()
    )
    weights, means = torch.tensor(fitted.weights_), torch.tensor(fitted.means_)
    parts = torch.distributions.MultivariateNormal(means, precision_matrix=torch.tensor(fitted.precisions_))
    mixture = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(weights), parts)
    return lambda z: mixture.log_prob(z.double()).to(z.dtype)


def _flow(draws: Tensor, steps: int, seed: int) -> LogDensity:
    """A neural spline flow of zuko by maximum likelihood."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        flow = zuko.flows.NSF(draws.shape[-1], transforms=2, hidden_features=(64, 64))
    mean, scale = draws.mean(0), draws.std(0)
    standard, generator = (draws - mean) / scale, torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(flow.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        rows = torch.randint(len(standard), (256,), generator=generator)
        loss = -flow().log_prob(standard[rows]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    log_scale = scale.log().sum()

    def log_prob(z: Tensor) -> Tensor:
        with torch.no_grad():
            return flow().log_prob((z - mean) / scale) - log_scale

    return log_prob
