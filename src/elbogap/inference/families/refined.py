"""The distribution q_t of draws that t MCMC iterations have refined (Ruiz and Titsias 2019)."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from elbogap.densities import log_mean_exp
from elbogap.inference import hmc
from elbogap.inference.families.base import Bias, Family, LogJoint
from elbogap.inference.noise import Noise, Spec, Specs


@dataclass(frozen=True)
class Refined(Family):
    """z_t after t iterations from z_0 ~ q_0 that leave p(z|x) invariant.

    The kernel is reversible, p(z_0|x) K(z_t|z_0) = p(z_t|x) K(z_0|z_t), so that

        q_t(z) = p(x, z) E_{z_0 ~ K(.|z)} [q_0(z_0) / p(x, z_0)],

    an expectation over chains that start at z. Draws are constant in the parameters of q_0: their density
    depends on them, but not through the chain.

    Attributes:
        initial: q_0, of which draws are `[..., C, D]`.
        log_joint: log p(x, z).
        kernel: the t iterations, without burn-in.
        step_size: of the leapfrog integrator.
        num_chains: S, the chains from each z that estimate log q_t(z).
    """

    bias: ClassVar[Bias] = "below"

    initial: Family
    log_joint: LogJoint
    kernel: hmc.Kernel
    step_size: Tensor | float
    num_chains: int = 1

    def noise(self, *batch: int) -> Specs:
        """That of q_0, and the chains' `momenta` and `uniforms`."""
        initial = dict(self.initial.noise(*batch))
        (dimensions,) = {spec.shape[-1] for name, spec in initial.items() if name == "normal"}
        chains = self.kernel.noise(batch[-1], dimensions)
        return initial | {
            name: Spec((*batch[:-1], *shape), uniform) for name, (shape, uniform) in chains.items()
        }

    def rsample(self, noise: Noise) -> Tensor:
        """z_t `[..., C, D]`, without gradient."""
        return self.kernel.run(self.log_joint, self.initial.rsample(noise), noise, self.step_size).last

    def log_prob_noise(self, *batch: int) -> Specs:
        """`momenta` and `uniforms` of S C chains."""
        (dimensions,) = {spec.shape[-1] for name, spec in self.initial.noise(1).items() if name == "normal"}
        chains = self.kernel.noise(self.num_chains * batch[-1], dimensions)
        return {name: Spec((*batch[:-1], *shape), uniform) for name, (shape, uniform) in chains.items()}

    def log_prob(self, z: Tensor, noise: Noise | None = None) -> Tensor:
        """log p(x, z) + log (1/S) sum_s q_0(z_0s) / p(x, z_0s), below log q_t(z) on average, `[..., C]`."""
        assert noise is not None, "an estimate of log q(z) takes noise"
        start = z.repeat_interleave(self.num_chains, -2)
        end = self.kernel.run(self.log_joint, start, noise, self.step_size).last
        ratio = (self.initial.log_prob(end) - self.log_joint(end)).unflatten(-1, (-1, self.num_chains))
        return self.log_joint(z) + log_mean_exp(ratio, -1)
