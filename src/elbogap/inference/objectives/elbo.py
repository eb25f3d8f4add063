"""The ELBO, its importance-weighted form, and SIVI's bound."""

from dataclasses import dataclass

from elbogap.densities import gaussian_kl_to_standard, log_sum_exp
from elbogap.errors import UserError
from elbogap.inference.bounds import doubly_reparameterised_iwae, iwae
from elbogap.inference.families.base import Family, LogJoint
from elbogap.inference.families.gaussian import DiagonalGaussian
from elbogap.inference.noise import Noise, Spec, Specs, take
from elbogap.inference.objectives.base import Estimate, Objective, State, likelihood


@dataclass(frozen=True)
class ELBO(Objective[Family]):
    """log p(x, z) - log q(z), z ~ q, for each draw (Kingma and Welling 2014)."""

    def estimate(self, q: Family, log_joint: LogJoint, noise: Noise, state: State = None) -> Estimate:
        """The ELBO, `[...]` in nats, or a lower bound on it if log q is an estimate."""
        z, log_q = q.rsample_and_log_prob(noise)
        estimate = Estimate.of(log_joint(z) - log_q)
        return estimate.stratified(q, estimate.value)


@dataclass(frozen=True)
class ClosedFormELBO(Objective[DiagonalGaussian]):
    """log p(x|z) - KL(q || N(0, I)), z ~ q, for each draw: a standard normal prior, its KL in closed form."""

    def estimate(
        self, q: DiagonalGaussian, log_joint: LogJoint, noise: Noise, state: State = None
    ) -> Estimate:
        """The ELBO, `[...]` in nats; UserError if the log-joint is no :class:`StandardNormalPrior`."""
        log_likelihood = likelihood(log_joint)(q.rsample(noise))
        return Estimate.of(log_likelihood - gaussian_kl_to_standard(q.mean, q.log_variance))


@dataclass(frozen=True)
class SIVI(ELBO):
    """L_T = log p(x, z) - log (1 / (T + 1)) [q(z|e) + sum_t q(z|e_t)], z ~ q(z|e) (Yin and Zhou 2018).

    A lower bound on the ELBO that rises to it with T >= 0 (`num_mixing`), the number of noises e_t. If
    `shared`, all draws of a step have the same e_t.
    """

    num_mixing: int
    shared: bool = True

    def noise(self, *batch: int, dimensions: int, mixing: int = 0) -> Specs:
        """The noise of q, and `more` e_t, `[..., T, 1, E]`, or `[..., T, B, E]` if not shared."""
        of_draws = 1 if self.shared else batch[-1]
        more = Spec((*batch[:-1], self.num_mixing, of_draws, mixing))
        own = super().noise(*batch, dimensions=dimensions)
        return {"mixing": Spec((*batch, mixing))} | dict(own) | {"more": more}

    def estimate(self, q: Family, log_joint: LogJoint, noise: Noise, state: State = None) -> Estimate:
        """L_T, `[...]` in nats."""
        take(noise, "more", self.num_mixing, -1, -1)
        return super().estimate(q, log_joint, noise, state)


@dataclass(frozen=True)
class IWAE(Objective[Family]):
    """log (1/S) sum_s p(x, z_s) / q(z_s|x), z_s ~ q, at most log p(x) on average (Burda et al. 2016).

    Draws are `[..., S, B, D]`, or `[S, D]` of one observation. Draws stratified over a mixture's components
    are averaged with their weights. If `doubly_reparameterised`, the gradient in q lacks the score term
    (Tucker et al. 2019).
    """

    doubly_reparameterised: bool = False

    def estimate(self, q: Family, log_joint: LogJoint, noise: Noise, state: State = None) -> Estimate:
        """The bound, `[..., B]` in nats.

        UserError if draws are stratified and q's `draws_axis` is not the axis of S, or the doubly
        reparameterised gradient is asked for, which would ignore their weights.
        """
        z = q.rsample(noise)
        axis = -min(3, z.ndim)
        log_draw_weights = q.log_draw_weights(z.shape[q.draws_axis])
        if log_draw_weights is not None:
            if self.doubly_reparameterised:
                raise UserError("stratified draws lack doubly reparameterised gradients: take the plain one")
            if q.draws_axis != axis:
                raise UserError(f"IWAE's draws lie along axis {axis}: give q draws_axis={axis}")
            return Estimate.of(log_sum_exp(log_draw_weights + log_joint(z) - q.log_prob(z), axis + 1))
        if self.doubly_reparameterised:
            frozen = q.detach()
            return Estimate.of(doubly_reparameterised_iwae(z, lambda z: log_joint(z) - frozen.log_prob(z)))
        return Estimate.of(iwae(log_joint(z) - q.log_prob(z)))
