"""What SIVI and UIVI maximise, for ensembles of seeds and any log-joint; a Gaussian is SIVI without noise e.

The networks are `mean`, mu(e), and `deviation`, the sigma that does not depend on e: as in UIVI's code sigma
itself is trained and kept above 1e-5.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from elbogap.ensemble import Batch, Stream
from elbogap.inference import hmc
from elbogap.inference.semi_implicit import LogJoint, SemiImplicit, sivi_bound, uivi_gradient
from elbogap.nn.mlp import MLP

FLOOR = 1e-5


def family(networks: Mapping[str, MLP]) -> SemiImplicit:
    """q, differentiable in the parameters of both networks."""
    return SemiImplicit(networks["mean"].layers(), log_deviation(networks["deviation"].biases[0]))


def constant_family(networks: Mapping[str, MLP]) -> SemiImplicit:
    """The same without gradients."""
    return SemiImplicit(
        networks["mean"].layers().detach(), log_deviation(networks["deviation"].biases[0].detach())
    )


def log_deviation(deviation: Tensor) -> Tensor:
    """log sigma; below the floor, where the value is the floor's, the gradient still leads back."""
    fixed = deviation.detach()
    return (fixed.clamp(min=FLOOR) + (deviation - fixed)).log()


@dataclass(frozen=True)
class OnDraws:
    """What both objectives have in common.

    Attributes:
        log_joint: log p(x, z), `[M, B, D]` to `[M, B]`.
        latent: dimensions D of z.
        noise: dimensions E of e.
        batch: draws B of z per step.
        steps: steps K of an epoch.
        streams: generator of each member by epoch, on the device of the networks.
    """

    log_joint: LogJoint
    latent: int
    noise: int
    batch: int
    steps: int
    streams: Sequence[Stream]

    reported: ClassVar[tuple[str, ...]] = ()

    def prepare(self, epoch: int) -> Batch:
        """`noise` e `[M, K, B, E]`, `draws` u `[M, K, B, D]`, and what the objective needs besides."""
        members = [self._draw(stream(epoch)) for stream in self.streams]
        return {name: torch.stack([one[name] for one in members]) for name in members[0]}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of a step's standard normal draws."""
        return {"noise": (self.batch, self.noise), "draws": (self.batch, self.latent)}

    def _draw(self, generator: torch.Generator) -> dict[str, Tensor]:
        return {
            name: torch.randn(self.steps, *shape, generator=generator, device=generator.device)
            for name, shape in self.shapes().items()
        }


@dataclass(frozen=True)
class Sivi(OnDraws):
    """The bound of SIVI; for L = 0 and E = 0 the ELBO of a Gaussian.

    Attributes:
        others: the number L of further noises, the same for all draws of a step.
    """

    others: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """`more` e_l, `[L, 1, E]`, besides."""
        return super().shapes() | {"more": (self.others, 1, self.noise)}

    def value(self, networks: Mapping[str, MLP], batch: Batch) -> Tensor:
        """The bound's mean over the draws, `[M]`, in nats."""
        q = family(networks)
        return sivi_bound(self.log_joint, q, batch["noise"], batch["draws"], batch["more"]).mean(-1)


class StepSizes(nn.Module):
    """The leapfrog step of each member, shared by its chains and carried from step to step of training."""

    values: Tensor

    def __init__(self, members: int, first: float, device: str = "cpu") -> None:
        """All members start with the same one, `[M, 1]`."""
        super().__init__()
        self.register_buffer("values", torch.full((members, 1), first, device=device))


@dataclass(frozen=True)
class Uivi(OnDraws):
    """The ELBO with UIVI's gradient.

    Attributes:
        step_sizes: of the chains; they adapt.
        adaptation: how they do.
        burn_in: iterations that are dropped and adapt the step.
        kept: iterations whose average estimates the score.
        leapfrog_steps: steps of the integrator per iteration.
    """

    step_sizes: StepSizes
    adaptation: hmc.Adaptation
    burn_in: int
    kept: int
    leapfrog_steps: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The chains' `momenta` `[T, B, E]` besides; `uniforms` `[T, B]` are drawn after all these."""
        return super().shapes() | {"momenta": (self.burn_in + self.kept, self.batch, self.noise)}

    def value(self, networks: Mapping[str, MLP], batch: Batch) -> Tensor:
        """log p(x, z) - log q(z|e), the mean over the draws, `[M]`, in nats, with the ELBO's gradient.

        The ELBO itself is unknown; this lower bound on it is the SIVI bound for L = 0.
        """
        q, constant = family(networks), constant_family(networks)
        noise, draws = batch["noise"], batch["draws"]
        estimate = uivi_gradient(
            self.log_joint,
            q,
            constant,
            noise,
            draws,
            hmc.Noise(batch["momenta"].movedim(1, 0), batch["uniforms"].movedim(1, 0)),
            step_size=self.step_sizes.values,
            burn_in=self.burn_in,
            leapfrog_steps=self.leapfrog_steps,
            adaptation=self.adaptation,
        )
        self.step_sizes.values.copy_(estimate.chains.step_size)
        with torch.no_grad():
            bound = estimate.log_joint - constant.conditional(estimate.z, constant.mean(noise))
        surrogate = estimate.surrogate
        return (surrogate - surrogate.detach() + bound).mean(-1)

    def _draw(self, generator: torch.Generator) -> dict[str, Tensor]:
        shape = (self.steps, self.burn_in + self.kept, self.batch)
        normal = super()._draw(generator)
        return normal | {"uniforms": torch.rand(shape, generator=generator, device=generator.device)}
