"""The ELBO of a semi-implicit q with UIVI's unbiased gradient (Titsias and Ruiz 2019; lecture, part II)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from elbogap.errors import UserError
from elbogap.inference import hmc
from elbogap.inference.families.affine_mean import AffineMean
from elbogap.inference.families.base import LogJoint
from elbogap.inference.families.semi_implicit import SemiImplicit
from elbogap.inference.noise import Noise, Specs
from elbogap.inference.objectives.base import Estimate, Objective, StepSize, adapted


@dataclass(frozen=True)
class UIVI(Objective[SemiImplicit | AffineMean]):
    """The gradient E [d/dz (log p(x, z) - log q(z)) dh(u; e)/dtheta], z = h(u; e) = mu(e) + sigma u, with

        d log q(z) / dz = E_{e' ~ q(e'|z)} [-(z - mu(e')) / sigma^2].

    The e' are states of Hamiltonian Monte Carlo on q(e'|z) from e, a draw of it, after the burn-in; e itself
    would not do, because u depends on it. The estimate is unbiased once the chain has forgotten its start.

    Attributes:
        kernel: of the chains; the iterations after its burn-in estimate the score.
        step_size: the first one of the leapfrog integrator.
    """

    kernel: hmc.Kernel
    step_size: float

    def __post_init__(self) -> None:
        """Refuse chains of nothing but burn-in.

        Raises:
            UserError: the burn-in leaves no iteration.
        """
        if not 0 <= self.kernel.burn_in < self.kernel.num_iterations:
            raise UserError(
                f"burn_in={self.kernel.burn_in} must be at least 0 and below "
                f"num_iterations={self.kernel.num_iterations}: some iterations must be left after it"
            )

    def noise(self, *batch: int, dimensions: int, mixing: int = 0) -> Specs:
        """Besides those of q, `momenta` and `uniforms` of the chains."""
        own = super().noise(*batch, dimensions=dimensions, mixing=mixing)
        return dict(own) | dict(self.kernel.noise(batch[-1], mixing))

    def initial_state(self, members: int | None = None, device: str = "cpu") -> StepSize:
        """The step size, which the chains adapt."""
        return StepSize(members, self.step_size, device)

    def estimate(
        self,
        q: SemiImplicit | AffineMean,
        log_joint: LogJoint,
        noise: Noise,
        state: nn.Module | None = None,
    ) -> Estimate:
        """log p(x, z) - log q(z|e), below the ELBO on average, with the ELBO's gradient, `[...]` in nats."""
        z, frozen = q.rsample(noise), q.detach()
        score = self.score(frozen, z.detach(), noise, state)
        joint = log_joint(z)
        value = joint.detach() - frozen.conditional_log_prob(noise)
        return Estimate(value, joint - (score * z).sum(-1))

    def score(
        self, q: SemiImplicit | AffineMean, z: Tensor, noise: Noise, state: nn.Module | None = None
    ) -> Tensor:
        """The estimate of d log q(z) / dz, `[..., D]`.

        Args:
            q: without gradient.
            z: its draws from this noise, `[..., D]`.
            noise: of the draws and of the chains.
            state: with the step size, which adapts.
        """
        reverse = q.reverse_conditional(z, noise)
        chains = adapted(self.kernel, reverse, noise["mixing"], noise, state, self.step_size)
        with torch.no_grad():
            means = torch.stack([q.mean(one) for one in chains.draws[self.kernel.burn_in :]]).mean(0)
            precision = torch.exp(-q.log_scale)  # twice, since its square may be infinite
            return (means - z) * precision * precision
