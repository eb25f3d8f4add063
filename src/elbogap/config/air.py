"""Settings of document air."""

from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, model_validator

from elbogap.config.base import Section, setting

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[FiniteFloat, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]
Widths = Annotated[tuple[Count, ...], Field(min_length=1)]
DatasetName = Literal["binarized_mnist", "omniglot", "caltech_silhouettes"]


class Split(Section):
    """Sizes of the three parts of a data set; parts that have fewer images are taken whole."""

    train: int = setting("Training images.", ge=10)
    valid: int = setting("Images for early stopping and for the choice of strengths.", ge=2)
    test: int = setting("Test images.", ge=2)


class Images(Section):
    """Binary images of the three data sets, chosen at random."""

    binarized_mnist: Split = setting("Fixed-binarised MNIST.")
    omniglot: Split = setting(
        "OMNIGLOT, binarised once; its validation part is taken from the training part."
    )
    caltech_silhouettes: Split = setting("Caltech 101 silhouettes.")
    seed: int = setting("Base seed of choice and binarisation.", ge=0)


class Architecture(Section):
    """Widths of the hidden layers of one data set's networks."""

    encoder: Widths = setting("Hidden layers from the image to q(z|x).")
    decoder: Widths = setting("Hidden layers from z to the pixels.")


class Architectures(Section):
    """The networks of each data set."""

    binarized_mnist: Architecture = setting("Fixed-binarised MNIST.")
    omniglot: Architecture = setting("OMNIGLOT.")
    caltech_silhouettes: Architecture = setting("Caltech 101 silhouettes.")


class Cell(Section):
    """One bound, the methods trained with it, and how far."""

    datasets: tuple[DatasetName, ...] = setting("Data sets.", min_length=1)
    k: int = setting("Importance samples of the bound; 1 is the ELBO.", ge=1)
    m: int = setting("Copies of the bound, with their own draws of z, that are averaged.", ge=1)
    large_encoder: bool = setting("Whether encoders have the large layers.")
    alphas: tuple[Share, ...] = setting("Shares alpha of the denoising term, one method each.")
    noise: tuple[Positive, ...] = setting(
        "Standard deviations sigma of the encoder's input noise.", unit="pixel value"
    )
    norms: tuple[Positive, ...] = setting("Bounds H on the norms of the encoder's weight columns.")
    rounds: int = setting("Length of the training.", unit="rounds", ge=1)
    seeds: int = setting("Independent repetitions.", ge=1)

    @model_validator(mode="after")
    def _noise_for_denoising(self) -> Self:
        if bool(self.alphas) != bool(self.noise):
            raise ValueError("alphas and noise go together: give both or leave both empty")
        return self


class Train(Section):
    """Training of all methods and regularisation strengths."""

    cells: dict[str, Cell] = setting("What is trained, by its name in the files.", min_length=1)
    architectures: Architectures = setting("Networks of each data set.")
    large_encoder: Widths = setting("Hidden layers of large encoders.")
    latent: int = setting("Latent dimensions.", ge=1)
    activation: Literal["relu", "tanh"] = setting("Hidden activation.")
    batch: int = setting("Images per step.", ge=1)
    learning_rate: float = setting("Learning rate of Adam at the beginning.", gt=0)
    final_share: float = setting("Learning rate at the end over that at the beginning.", gt=0, le=1)
    round_steps: int = setting("Steps in a round, whose minibatches and noise are drawn at once.", ge=1)
    measure_rounds: int = setting("Rounds from one measurement to the next.", ge=1)
    measure_images: int = setting("Validation and test images of the measurements during training.", ge=1)
    valid_samples: int = setting("Importance samples of the validation bound.", ge=1)
    rows: int = setting("Decoder rows that the members trained together may take per step.", ge=1)
    checkpoint_seconds: float = setting("Least time between two checkpoints.", unit="s", gt=0)
    seed: int = setting("Base seed of weights, minibatches and noise.", ge=0)


class Estimator(Section):
    """IW-SVI: a Gaussian fitted to each image by itself, and the bound with it."""

    steps: int = setting("Gradient steps T per image; 0 keeps the encoder's Gaussian.", ge=0)
    step_samples: int = setting("Importance samples k' of the bound that is maximised.", ge=1)
    learning_rate: float = setting("Adam's first learning rate on means and log-variances.", gt=0)
    samples: int = setting("Importance samples k of the estimate.", ge=1)


class Evaluate(Section):
    """Test likelihoods and bounds of all trained models."""

    estimator: Estimator = setting("The estimate of log p(x).")
    bound_draws: int = setting("Independent draws of the amortised bound per image.", ge=1)
    valid_samples: int = setting("Importance samples of the validation bound that chooses strengths.", ge=1)
    rows: int = setting("Decoder rows held in memory at once.", ge=1)
    seed: int = setting("Base seed of the draws.", ge=0)


class Saturation(Section):
    """How far the estimate of the likelihood has converged."""

    cells: tuple[str, ...] = setting(
        "The cells whose unregularised first models are evaluated, on every data set they have.", min_length=1
    )
    images: int = setting("Test images, at most.", ge=2)
    steps: tuple[int, ...] = setting("Numbers T of gradient steps.", min_length=1)
    step_samples: tuple[Count, ...] = setting("Numbers k' of samples per gradient step.", min_length=1)
    samples: tuple[Count, ...] = setting("Numbers k of samples of the estimate.", min_length=1)
    learning_rate: float = setting("Adam's first learning rate on means and log-variances.", gt=0)
    rows: int = setting("Decoder rows held in memory at once.", ge=1)
    seed: int = setting("Base seed of the draws.", ge=0)


class Summary(Section):
    """Tables of the document from the evaluations."""

    resamples: int = setting("Bootstrap resamples of the test images.", ge=100)
    seed: int = setting("Base seed of the resamples.", ge=0)


class Cost(Section):
    """Time per step at the sizes of the paper scale."""

    steps: int = setting("Steps timed for each number k of samples, after as many untimed ones.", ge=1)
    repeats: int = setting("Repetitions, of which the median counts.", ge=1)
    members: int = setting("Models trained together.", ge=1)


class Theory(Section):
    """Lemma 1, Theorem 1, Propositions 1 to 3 and appendix B, measured where the optimum is known."""

    observations: tuple[FiniteFloat, ...] = setting(
        "The training observations, all different.", unit="x", min_length=2
    )
    sigmas: tuple[Positive, ...] = setting(
        "Standard deviations of the input noise, all different.", unit="x", min_length=2
    )
    figure_sigmas: tuple[Positive, ...] = setting(
        "Those of the sigmas whose encoders and decoders the figure shows.", unit="x", min_length=1
    )
    nodes: int = setting("Grid points over the noisy observation.", ge=20)
    latent_nodes: int = setting("Grid points over the latent variable.", ge=20)
    starts: int = setting("Random starts of each optimisation.", ge=1)
    models: int = setting("Random models whose regulariser is measured.", ge=1)
    alphas: tuple[Share, ...] = setting(
        "Shares of the denoising term in the regulariser (eq. 16) of affine encoders.", min_length=1
    )
    ks: tuple[Count, ...] = setting("Numbers of importance samples k.", min_length=2)
    importance_sigmas: tuple[Positive, ...] = setting(
        "Standard deviations of the input noise under which k varies, beside infinite noise.", unit="x"
    )
    importance_nodes: int = setting("Grid points over the noisy observation where k varies.", ge=10)
    pixels: int = setting("Bits of each observation of Proposition 2.", ge=1)
    perturbations: int = setting("Perturbed inputs in appendix B.", ge=2)
    seed: int = setting("Base seed of models and starts.", ge=0)


class AirConfig(Section):
    """Document air."""

    images: Images = setting("Images of all experiments.")
    train: Train = setting("Training for all tables and Figures 1, 2 and 4.")
    evaluate: Evaluate = setting("Tables 1 to 4, Figures 1 and 2.")
    saturation: Saturation = setting("Whether IW-SVI has converged (appendix C).")
    summary: Summary = setting("Tables 1 to 4 and 7.")
    cost: Cost = setting("What the paper scale costs.")
    theory: Theory = setting("The theory, on small problems.")

    @model_validator(mode="after")
    def _figures_have_cells(self) -> Self:
        """Refuse a training that leaves a figure empty."""
        elbo = [cell for cell in self.train.cells.values() if cell.k == 1 and not cell.large_encoder]
        if not any(cell.m == 1 and (cell.alphas or cell.norms) for cell in elbo):
            raise ValueError("train.cells has no regularised cell with k = 1 and m = 1, which Figure 1 shows")
        if not any(cell.m > 1 for cell in elbo):
            raise ValueError("train.cells has no cell with k = 1 and m > 1, which Figure 4 shows")
        return self


class CostOfTraining(Section):
    """What experiment `air.cost` is told: how to time, and the training of the paper scale."""

    timing: Cost = setting("How to time.")
    train: Train = setting("The training that is timed.")
