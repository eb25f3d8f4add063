"""Settings of document implicit."""

from typing import Annotated, Literal  # noqa: F401

from pydantic import Field, FiniteFloat

from elbogap.config.base import Section, setting

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[FiniteFloat, Field(gt=0)]


# == density_ratio ==


# == toys ==


# == identities ==


# == vcd_toys ==


# == regression ==


class Points(Section):
    """Points of a data set that a softmax regression uses."""

    train: int = setting("Training points; all, if there are fewer.", ge=1)
    test: int = setting("Test points; all, if there are fewer.", ge=1)
    batch: int = setting("Points per step.", ge=1)


class SoftmaxTraining(Section):
    """How q is trained and measured in all softmax regressions."""

    noise: int = setting("Dimensions of the noise e.", ge=1)
    hidden: tuple[Count, ...] = setting("Hidden layers of the mean's network.", min_length=1)
    sivi_samples: int = setting("Noises L of SIVI's bound, beside the one that made z.", ge=0)
    leapfrog_steps: int = setting("Leapfrog steps per iteration of HMC.", ge=1)
    step_size: float = setting("First leapfrog step.", gt=0)
    target_acceptance: float = setting("Acceptance to which the leapfrog step adapts.", gt=0, lt=1)
    learning_rate: float = setting("First step of the mean's parameters.", gt=0)
    deviation_share: float = setting("Step of the deviations over that of the mean.", gt=0)
    decay_every: int = setting("Iterations after which the steps fall by a tenth.", ge=1)
    measure_every: int = setting("Iterations from one measurement to the next.", ge=1)
    elbo_draws: int = setting("Draws z of a measured ELBO.", ge=1)
    elbo_noises: int = setting("Noises that estimate log q(z) of a measured ELBO.", ge=1)
    test_draws: int = setting("Draws z of a measured test log-likelihood.", ge=1)
    draws_at_once: int = setting("Draws held in memory at once.", ge=1)
    seeds: int = setting("Independent repetitions.", ge=1)
    checkpoint_seconds: float = setting("Least time between two checkpoints.", unit="s", gt=0)
    seed: int = setting("Base seed.", ge=0)


class Regression(Section):
    """Softmax regression by UIVI, SIVI and a mean field, over iterations and over time."""

    mnist: Points = setting("MNIST, grey.")
    hapt: Points = setting("HAPT.")
    training: SoftmaxTraining = setting("Training and measurements.")
    hmc_iterations: int = setting("Iterations of HMC that are dropped, and as many that are kept.", ge=1)
    rounds: int = setting("Length of the training, in measurements.", ge=5)
    final_test_draws: int = setting("Draws z of the test log-likelihood after training.", ge=1)
    timing_steps: int = setting("Iterations timed, after as many untimed ones.", ge=1)
    timing_repeats: int = setting("Repetitions of the timing, of which the median counts.", ge=1)


class HmcIterations(Section):
    """UIVI's softmax regression on MNIST with several numbers of HMC iterations."""

    points: Points = setting("MNIST, grey.")
    training: SoftmaxTraining = setting("Training and measurements.")
    iterations: tuple[Count, ...] = setting(
        "Iterations of HMC that are dropped, and as many that are kept.", min_length=2
    )
    rounds: int = setting("Length of the training, in measurements.", ge=5)
    last_share: float = setting("Share of the training at its end that is averaged.", gt=0, le=1)


class RegressionSummary(Section):
    """The table of all softmax regressions."""

    last_share: float = setting("Share of the training at its end that is averaged.", gt=0, le=1)


# == vae ==


class ImplicitConfig(Section):
    """Document implicit."""

    # == density_ratio ==

    # == toys ==

    # == identities ==

    # == vcd_toys ==

    # == regression ==
    regression: Regression = setting("Figure 3: softmax regression.")
    regression_summary: RegressionSummary = setting("Figure 3 in numbers.")
    hmc_iterations: HmcIterations = setting("Figure 4: the number of HMC iterations.")

    # == vae ==
