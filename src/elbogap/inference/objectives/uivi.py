"""The ELBO of a semi-implicit q with UIVI's unbiased gradient (Titsias and Ruiz 2019; lecture, part II)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from elbogap.errors import UserError
from elbogap.inference.families.base import LogJoint
from elbogap.inference.families.semi_implicit import SemiImplicit
from elbogap.inference.noise import Noise
from elbogap.inference.objectives.base import ChainObjective, Estimate, State


@dataclass(frozen=True)
class UIVI(ChainObjective[SemiImplicit]):
    """The ELBO, with gradient E [d/dz (log p(x, z) - log q(z)) dh/dtheta], z = h(u; e) = mu(e) + sigma u,

        d log q(z) / dz = E_{e' ~ q(e'|z)} [-(z - mu(e')) / sigma^2].

    The e' are the states after the burn-in of Hamiltonian Monte Carlo on q(e'|z), started at e. Though e is
    itself a draw of q(e'|z), e' must be independent of it given z: the gradient is unbiased once the chain
    has forgotten its start.
    """

    def __post_init__(self) -> None:
        """UserError if no iteration is left after the burn-in to estimate the score."""
        if not 0 <= self.kernel.burn_in < self.kernel.num_iterations:
            raise UserError(
                f"burn_in={self.kernel.burn_in} must be at least 0 and below "
                f"num_iterations={self.kernel.num_iterations}: some iterations must be left after it"
            )

    def estimate(self, q: SemiImplicit, log_joint: LogJoint, noise: Noise, state: State = None) -> Estimate:
        """log p(x, z) - log q(z|e), below the ELBO on average, with the ELBO's gradient, `[...]` in nats."""
        z, frozen = q.rsample(noise), q.detach()
        score = self.score(frozen, z.detach(), noise, state)
        joint = log_joint(z)
        value = joint.detach() - frozen.conditional_log_prob(noise)
        return Estimate(value, joint - (score * z).sum(-1))

    def score(self, q: SemiImplicit, z: Tensor, noise: Noise, state: State = None) -> Tensor:
        """The estimate of d log q(z) / dz, `[..., D]`, of a detached q at its draws z of this noise."""
        chains = self.chains(q.reverse_conditional(z, noise), noise["mixing"], noise, state)
        with torch.no_grad():
            means = torch.stack([q.mean(mixing) for mixing in chains.draws[self.kernel.burn_in :]]).mean(0)
            inverse_scale = torch.exp(-q.log_scale)  # twice, since its square may be infinite
            return (means - z) * inverse_scale * inverse_scale
