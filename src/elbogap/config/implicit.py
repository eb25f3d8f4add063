"""Settings of document implicit."""

from typing import Annotated, Literal  # noqa: F401

from pydantic import Field, FiniteFloat

from elbogap.config.base import Section, setting  # noqa: F401

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[FiniteFloat, Field(gt=0)]


# == density_ratio ==


# == toys ==
class Toys(Section):
    """UIVI, SIVI and a Gaussian on the banana, the x-shaped and the multimodal target."""

    rounds: int = setting("Length of the training, in rounds.", ge=1)
    round_steps: int = setting("Steps in a round, whose noise is drawn at once.", ge=1)
    batch: int = setting("Draws of z per step.", ge=1)
    noise: int = setting("Dimensions of e.", ge=1)
    hidden: tuple[Count, ...] = setting("Widths of the hidden layers of mu(e).", min_length=1)
    deviation: float = setting("First deviation of q(z|e).", unit="z", gt=0)
    learning_rate: float = setting("First learning rate of the networks.", gt=0)
    deviation_share: float = setting("Learning rate of the deviation over that of the networks.", gt=0)
    rate_factor: float = setting("Factor by which the learning rates fall.", gt=0, le=1)
    rate_every: int = setting("Steps after which they fall.", ge=1)
    others: int = setting("Further noises L in SIVI's bound.", ge=1)
    burn_in: int = setting("Iterations of UIVI's chains that are dropped and adapt the step.", ge=0)
    kept: int = setting("Iterations of UIVI's chains that are averaged.", ge=1)
    leapfrog_steps: int = setting("Leapfrog steps per iteration.", ge=1)
    step_size: float = setting("First leapfrog step.", unit="e", gt=0)
    target_acceptance: float = setting("Acceptance to which the leapfrog step adapts.", gt=0, lt=1)
    adaptation_rate: float = setting("How fast it adapts.", ge=0, lt=1)
    seeds: int = setting("Independent repetitions.", ge=1)
    elbo_blocks: int = setting("Independent blocks of the measured ELBO.", ge=2)
    elbo_draws: int = setting("Draws of z in each block.", ge=1)
    elbo_noises: int = setting("Further noises in each block.", ge=1)
    figure_draws: int = setting("Draws of each q in the figure, and chains that show the acceptance.", ge=1)
    grid: int = setting("Grid points per axis of the figure's densities.", ge=2)
    checkpoint_seconds: float = setting("Least time between two checkpoints.", unit="s", gt=0)
    seed: int = setting("Base seed of weights and noise.", ge=0)


# == identities ==
class Identities(Section):
    """SIVI's bound and the gradients of UIVI and SIVI, where q(z) is known by quadrature."""

    hidden: tuple[Count, ...] = setting("Widths of the hidden layers of mu(e).", min_length=1)
    deviation: float = setting("Deviation of q(z|e).", unit="z", gt=0)
    half_width: float = setting("Integrals over z are taken over [-a, a]^2.", unit="z", gt=0)
    points: int = setting("Grid points per axis of these integrals.", ge=20)
    nodes: int = setting("Grid points of the integrals over e.", ge=20)
    others: tuple[Annotated[int, Field(ge=0)], ...] = setting(
        "Numbers L of further noises in SIVI's bound.", min_length=2
    )
    chain_lengths: tuple[Count, ...] = setting("Iterations of UIVI's chains, the last of which is kept.")
    leapfrog_steps: int = setting("Leapfrog steps per iteration.", ge=1)
    step_size: float = setting("Leapfrog step.", unit="e", gt=0)
    bound_draws: int = setting("Draws of SIVI's bound.", ge=2)
    gradient_draws: int = setting("Draws of z in each estimate of the gradient.", ge=1)
    gradients: int = setting("Independent estimates of each gradient.", ge=2)
    seed: int = setting("Base seed of q and of all draws.", ge=0)


# == vcd_toys ==


# == regression ==


# == vae ==


class ImplicitConfig(Section):
    """Document implicit."""

    # == density_ratio ==

    # == toys ==
    toys: Toys = setting("UIVI's toy targets.")

    # == identities ==
    identities: Identities = setting("SIVI's bound and UIVI's gradient.")

    # == vcd_toys ==

    # == regression ==

    # == vae ==
