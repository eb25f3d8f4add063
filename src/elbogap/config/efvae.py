"""Settings of document efvae."""

from typing import Annotated

from pydantic import Field, FiniteFloat

from elbogap.config.base import Section, setting

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[FiniteFloat, Field(gt=0)]


# == toy ==


# == theory ==


# == newsgroups ==


# == celeba ==


class Gan(Section):
    """The GAN whose generator is the ground truth of the CelebA images."""

    images: int = setting("Training images, at most.", ge=1)
    side: int = setting("Width and height of the images; 64 or a power of two below.", unit="pixels", ge=8)
    latent: int = setting("Latent dimensions.", ge=1)
    width: int = setting("Channels of the layers next to the image, in both networks.", ge=1)
    sigma: Positive = setting("Deviation of the ground truth's image noise, on [-1, 1].", unit="pixel value")
    batch: int = setting("Images per step.", ge=2)
    epochs: int = setting("Epochs; the generator after the last one is kept.", ge=1)
    learning_rate: Positive = setting("Learning rate of Adam.")
    beta1: float = setting("Adam's decay of the mean gradient.", ge=0, lt=1)
    record_steps: int = setting("Steps per record of the losses.", ge=1)
    checkpoint_seconds: Positive = setting("Least time between two checkpoints.", unit="s")
    seed: int = setting("Base seed of weights, minibatches and noise.", ge=0)


class CelebaTraining(Section):
    """Steps of Adam on fresh images of the ground truth."""

    batch: int = setting("Images per step.", ge=2)
    steps: int = setting("Steps.", ge=1)
    learning_rate: Positive = setting("Learning rate of Adam.")
    beta1: float = setting("Adam's decay of the mean gradient.", ge=0, lt=1)
    record_steps: int = setting("Steps per record of the objective.", ge=1)
    checkpoint_seconds: Positive = setting("Least time between two checkpoints.", unit="s")
    seed: int = setting("Base seed of weights and draws.", ge=0)


class Pretrain(CelebaTraining):
    """The encoder by conditional likelihood."""

    width: int = setting("Channels of the encoder's first layer.", ge=1)


class Joint(CelebaTraining):
    """Decoder and encoder by the ELBO."""


class CelebaEvaluate(Section):
    """ELBO and Frechet distance of all stages."""

    images: int = setting("Fresh images for the ELBO.", ge=2)
    fid_images: int = setting("Samples of each model for the Frechet distance.", ge=2)
    batch: int = setting("Images at once.", ge=1)
    shown: int = setting("Images in each row of the figures.", ge=1)
    checkpoint_seconds: Positive = setting("Least time between two checkpoints.", unit="s")
    seed: int = setting("Base seed of the draws.", ge=0)


class EfvaeConfig(Section):
    """Document efvae."""

    # == toy ==

    # == theory ==

    # == newsgroups ==

    # == celeba ==
    gan: Gan = setting("The ground truth of the CelebA images.")
    pretrain: Pretrain = setting("Its encoder by conditional likelihood.")
    joint: Joint = setting("Decoder and encoder by the ELBO.")
    celeba_evaluate: CelebaEvaluate = setting("ELBO and Frechet distance of all stages.")
