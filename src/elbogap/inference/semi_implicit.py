"""Semi-implicit distributions, the bound of SIVI and the unbiased gradient of UIVI.

q(z) = E_{e ~ N(0, I)} N(z; mu(e), diag sigma^2) has no density in closed form, only the conditional q(z|e)
has (lecture, part II). For an amortised q(z|x), mu depends on x as well, through the callable alone. Shapes
`[..., B, *]` hold one variable per observation; further axes in front are kept.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from elbogap.densities import gaussian_log_density, log_mean_exp, standard_gaussian_log_density
from elbogap.errors import UserError
from elbogap.inference import hmc

LogJoint = Callable[[Tensor], Tensor]
"""log p(x_b, z_b) in nats of draws z `[..., B, D]` for fixed observations: `[..., B]`."""


@dataclass(frozen=True)
class SemiImplicit:
    """q(z) = E_e q(z|e), q(z|e) = N(mu(e), diag exp(2 l)), e ~ N(0, I).

    Attributes:
        mean: mu, `[..., B, E]` to `[..., B, D]`.
        log_deviation: l, broadcast against `[..., B, D]`; it does not depend on e.
    """

    mean: Callable[[Tensor], Tensor]
    log_deviation: Tensor

    def place(self, noise: Tensor, draws: Tensor) -> Tensor:
        """z = mu(e) + sigma u of noises e `[..., B, E]` and standard normal u `[..., B, D]`."""
        return self.mean(noise) + self.log_deviation.exp() * draws

    def conditional(self, z: Tensor, mean: Tensor) -> Tensor:
        """log N(z; mu, diag sigma^2), `[..., B, D]` against `[..., B, D]`, to `[..., B]`."""
        return gaussian_log_density(z, mean, 2 * self.log_deviation)

    def reverse(self, z: Tensor) -> hmc.LogDensity:
        """log q(e|z) + log q(z) = log N(e; 0, I) + log q(z|e) as a function of e `[..., B, E]`."""
        return lambda noise: standard_gaussian_log_density(noise) + self.conditional(z, self.mean(noise))

    def log_density(self, z: Tensor, noises: Tensor) -> Tensor:
        """log (1/T) sum_t q(z|e_t), an estimate of log q(z) that is below it on average.

        Args:
            z: `[..., B, D]`.
            noises: fresh standard normal e_t, `[..., T, B, E]`, or `[..., T, 1, E]` for all B alike.

        Returns:
            `[..., B]`, in nats.
        """
        return self.mixture(z, self.mean(noises))

    def mixture(self, z: Tensor, means: Tensor) -> Tensor:
        """log (1/T) sum_t N(z; mu_t, diag sigma^2), `[..., B, D]` under `[..., T, B, D]`, to `[..., B]`."""
        spread = self.log_deviation
        if spread.ndim > 2:
            spread = spread.unsqueeze(-3)
        return log_mean_exp(gaussian_log_density(z.unsqueeze(-3), means, 2 * spread), -2)


def sivi_bound(
    log_joint: LogJoint, family: SemiImplicit, noise: Tensor, draws: Tensor, more: Tensor
) -> Tensor:
    """L_L = log p(x, z) - log (1 / (L + 1)) [q(z|e) + sum_l q(z|e_l)], z ~ q(z|e) (Yin and Zhou 2018).

    Its mean is below the ELBO and rises to it as L grows; differentiable in all parameters.

    Args:
        log_joint: log p(x, z).
        family: q.
        noise: e, `[..., B, E]`.
        draws: u, standard normal, `[..., B, D]`.
        more: e_l, `[..., L, B, E]` with L >= 0, or `[..., L, 1, E]` for all B alike.

    Returns:
        `[..., B]`, in nats.
    """
    mean = family.mean(noise)
    z = mean + family.log_deviation.exp() * draws
    means = mean.unsqueeze(-3)
    if more.shape[-3]:
        others = family.mean(more)
        means = torch.cat([means, others.expand(*others.shape[:-2], *mean.shape[-2:])], -3)
    return log_joint(z) - family.mixture(z, means)


@dataclass(frozen=True)
class Gradient:
    """What :func:`uivi_gradient` gives.

    Attributes:
        surrogate: its gradient is the estimate; its value means nothing, `[..., B]`.
        z: the draws, without gradient, `[..., B, D]`.
        log_joint: log p(x, z), without gradient, `[..., B]`.
        score: the estimate of d log q(z) / d z, `[..., B, D]`.
        chains: the noises drawn from the reverse conditional.
    """

    surrogate: Tensor
    z: Tensor
    log_joint: Tensor
    score: Tensor
    chains: hmc.Chains


def uivi_gradient(
    log_joint: LogJoint,
    family: SemiImplicit,
    constant: SemiImplicit,
    noise: Tensor,
    draws: Tensor,
    chain: hmc.Noise,
    *,
    step_size: Tensor | float,
    burn_in: int,
    leapfrog_steps: int = 5,
    adaptation: hmc.Adaptation | None = None,
    reverse: hmc.LogDensity | None = None,
) -> Gradient:
    """An estimate of the ELBO's gradient, unbiased once the chain has left its start (Titsias and Ruiz 2019).

    grad = E [d/dz (log p(x, z) - log q(z)) dh(u; e)/dtheta], z = h(u; e) = mu(e) + sigma u, with

        d log q(z) / dz = E_{e' ~ q(e'|z)} [-(z - mu(e')) / sigma^2].

    The e' are states of Hamiltonian Monte Carlo on q(e'|z) from e, a draw of it, after `burn_in` iterations;
    e itself would not do, because u depends on it.

    Args:
        log_joint: log p(x, z), differentiable in z and, if wanted, in the model's parameters.
        family: q, differentiable in its parameters.
        constant: the same q without gradients in its parameters, which makes the chain cheaper, or q itself.
        noise: e, `[..., B, E]`.
        draws: u, `[..., B, D]`.
        chain: momenta and uniforms of all iterations, burn-in and kept.
        step_size: see :func:`elbogap.inference.hmc.sample`.
        burn_in: iterations that are dropped; they adapt the step size if `adaptation` is given.
        leapfrog_steps: integrator steps per iteration.
        adaptation: how the step size adapts.
        reverse: log q(e|z) up to a constant, where there is a cheaper form than that of the family.

    Raises:
        UserError: the burn-in leaves no iteration; see also :func:`elbogap.inference.hmc.sample`.
    """
    iterations = len(chain.momenta)
    if not 0 <= burn_in < iterations:
        raise UserError(
            f"a burn-in of {burn_in} leaves none of the {iterations} iterations that the noise is for, or is "
            "negative; draw noise for more iterations, or drop fewer"
        )
    z = family.place(noise, draws)
    fixed = z.detach()
    chains = hmc.sample(
        reverse or constant.reverse(fixed),
        noise,
        chain,
        step_size=step_size,
        leapfrog_steps=leapfrog_steps,
        adapting=burn_in if adaptation else 0,
        adaptation=adaptation,
    )
    with torch.no_grad():
        means = torch.stack([constant.mean(one) for one in chains.draws[burn_in:]]).mean(0)
        precision = torch.exp(-constant.log_deviation)  # twice, since its square may be infinite
        score = (means - fixed) * precision * precision
    joint = log_joint(z)
    return Gradient(joint - (score * z).sum(-1), fixed, joint.detach(), score, chains)
