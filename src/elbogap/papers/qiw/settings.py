"""Settings of document qiw."""

from elbogap.config.base import Minibatches, Resumable, Section, Seeded, setting
from elbogap.config.quantities import Count, Integer, Levels, Positive, Real, Seed, Small, Widths


class Posterior(Seeded):
    """q_IW on a target that is integrated."""

    ks: Levels[Count] = setting("Numbers of draws k.", min_length=1)
    half_width: Positive = setting("The integrals cover [-a, a] along each axis.", unit="z")
    figure_half_width: Positive = setting("The figure, or its histograms, cover [-a, a].", unit="z")


class Posterior2D(Posterior):
    """Figure 1 and Table 1: q_IW on the target of eight Gaussians."""

    figure_points: Integer = setting("Grid points per axis of the figure.", ge=2)
    points: Integer = setting("Grid points per axis of the integrals.", ge=40)
    batches: Integer = setting("Batches in a repetition of the Monte-Carlo columns.", ge=4, multiple_of=2)
    batch_seeds: Integer = setting("Independent repetitions of the Monte-Carlo columns.", ge=2)


class Posterior1D(Posterior):
    """Figure 3: a Gaussian fitted by the ELBO and by the IWAE bound, and what resampling makes of it."""

    points: Integer = setting("Grid points of the integrals.", ge=100)
    starts: Levels[Real] = setting("Initial means of the fits; the best end counts.", unit="z", min_length=1)
    samples: Integer = setting("Resampled draws in each histogram.", ge=100)
    bins: Integer = setting("Bins of each histogram.", ge=10)


class MnistTrain(Minibatches, Resumable, Seeded):
    """The importance-weighted autoencoder of Figure 2."""

    k: Count = setting("Draws in the IWAE bound.")
    latent: Count = setting("Latent dimensions.")
    hidden: Widths = setting("Widths of the hidden layers of encoder and decoder.")
    images: Count = setting("Training images used, drawn at random from the training part.")
    epsilon: Small = setting("Adam's epsilon in TensorFlow's sense.")
    record_every: Count = setting("Steps that one row of the training curve averages.")


class MnistClassifier(Seeded):
    """The classifier that reads the digit of an image."""

    hidden: Widths = setting("Widths of the hidden layers.")
    images: Integer = setting("Training images used, drawn at random from the training part.", ge=10)
    epochs: Count = setting("Passes through the training images.")


class MnistReconstruct(Seeded):
    """Figure 2 and Table 2: reconstructions from q and from q_IW."""

    at_most = (("bound_images", "images"),)

    k: Integer = setting("Draws among which q_IW resamples.", ge=2)
    figure_images: Count = setting("Test images in the figure.")
    figure_samples: Count = setting("Reconstructions per image in the figure.")
    figure_seed: Seed = setting("Seed of the choice of images in the figure.")
    images: Integer = setting("Test images in the table, drawn at random.", ge=10)
    repeats: Integer = setting("Independent draws of all reconstructions in the table.", ge=2)
    bound_images: Count = setting("Test images for the IWAE bound, the first of those in the table.")
    bound_samples: Count = setting("Draws in the test IWAE bound.")


class MnistKL(Seeded):
    """Exact divergences on test images, by quadrature."""

    ks: Levels[Count] = setting("Numbers of draws of q_IW.", min_length=1)
    images: Count = setting("Test images, drawn at random.")
    half_width: Positive = setting("Of the square on which p(x) is integrated.", unit="z")
    points: Integer = setting("Nodes per axis on it.", ge=20)
    local_points: Integer = setting("Nodes per axis on the square around q's mean.", ge=20)


class QiwConfig(Section):
    """Document qiw."""

    posterior_2d: Posterior2D = setting("Figure 1 and Table 1.")
    posterior_1d: Posterior1D = setting("Figure 3.")
    mnist_train: MnistTrain = setting("Training for Figure 2.")
    mnist_classifier: MnistClassifier = setting("The classifier that reads the digits of Figure 2.")
    mnist_reconstruct: MnistReconstruct = setting("Figure 2 and Table 2.")
    mnist_kl: MnistKL = setting("Exact divergences of the autoencoder's q_IW.")
