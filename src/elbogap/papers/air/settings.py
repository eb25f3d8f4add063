"""Settings of document air."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from elbogap.config.base import Resumable, Section, Seeded, setting
from elbogap.config.quantities import (
    Count,
    Integer,
    Levels,
    Name,
    Natural,
    Positive,
    Rate,
    Real,
    Share,
    Widths,
)
from elbogap.papers.air.datasets import DATASETS

DatasetName = Annotated[str, Field(pattern=f"^({'|'.join(DATASETS)})$")]


class Split(Section):
    """Sizes of the parts of a data set; parts that have fewer images are taken whole."""

    train: Integer = setting("Training images.", ge=10)
    valid: Integer = setting("Images for early stopping and for the choice of strengths.", ge=2)
    test: Integer = setting("Test images.", ge=2)


class Images(Seeded):
    """Binary images of each data set, chosen at random: sizes by the data set's name, and the seed."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Split]

    @property
    def sizes(self) -> dict[str, Split]:
        """The splits, by data set."""
        return self.__pydantic_extra__

    @model_validator(mode="after")
    def _known_datasets(self) -> Self:
        if unknown := sorted(self.sizes.keys() - DATASETS):
            raise ValueError(f"images names {unknown}, which papers/air/datasets.py does not")
        return self


class Architecture(Section):
    """Widths of the hidden layers of one data set's networks."""

    encoder: Widths = setting("Hidden layers from the image to q(z|x).")
    decoder: Widths = setting("Hidden layers from z to the pixels.")


class Cell(Section):
    """One bound, the methods trained with it, and how far."""

    datasets: Levels[DatasetName] = setting("Data sets.", min_length=1)
    k: Count = setting("Importance samples of the bound; 1 is the ELBO.")
    m: Count = setting("Copies of the bound, with their own draws of z, that are averaged.")
    large_encoder: bool = setting("Whether encoders have the large layers.")
    alphas: Levels[Share] = setting("Weights alpha of the denoising term, one method each.")
    noise: Levels[Positive] = setting("Scales sigma of the encoder's input noise.", unit="pixel value")
    norms: Levels[Positive] = setting("Bounds H on the norms of the encoder's weight columns.")
    rounds: Count = setting("Length of the training.", unit="rounds")
    seeds: Count = setting("Independent repetitions.")

    @model_validator(mode="after")
    def _noise_for_denoising(self) -> Self:
        if bool(self.alphas) != bool(self.noise):
            raise ValueError("alphas and noise go together: give both or leave both empty")
        return self


class Train(Resumable, Seeded):
    """Training of all methods and regularisation strengths."""

    cells: dict[Name, Cell] = setting("What is trained, by its name in the files.", min_length=1)
    architectures: dict[DatasetName, Architecture] = setting("Networks of each data set.")
    large_encoder: Widths = setting("Hidden layers of large encoders.")
    latent: Count = setting("Latent dimensions.")
    activation: Literal["relu", "tanh"] = setting("Hidden activation.")
    batch: Count = setting("Images per step.")
    learning_rate: Rate = setting("Learning rate of Adam at the beginning.")
    final_share: Share = setting("Learning rate at the end over that at the beginning.")
    round_steps: Count = setting("Steps in a round, whose minibatches and noise are drawn at once.")
    measure_rounds: Count = setting("Rounds from one measurement to the next.")
    measure_images: Count = setting("Validation and test images of the measurements during training.")
    valid_samples: Count = setting("Importance samples of the validation bound.")
    rows: Count = setting("Decoder rows that the members trained together may take per step.")

    def cells_of(self, dataset: str) -> list[tuple[str, Cell]]:
        """What is trained on a data set, by name."""
        return [(name, cell) for name, cell in self.cells.items() if dataset in cell.datasets]

    def layers(self, dataset: str, cell: Cell) -> Architecture:
        """Hidden layers of the cell's networks on a data set."""
        own = self.architectures[dataset]
        return own.model_copy(update={"encoder": self.large_encoder}) if cell.large_encoder else own

    def iterations(self, cell: Cell) -> int:
        """Length of the cell's training in steps."""
        return cell.rounds * self.round_steps


class Estimator(Section):
    """IW-SVI: a Gaussian fitted to each image by itself, and the bound with it."""

    steps: Natural = setting("Gradient steps T per image; 0 keeps the encoder's Gaussian.")
    step_samples: Count = setting("Importance samples k' of the bound that is maximised.")
    learning_rate: Rate = setting("Adam's first learning rate on means and log-variances.")
    samples: Count = setting("Importance samples k of the estimate.")


class Evaluate(Seeded):
    """Test likelihoods and bounds of all trained models."""

    estimator: Estimator = setting("The estimate of log p(x).")
    bound_draws: Count = setting("Independent draws of the amortised bound per image.")
    valid_samples: Count = setting("Importance samples of the validation bound.")
    valid_images: Count = setting("Validation images whose likelihood chooses strengths, at most.")
    rows: Count = setting("Decoder rows held in memory at once.")


class Saturation(Seeded):
    """How far the estimate of the likelihood has converged."""

    cells: Levels[str] = setting("Cells whose models are evaluated, the first of each method.", min_length=1)
    images: Integer = setting("Test images, at most.", ge=2)
    steps: Levels[Natural] = setting("Numbers T of gradient steps.", min_length=1)
    step_samples: Levels[Count] = setting("Numbers k' of samples per gradient step.", min_length=1)
    samples: Levels[Count] = setting("Numbers k of samples of the estimate.", min_length=1)
    learning_rate: Rate = setting("Adam's first learning rate on means and log-variances.")
    rows: Count = setting("Decoder rows held in memory at once.")


class Theory(Seeded):
    """Lemma 1, Theorem 1, Propositions 1 to 3 and appendix B, measured where the optimum is known."""

    among = (("figure_sigmas", "sigmas"),)

    observations: Levels[Real] = setting("The training observations, all different.", unit="x", min_length=2)
    sigmas: Levels[Positive] = setting("Scales of the input noise, all different.", unit="x", min_length=2)
    figure_sigmas: Levels[Positive] = setting("Sigmas that the figure shows.", unit="x", min_length=1)
    nodes: Integer = setting("Grid points over the noisy observation.", ge=20)
    latent_nodes: Integer = setting("Grid points over the latent variable.", ge=20)
    starts: Count = setting("Random starts of each optimisation.")
    models: Count = setting("Random models whose regulariser is measured.")
    alphas: Levels[Share] = setting("Weights of denoising (eq. 16), of affine encoders.", min_length=1)
    norms: Levels[Positive] = setting("Bounds H on the slopes of affine encoders.", min_length=2)
    ks: Levels[Count] = setting("Numbers of importance samples k.", min_length=2)
    importance_sigmas: Levels[Positive] = setting("Noise scales where k varies, beside infinity.", unit="x")
    importance_nodes: Integer = setting("Grid points over the noisy observation where k varies.", ge=10)
    pixels: Count = setting("Bits of each observation of Proposition 2.")
    perturbations: Integer = setting("Perturbed inputs in appendix B.", ge=2)


class AirConfig(Section):
    """Document air."""

    among = (("saturation.cells", "train.cells"),)

    images: Images = setting("Images of all experiments.")
    train: Train = setting("Training for all tables and Figures 1, 2 and 4.")
    evaluate: Evaluate = setting("Tables 1 to 4, Figures 1 and 2.")
    saturation: Saturation = setting("Whether IW-SVI has converged (appendix C).")
    theory: Theory = setting("The theory, on small problems.")

    @model_validator(mode="after")
    def _parts_agree_and_figures_have_cells(self) -> Self:
        datasets = {name for cell in self.train.cells.values() for name in cell.datasets}
        known = {"images": {*self.images.sizes}, "train.architectures": {*self.train.architectures}}
        for part, names in known.items():
            if unknown := sorted(datasets - names):
                raise ValueError(f"train.cells names {unknown}, which {part} does not")
        elbo = [cell for cell in self.train.cells.values() if cell.k == 1 and not cell.large_encoder]
        if not any(cell.m == 1 and (cell.alphas or cell.norms) for cell in elbo):
            raise ValueError("train.cells has no regularised cell with k = 1 and m = 1, which Figure 1 shows")
        if not any(cell.m > 1 for cell in elbo):
            raise ValueError("train.cells has no cell with k = 1 and m > 1, which Figure 4 shows")
        return self
