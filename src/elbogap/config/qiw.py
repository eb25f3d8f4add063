"""Settings of document qiw."""

from typing import Annotated

from pydantic import Field

from elbogap.config.base import Section, setting

Count = Annotated[int, Field(ge=1)]


class Posterior2D(Section):
    """Figure 1 and Table 1: q_IW on the target of eight Gaussians."""

    ks: tuple[Count, ...] = setting("Numbers of draws k.", min_length=1)
    figure_half_width: float = setting("Half-width a of the figure, which shows [-a, a]^2.", unit="z", gt=0)
    figure_points: int = setting("Grid points per axis of the figure.", ge=2)
    half_width: float = setting("Half-width a of the square [-a, a]^2 of the integrals.", unit="z", gt=0)
    points: int = setting("Grid points per axis of the integrals.", ge=40)
    batches: int = setting(
        "Batches of other draws per seed, for the Monte-Carlo columns.", ge=4, multiple_of=2
    )
    batch_seeds: int = setting("Independent repetitions of the Monte-Carlo columns.", ge=2)
    seed: int = setting("Base seed of the draws.", ge=0)


class Posterior1D(Section):
    """Figure 3: a Gaussian fitted by the ELBO and by the IWAE bound, and what resampling makes of it."""

    ks: tuple[Count, ...] = setting("Numbers of draws k.", min_length=1)
    half_width: float = setting("Half-width a of the range [-a, a] of the integrals.", unit="z", gt=0)
    points: int = setting("Grid points of the integrals.", ge=100)
    starts: tuple[float, ...] = setting(
        "Initial means of the fits; the best end counts.", unit="z", min_length=1
    )
    samples: int = setting("Resampled draws in each histogram.", ge=100)
    bins: int = setting("Bins of each histogram.", ge=10)
    figure_half_width: float = setting(
        "Half-width a of the figure and its histograms, which span [-a, a].", unit="z", gt=0
    )
    seed: int = setting("Base seed of the draws.", ge=0)


class MnistTrain(Section):
    """The importance-weighted autoencoder of Figure 2."""

    k: int = setting("Draws in the IWAE bound.", ge=1)
    latent: int = setting("Latent dimensions.", ge=1)
    hidden: tuple[Count, ...] = setting("Widths of the hidden layers of encoder and decoder.", min_length=1)
    images: int = setting("Training images used, drawn at random from the training part.", ge=1)
    batch: int = setting("Images per minibatch.", ge=1)
    epochs: int = setting("Passes through the training images.", ge=1)
    learning_rate: float = setting("Adam's learning rate.", gt=0)
    epsilon: float = setting("Adam's epsilon in TensorFlow's sense.", gt=0)
    record_every: int = setting("Steps that one row of the training curve averages.", ge=1)
    checkpoint_seconds: float = setting("Least time between two checkpoints.", unit="s", ge=0)
    seed: int = setting("Base seed of weights, order and noise.", ge=0)


class MnistClassifier(Section):
    """The classifier that reads the digit of an image."""

    hidden: tuple[Count, ...] = setting("Widths of the hidden layers.", min_length=1)
    images: int = setting("Training images used, drawn at random from the training part.", ge=10)
    epochs: int = setting("Passes through the training images.", ge=1)
    seed: int = setting("Base seed of weights, order and binarisation.", ge=0)


class MnistReconstruct(Section):
    """Figure 2 and Table 2: reconstructions from q and from q_IW."""

    k: int = setting("Draws among which q_IW resamples.", ge=2)
    figure_images: int = setting("Test images in the figure.", ge=1)
    figure_samples: int = setting("Reconstructions per image in the figure.", ge=1)
    figure_seed: int = setting("Seed of the choice of images in the figure.", ge=0)
    images: int = setting("Test images in the table, drawn at random.", ge=10)
    repeats: int = setting("Independent draws of all reconstructions in the table.", ge=2)
    bound_images: int = setting("Test images for the IWAE bound, the first of those in the table.", ge=1)
    bound_samples: int = setting("Draws in the test IWAE bound.", ge=1)
    seed: int = setting("Base seed of images and draws.", ge=0)


class QiwConfig(Section):
    """Document qiw."""

    posterior_2d: Posterior2D = setting("Figure 1 and Table 1.")
    posterior_1d: Posterior1D = setting("Figure 3.")
    mnist_train: MnistTrain = setting("Training for Figure 2.")
    mnist_classifier: MnistClassifier = setting(
        "The classifier that reads the digits of Figure 2's reconstructions."
    )
    mnist_reconstruct: MnistReconstruct = setting("Figure 2 and Table 2.")
