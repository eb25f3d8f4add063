"""Settings of document implicit."""

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from elbogap.config.base import Section, setting

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[FiniteFloat, Field(gt=0)]


# == density_ratio ==


class AdversarialGame(Section):
    """An implicit q(z) of two dimensions, trained with a discriminator."""

    observation: float = setting(
        "x, where p(x|z) = N(x; z_1^2 + z_2, s^2) and p(z) = N(0, I).", unit="x", ge=0
    )
    deviation: Positive = setting("s, the likelihood's standard deviation.", unit="x")
    noise: int = setting("Dimensions of the noise that q's network maps to z.", ge=1)
    hidden: tuple[Count, ...] = setting("Hidden layers of both networks.", min_length=1)
    discriminator_steps: tuple[Count, ...] = setting(
        "Numbers of discriminator steps per step of q, all different.", min_length=2
    )
    batch: int = setting("Draws of q, and of the prior, per step.", ge=1)
    learning_rate: float = setting("Learning rate of Adam for q.", gt=0)
    discriminator_rate: float = setting("Learning rate of Adam for the discriminator.", gt=0)
    rounds: int = setting("Rounds of training; the true ELBO is measured after each.", ge=2)
    round_steps: int = setting("Steps of q per round.", ge=1)
    draws: int = setting("Draws of q per measurement.", ge=100)
    cell: Positive = setting("Side of the cells that estimate q's entropy.", unit="z")
    shown: int = setting("Draws of q in the figure.", ge=1)
    grid: int = setting("Grid points per axis for p(z|x) and p(x).", ge=20)
    half_width: Positive = setting("Half the side of the grid.", unit="z")
    seeds: int = setting("Independent repetitions.", ge=2)


class FiniteSample(Section):
    """A discriminator trained to the end on a finite sample, in many dimensions."""

    dimensions: tuple[Count, ...] = setting("Dimensions of z, all different.", min_length=2)
    divergence: Positive = setting("KL(q || p), in every dimension the same.", unit="nats")
    points: int = setting("Training points of each class.", ge=2)
    held_out: int = setting("Points of each class that the discriminator never sees.", ge=2)
    hidden: tuple[Count, ...] = setting("Hidden layers of the discriminator.", min_length=1)
    batch: int = setting("Points of each class per step.", ge=1)
    epochs: int = setting("Passes over the training points.", ge=1)
    learning_rate: float = setting("Learning rate of Adam at the beginning.", gt=0)
    seeds: int = setting("Independent repetitions.", ge=2)


class DensityRatio(Section):
    """Part I: adversarial training of implicit distributions, and its limitations."""

    game: AdversarialGame = setting("The alternating game, in two dimensions.")
    finite_sample: FiniteSample = setting("Overfitting of the discriminator, in many dimensions.")
    seed: int = setting("Base seed of weights and noise.", ge=0)


# == toys ==


# == identities ==


# == vcd_toys ==


# == regression ==


# == vae ==


class ImplicitConfig(Section):
    """Document implicit."""

    # == density_ratio ==
    density_ratio: DensityRatio = setting("Part I: density ratio estimation.")

    # == toys ==

    # == identities ==

    # == vcd_toys ==

    # == regression ==

    # == vae ==
