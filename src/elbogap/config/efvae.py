"""Settings of document efvae."""

from typing import Annotated

from pydantic import Field, FiniteFloat

from elbogap.config.base import Section, setting

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[FiniteFloat, Field(gt=0)]


# == toy ==
class Toy(Section):
    """The mixture of four Gaussians and encoders of two independent bits."""

    hidden: tuple[Count, ...] = setting("Widths of the encoder's hidden layers.", min_length=1)
    train_spacing: float = setting("Spacing of the shifted lattices of training.", unit="x", gt=0)
    spacing: float = setting("Spacing of the lattice of everything measured or searched.", unit="x", gt=0)
    round_steps: int = setting("Steps in a round, whose shifts are drawn at once.", ge=1)
    pretrain_rounds: int = setting("Length of the training at the ground-truth decoder, in rounds.", ge=1)
    joint_rounds: int = setting("Length of the joint training, in rounds.", ge=1)
    pretrain_rate: float = setting("Adam's first learning rate at the ground-truth decoder.", gt=0)
    joint_rate: float = setting("Adam's first learning rate in joint training.", gt=0)
    final_share: float = setting("Learning rate at the end over that at the beginning.", gt=0, le=1)
    seeds: int = setting("Independent repetitions.", ge=1)
    rbm_starts: int = setting("Random starts of the RBM of maximal likelihood.", ge=1)
    pixels: int = setting("Pixels along each side of the maps.", ge=3)
    path_points: int = setting("Decoders on the line of panel (f).", ge=2)
    checkpoint_seconds: float = setting("Least time between two checkpoints.", unit="s", gt=0)
    seed: int = setting("Base seed of weights, shifts and starts.", ge=0)


# == theory ==
NotNegative = Annotated[FiniteFloat, Field(ge=0)]


class EncoderSizes(Section):
    """Corollary 1: encoders of several sizes at the toy's ground-truth decoder."""

    widths: tuple[Count, ...] = setting("Units in each of the two hidden layers.", min_length=2)
    train_spacing: float = setting("Spacing of the shifted lattices of training.", unit="x", gt=0)
    spacing: float = setting("Spacing of the lattice of the measurement.", unit="x", gt=0)
    steps: int = setting("Training steps.", ge=1)
    learning_rate: float = setting("Adam's first learning rate.", gt=0)
    final_share: float = setting("Learning rate at the end over that at the beginning.", gt=0, le=1)
    seeds: int = setting("Independent repetitions.", ge=1)


class Theory(Section):
    """Theorems 1 and 2, Corollaries 1 and 2 and Example A.1, where all can be enumerated."""

    models: int = setting("Random models of each kind.", ge=1)
    bends: tuple[NotNegative, ...] = setting(
        "Multiples of the part of f(z) that is not affine in z.", unit="natural parameter", min_length=2
    )
    starts: int = setting("Random starts of each optimum.", ge=1)
    spacing: float = setting("Spacing of the lattice of Corollary 2's data.", unit="x", gt=0)
    sharpness: tuple[Positive, ...] = setting("Multiples of the discrete flow's parameters.", min_length=2)
    encoders: EncoderSizes = setting("Corollary 1.")
    checkpoint_seconds: float = setting("Least time between two checkpoints.", unit="s", gt=0)
    seed: int = setting("Base seed of models, weights, shifts and starts.", ge=0)


# == newsgroups ==


# == celeba ==


class EfvaeConfig(Section):
    """Document efvae."""

    # == toy ==
    toy: Toy = setting("The artificial example.")

    # == theory ==
    theory: Theory = setting("Consistency results on small models.")

    # == newsgroups ==

    # == celeba ==
