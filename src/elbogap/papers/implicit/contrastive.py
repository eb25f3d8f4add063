"""What the toy experiments of VCD minimise: alpha-VCD with chains of Hamiltonian Monte Carlo."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from elbogap.ensemble import Batch, Stream
from elbogap.inference import hmc
from elbogap.inference.contrastive import alpha_vcd
from elbogap.nn.mlp import Network
from elbogap.papers.implicit.planar import Factorised, Planar


class Carried(nn.Module):
    """What each member carries from step to step.

    Attributes:
        step_size: of its chains, `[M, 1]`.
        baseline: the running mean of f(z_t), `[M, 1]`.
    """

    step_size: Tensor
    baseline: Tensor

    def __init__(self, members: int, step_size: float, device: str) -> None:
        """The state before the first step."""
        super().__init__()
        self.register_buffer("step_size", torch.full((members, 1), step_size, device=device))
        self.register_buffer("baseline", torch.zeros(members, 1, device=device))


@dataclass(frozen=True)
class Contrastive:
    """Minus the alpha-VCD of M mixtures of C factorised Gaussians from their targets.

    Draws are stratified: every component makes B of them. E_q0 sums over components with their weights w, so
    that the weights' own gradient in E_q0 f is that of sum_c w_c f(z_c); in the second term their gradient is
    in log q_0(z_0), and w_c stays constant.

    Attributes:
        targets: of each member.
        alphas: of each member, `[M, 1]`; 0 is the standard KL.
        iterations: t of each member, `[M]`.
        components: C.
        draws: B.
        adapting: the first iterations of each chain that adapt its member's step size.
        leapfrog_steps: per iteration.
        adaptation: how the step size adapts.
        forgetting: 1 - the share of the last baseline in the next.
        carried: step sizes and baselines, changed in place.
        seeds: place of each member's seed among the streams, `[M]`.
        streams: of each seed, the noise by epoch; members of equal seed share it.
        steps: per epoch.
    """

    targets: Planar
    alphas: Tensor
    iterations: Tensor
    components: int
    draws: int
    adapting: int
    leapfrog_steps: int
    adaptation: hmc.Adaptation
    forgetting: float
    carried: Carried
    seeds: Tensor
    streams: Sequence[Stream]
    steps: int

    reported: ClassVar[tuple[str, ...]] = ()

    def prepare(self, epoch: int) -> Batch:
        """`noise` `[M, K, B, C, 2]`, `momenta` `[M, K, T, B C, 2]` and `uniforms` `[M, K, T, B C]`."""
        noise, momenta, uniforms = [], [], []
        chains, longest = self.draws * self.components, int(self.iterations.max())
        for stream in self.streams:
            generator = stream(epoch)
            normal = partial(torch.randn, generator=generator, device=generator.device)
            noise.append(normal(self.steps, self.draws, self.components, 2))
            momenta.append(normal(self.steps, longest, chains, 2))
            shape = (self.steps, longest, chains)
            uniforms.append(torch.rand(shape, generator=generator, device=generator.device))
        drawn = {"noise": noise, "momenta": momenta, "uniforms": uniforms}
        return {name: torch.stack(values)[self.seeds] for name, values in drawn.items()}

    def value(self, networks: Mapping[str, Network], batch: Batch) -> Tensor:
        """An estimate of the negative alpha-VCD up to (1 - alpha) log p(x), `[M]`, in nats."""
        q = Factorised.of(networks, self.alphas.device.type)
        start = q.draw(batch["noise"])
        end = self._refined(start, batch)
        found = alpha_vcd(
            self.targets.log_density, q.log_density, start, end, self.alphas, self.carried.baseline
        )
        weight = (q.log_weight.exp() / self.draws).repeat(1, self.draws)
        fixed = weight.detach()
        with torch.no_grad():
            mean = (fixed * found.refined).sum(1, keepdim=True)
            self.carried.baseline.lerp_(mean, self.forgetting)
        first = found.value - self.alphas * found.refined  # -f(z_0)
        surrogate = (fixed * found.surrogate + weight * first).sum(1)
        return surrogate.detach() - surrogate - (fixed * found.value).sum(1)

    def _refined(self, start: Tensor, batch: Batch) -> Tensor:
        """z_t of every chain, each member's after its own number of iterations, `[M, B C, 2]`."""
        chains = hmc.sample(
            self.targets.log_density,
            start,
            hmc.Noise(batch["momenta"].transpose(0, 1), batch["uniforms"].transpose(0, 1)),
            step_size=self.carried.step_size,
            leapfrog_steps=self.leapfrog_steps,
            adapting=self.adapting,
            adaptation=self.adaptation,
        )
        with torch.no_grad():
            self.carried.step_size.copy_(chains.step_size)
        return chains.draws[self.iterations - 1, torch.arange(len(start), device=start.device)]
