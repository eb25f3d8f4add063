"""Settings of document efvae."""

from typing import Literal

from elbogap.config.base import Resumable, Section, Seeded, setting
from elbogap.config.quantities import (
    Count,
    Decay,
    Integer,
    Levels,
    Name,
    Natural,
    NotNegative,
    Positive,
    Rate,
    Share,
    Spacing,
    Widths,
)


class OnLattices(Section):
    """Networks on the toy's data, whose expectations are sums over lattices."""

    train_spacing: Spacing = setting("Spacing of the shifted lattices of training.", unit="x")
    spacing: Spacing = setting("Spacing of the lattice of everything measured or searched.", unit="x")
    final_share: Share = setting("Learning rate at the end over that at the beginning.")
    seeds: Count = setting("Independent repetitions.")


class Toy(Resumable, OnLattices, Seeded):
    """The mixture of four Gaussians and encoders of two independent bits."""

    hidden: Widths = setting("Widths of the encoder's hidden layers.")
    round_steps: Count = setting("Steps in a round, whose shifts are drawn at once.")
    pretrain_rounds: Count = setting("Length of the training at the ground-truth decoder.", unit="rounds")
    joint_rounds: Count = setting("Length of the joint training.", unit="rounds")
    pretrain_rate: Rate = setting("Adam's learning rate at the beginning, at the ground-truth decoder.")
    joint_rate: Rate = setting("Adam's learning rate at the beginning of the joint training.")
    pixels: Integer = setting("Pixels along each side of the maps.", ge=3)
    plane_points: Integer = setting("Decoders along each side of Figure 1's plane.", ge=2)


class EncoderSizes(OnLattices):
    """Corollary 1: encoders of several sizes, at the toy's ground truth and at the optimum of the ELBO."""

    widths: Levels[Count] = setting("Units in each of the two hidden layers.", min_length=2)
    steps: Count = setting("Training steps.")
    learning_rate: Rate = setting("Adam's learning rate at the beginning.")


class Theory(Resumable, Seeded):
    """Theorems 1 and 2, Corollaries 1 and 2 and Example A.1, where all can be enumerated."""

    models: Count = setting("Random models of each kind.")
    bends: Levels[NotNegative] = setting(
        "Multiples of the part of f(z) that is not affine in z.", unit="natural parameter", min_length=2
    )
    starts: Count = setting("Random starts of each optimum.")
    spacing: Spacing = setting("Spacing of the lattice of Corollary 2's data.", unit="x")
    sharpness: Levels[Positive] = setting("Multiples of the discrete flow's parameters.", min_length=2)
    encoders: EncoderSizes = setting("Corollary 1.")


class Documents(Section):
    """Which words of 20 Newsgroups are kept."""

    words: Count = setting("Number of words.")


class TextCells(Section):
    """Models that one job trains, one after the other."""

    encoders: Levels[Literal["e1", "e2", "e3", "e2_scaled", "e3_scaled"]] = setting(
        "Encoders: linear in counts (e1), deep (e2) or linear (e3) in frequencies, or in scaled ones.",
        min_length=1,
    )
    bits: Levels[Count] = setting("Lengths of the code.", min_length=1)
    hidden: Levels[Natural] = setting("Numbers of hidden layers of the decoder.", min_length=1)
    seeds: Count = setting("Independent trainings of each model.")


class Phase(Section):
    """A part of the training."""

    epochs: Count = setting("Passes through the training documents.")
    samples: Count = setting("Samples of the ARM gradient per document and step.")


class NewsgroupsTrain(Resumable, Seeded):
    """Training of all models of 20 Newsgroups."""

    cells: dict[Name, TextCells] = setting("What each job trains, by its name in the files.", min_length=1)
    phases: tuple[Phase, ...] = setting("The training, part by part.", min_length=1)
    width: Count = setting("Units of each hidden layer of encoders and decoders.")
    batch: Count = setting("Documents per step.")
    learning_rate: Rate = setting("Learning rate of Adam.")
    frequency_scale: Positive = setting("Factor of the frequencies that scaled encoders see.")
    measure_epochs: Count = setting("Epochs from one measurement to the next.")


class NewsgroupsSummary(Section):
    """Table 2, and retrieval by Hamming distance."""

    neighbours: Count = setting("Nearest training documents that are retrieved.")


class ImageTraining(Resumable, Seeded):
    """Adam on minibatches of images."""

    batch: Integer = setting("Images per step.", ge=2)
    learning_rate: Rate = setting("Learning rate of Adam.")
    beta1: Decay = setting("Decay rate of Adam's mean gradient.")


class Gan(ImageTraining):
    """The GAN whose generator is the ground truth of the CelebA images."""

    images: Count = setting("Training images, chosen at random.")
    side: Literal[8, 16, 32, 64] = setting("Width and height of the images.", unit="pixels")
    latent: Count = setting("Latent dimensions.")
    width: Count = setting("Channels of the layers next to the image, in both networks.")
    sigma: Positive = setting("Scale of the image noise; pixels lie in [-1, 1].", unit="pixel value")
    epochs: Count = setting("Passes through the training images; the last generator is kept.")


class CelebaTraining(ImageTraining):
    """Adam on fresh images of the ground truth."""

    steps: Count = setting("Training steps.")


class CelebaEvaluate(Resumable, Seeded):
    """ELBO and distances of all stages."""

    batches: Integer = setting("Minibatches of fresh images and of samples of each model.", ge=2)
    batch: Integer = setting("Images in each.", ge=2)
    shown: Count = setting("Images in each row of the figures.")


class EfvaeConfig(Section):
    """Document efvae."""

    toy: Toy = setting("The artificial example.")
    theory: Theory = setting("Consistency results on small models.")
    documents: Documents = setting("Which words of the documents Table 2 keeps.")
    newsgroups_train: NewsgroupsTrain = setting("Training for Table 2.")
    newsgroups_summary: NewsgroupsSummary = setting("Table 2, and retrieval by the codes.")
    gan: Gan = setting("The ground truth of the CelebA images.")
    pretrain: CelebaTraining = setting("Pre-training of its encoder by conditional likelihood.")
    joint: CelebaTraining = setting("Joint training of decoder and encoder by the ELBO.")
    celeba_evaluate: CelebaEvaluate = setting("ELBO and distances of all stages.")
