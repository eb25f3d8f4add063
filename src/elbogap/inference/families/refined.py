"""The distribution q_t of draws that t MCMC iterations have refined (Ruiz and Titsias 2019)."""

from dataclasses import dataclass

from torch import Tensor

from elbogap.densities import log_mean_exp
from elbogap.errors import UserError
from elbogap.inference import hmc
from elbogap.inference.families.base import Family, LogJoint
from elbogap.inference.noise import Noise, Spec, Specs


@dataclass(frozen=True)
class Refined(Family):
    """z_t after t iterations, which leave p(z|x) invariant, from z_0 ~ q_0.

    The kernel K is reversible, p(z_0|x) K(z_t|z_0) = p(z_t|x) K(z_0|z_t), so that

        q_t(z) = p(x, z) E_{z_0 ~ K(.|z)} [q_0(z_0) / p(x, z_0)],

    an expectation over chains that start at z. This needs t identical iterations, hence a fixed step size.
    The density is differentiable in the parameters of q_0; draws carry no gradient.

    The `initial` q_0 has the noise `normal`, an exact log-density and draws `[..., C, D]`; the `kernel` runs
    the t iterations. S chains (`num_chains`) from each z estimate log q_t(z).
    """

    bias = "below"
    has_rsample = False

    initial: Family
    log_joint: LogJoint
    kernel: hmc.Kernel
    step_size: Tensor | float
    num_chains: int = 1

    def __post_init__(self) -> None:
        """UserError if the kernel adapts its step size."""
        if self.kernel.adaptation is not None:
            raise UserError("chains that adapt have no density q_t; take Kernel(..., adaptation=None)")

    def noise(self, *batch: int) -> Specs:
        """The noise of q_0, and the chains' `momenta` and `uniforms`."""
        return dict(self.initial.noise(*batch)) | self._chains(*batch)

    def sample(self, noise: Noise) -> Tensor:
        """z_t, `[..., C, D]`."""
        return self.kernel.run(self.log_joint, self.initial.sample(noise), noise, self.step_size).last

    def log_prob_noise(self, *batch: int) -> Specs:
        """`momenta` and `uniforms` of S C chains."""
        return self._chains(*batch[:-1], self.num_chains * batch[-1])

    def log_prob(self, z: Tensor, noise: Noise | None = None) -> Tensor:
        """log p(x, z) + log (1/S) sum_s q_0(z_0s) / p(x, z_0s), below log q_t(z) on average, `[..., C]`.

        Differentiable in the parameters of q_0, but not in z.
        """
        z = z.detach()
        start = z.repeat_interleave(self.num_chains, -2)
        end = self.kernel.run(self.log_joint, start, noise, self.step_size).last
        ratio = (self.initial.log_prob(end) - self.log_joint(end)).unflatten(-1, (-1, self.num_chains))
        return self.log_joint(z) + log_mean_exp(ratio, -1)

    def _chains(self, *batch: int) -> dict[str, Spec]:
        dimensions = self.initial.noise()["normal"].shape[-1]
        chains = self.kernel.noise(batch[-1], dimensions)
        return {name: Spec((*batch[:-1], *shape), uniform) for name, (shape, uniform) in chains.items()}
