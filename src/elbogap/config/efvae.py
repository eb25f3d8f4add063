"""Settings of document efvae."""

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from elbogap.config.base import Section, setting

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[FiniteFloat, Field(gt=0)]


class Toy(Section):
    """The mixture of four Gaussians and encoders of two independent bits."""

    hidden: tuple[Count, ...] = setting("Widths of the encoder's hidden layers.", min_length=1)
    train_spacing: float = setting("Spacing of the shifted lattices of training.", unit="x", gt=0)
    spacing: float = setting("Spacing of the lattice of everything measured or searched.", unit="x", gt=0)
    round_steps: int = setting("Steps in a round, whose shifts are drawn at once.", ge=1)
    pretrain_rounds: int = setting("Length of the training at the ground-truth decoder.", unit="rounds", ge=1)
    joint_rounds: int = setting("Length of the joint training.", unit="rounds", ge=1)
    pretrain_rate: float = setting(
        "Adam's learning rate at the beginning, at the ground-truth decoder.", gt=0
    )
    joint_rate: float = setting("Adam's learning rate at the beginning of the joint training.", gt=0)
    final_share: float = setting("Learning rate at the end over that at the beginning.", gt=0, le=1)
    seeds: int = setting("Independent repetitions.", ge=1)
    rbm_starts: int = setting("Random starts of the RBM of maximal likelihood.", ge=1)
    pixels: int = setting("Pixels along each side of the maps.", ge=3)
    path_points: int = setting("Decoders on the line of panel (f).", ge=2)
    plane_points: int = setting("Decoders along each side of Figure 1's plane.", ge=2)
    checkpoint_seconds: float = setting("Least time between two checkpoints.", unit="s", gt=0)
    seed: int = setting("Base seed of weights, shifts and starts.", ge=0)


NotNegative = Annotated[FiniteFloat, Field(ge=0)]


class EncoderSizes(Section):
    """Corollary 1: encoders of several sizes, at the toy's ground truth and at the optimum of the ELBO."""

    widths: tuple[Count, ...] = setting("Units in each of the two hidden layers.", min_length=2)
    train_spacing: float = setting("Spacing of the shifted lattices of training.", unit="x", gt=0)
    spacing: float = setting("Spacing of the lattice of the measurement.", unit="x", gt=0)
    steps: int = setting("Training steps.", ge=1)
    learning_rate: float = setting("Adam's learning rate at the beginning.", gt=0)
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


class Documents(Section):
    """Which words of 20 Newsgroups are kept."""

    words: int = setting("Number of words.", ge=1)
    selection: Literal["documents", "count"] = setting(
        "What ranks a word: the number of training documents that have it, or its count in all of them."
    )


class TextCells(Section):
    """Models that one job trains, one after the other."""

    encoders: tuple[Literal["e1", "e2", "e3"], ...] = setting(
        "Encoders: e1 linear in counts, e2 two hidden layers on frequencies, e3 linear in frequencies.",
        min_length=1,
    )
    bits: tuple[Count, ...] = setting("Lengths of the code.", min_length=1)
    hidden: tuple[Annotated[int, Field(ge=0)], ...] = setting(
        "Numbers of hidden layers of the decoder.", min_length=1
    )


class Phase(Section):
    """A part of the training."""

    epochs: int = setting("Passes through the training documents.", ge=1)
    samples: int = setting("Samples of the ARM gradient per document and step.", ge=1)


class NewsgroupsTrain(Section):
    """Training of all models of 20 Newsgroups."""

    cells: dict[str, TextCells] = setting("What each job trains, by its name in the files.", min_length=1)
    phases: tuple[Phase, ...] = setting("The training, part by part.", min_length=1)
    width: int = setting("Units of each hidden layer of encoders and decoders.", ge=1)
    batch: int = setting("Documents per step.", ge=1)
    learning_rate: Positive = setting("Learning rate of Adam.")
    measure_epochs: int = setting("Epochs from one measurement to the next.", ge=1)
    checkpoint_seconds: Positive = setting("Least time between two checkpoints.", unit="s")
    seed: int = setting("Base seed of weights, minibatches and noise.", ge=0)


class NewsgroupsSummary(Section):
    """Table 2, and retrieval by Hamming distance."""

    neighbours: int = setting("Nearest training documents that are retrieved.", ge=1)


class ImageTraining(Section):
    """Adam on minibatches of images."""

    batch: int = setting("Images per step.", ge=2)
    learning_rate: Positive = setting("Learning rate of Adam.")
    beta1: float = setting("Decay rate of Adam's mean gradient.", ge=0, lt=1)
    record_steps: int = setting("Steps from one record of the objective to the next.", ge=1)
    checkpoint_seconds: Positive = setting("Least time between two checkpoints.", unit="s")
    seed: int = setting("Base seed of weights, minibatches and draws.", ge=0)


class Gan(ImageTraining):
    """The GAN whose generator is the ground truth of the CelebA images."""

    images: int = setting("Training images, chosen at random.", ge=1)
    side: int = setting("Width and height of the images; 64 or a power of two below.", unit="pixels", ge=8)
    latent: int = setting("Latent dimensions.", ge=1)
    width: int = setting("Channels of the layers next to the image, in both networks.", ge=1)
    sigma: Positive = setting(
        "Standard deviation of the ground truth's image noise; pixels lie in [-1, 1].", unit="pixel value"
    )
    epochs: int = setting("Passes through the training images; the last generator is kept.", ge=1)


class CelebaTraining(ImageTraining):
    """The same on fresh images of the ground truth."""

    steps: int = setting("Training steps.", ge=1)


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

    toy: Toy = setting("The artificial example.")

    theory: Theory = setting("Consistency results on small models.")

    documents: Documents = setting("Which words of the documents Table 2 keeps.")
    newsgroups_train: NewsgroupsTrain = setting("Training for Table 2.")
    newsgroups_summary: NewsgroupsSummary = setting("Table 2, and retrieval by the codes.")

    gan: Gan = setting("The ground truth of the CelebA images.")
    pretrain: Pretrain = setting("Pre-training of its encoder by conditional likelihood.")
    joint: Joint = setting("Joint training of decoder and encoder by the ELBO.")
    celeba_evaluate: CelebaEvaluate = setting("ELBO and Frechet distance of all stages.")
