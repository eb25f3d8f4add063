"""Settings of document mapa."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from elbogap.config.base import Resumable, Section, setting
from elbogap.config.quantities import (
    Count,
    Integer,
    Levels,
    Natural,
    Part,
    Positive,
    Rate,
    Seed,
    Share,
    Small,
    Widths,
)
from elbogap.papers.mapa.methods import CELL


class Networks(Section):
    """Their shape."""

    hidden: Widths = setting("Widths of the hidden layers of every network.")
    activation: Literal["leaky_relu", "relu", "softplus", "tanh"] = setting("Hidden activation.")


class Minibatches(Section):
    """Adam on minibatches."""

    batch: Count = setting("Observations per step.")
    epochs: Count = setting("Passes over the training set, of each network that is fitted.")
    learning_rate: Rate = setting("Learning rate of Adam, at the beginning where it falls.")


class DataSets(Section):
    """Data sets of the ground truth."""

    points: Integer = setting("Size N of each data set.", ge=10)
    draws: Count = setting("Data sets per problem.")


class Shown(Section):
    """What figures of log-posteriors show."""

    quantiles: Levels[Part] = setting(
        "The observations shown are those whose latent values have these ranks.", min_length=1
    )
    grid: Integer = setting("Latent values at which functions of them are drawn.", ge=100)


CellName = Annotated[str, Field(pattern=f"^({CELL})$")]
"""One method with its budget, e.g. `iwae_S50`, or `mapa_S50_k10` for k = 10 % of S = 50."""


class OfCells(Section):
    """Work on trained models."""

    cells: Levels[CellName] = setting("Methods with their budgets.", min_length=1)


class Surrogate(Networks):
    """Fits of the analytic decoders, which then are the ground truth."""

    nodes: Integer = setting("Quantiles of the prior to fit at, all of them in each step.", ge=10)
    steps: Integer = setting("Adam steps on a one-cycle schedule.", ge=100)
    learning_rate: Rate = setting("Largest learning rate of the schedule.")
    check_nodes: Integer = setting("Quantiles of the prior to measure the error at.", ge=100)
    target_mse: Small = setting(
        "Mean squared error per coordinate under the prior that must be undercut.", unit="x^2"
    )
    seed: Seed = setting("Base seed of the initial weights.")


class SurrogateCheck(Section):
    """Independent measurement of the surrogates' errors."""

    panels: Integer = setting("Quadrature panels of ten nodes on [-10, 10].", ge=20)


class Intuition(Section):
    """Figure 1: two decoders with the same marginal."""

    noise_deviation: Positive = setting("Standard deviation of the observation noise.", unit="x")
    draws: Count = setting("Latent values drawn from U[0, 1].")
    nodes: Integer = setting("Grid nodes per axis.", ge=20)
    seed: Seed = setting("Base seed of the draws.")


class Posteriors(Shown):
    """Figures 6 to 10: log-posteriors at chosen observations."""

    points: Integer = setting("Size N of the data set.", ge=10)
    seed: Seed = setting("Base seed of the data sets.")


class PosteriorKL(DataSets):
    """How far MAPA is from the posterior of the empiricalised model, over all observations."""

    block: Count = setting("Observations held in memory at once.")
    seed: Seed = setting("Base seed of the data sets.")


class Passes(DataSets):
    """Figures 4 and 5: network evaluations per gradient step."""

    batches: Count = setting("Batches per data set.")
    batch: Count = setting("Observations per batch.")
    samples: Levels[Count] = setting("Budgets S.", min_length=1)
    shares: Levels[Part] = setting(
        "Shares k / S of deterministic terms; the figures tell up to four apart.", min_length=1, max_length=4
    )
    seed: Seed = setting("Base seed of data sets, batches and samples.")


class Train(DataSets, Networks, Minibatches, Resumable):
    """Training of all methods: every cell trains one model per data set and restart."""

    restarts: Count = setting("Random restarts per data set.")
    final_share: Share = setting("Learning rate at the end over that at the beginning.")
    rows: Count = setting("Network rows that the members trained together may take per step.")
    record_epochs: Count = setting("Epochs per recorded value of the bound.")
    seed: Seed = setting("Base seed of data sets, weights, minibatches and samples.")


class Distillation(Minibatches):
    """Appendix C.3: networks fitted to the Gaussianised codes and to the decoder composed with their map."""

    rows: Count = setting("Network rows that the members fitted together may take per step.")


class Density(OfCells, Resumable):
    """Prior recovery, exact likelihoods and the choice of restarts, over all cells."""

    valid_points: Count = setting("Observations for the choice of restart and k.")
    test_points: Count = setting("Observations for the test divergence.")
    tolerance: Small = setting("Largest error of one panel of the quadrature, relative to p(x).")
    distillation: Distillation = setting("The document's way of recovering the prior.")
    seed: Seed = setting("Base seed of initial weights and minibatches.")


class DensitySummary(Section):
    """Comparison of the methods over all problems."""

    resamples: Integer = setting("Bootstrap resamples of the data sets.", ge=100)
    seed: Seed = setting("Base seed of the resamples.")


class Protocol(OfCells, Minibatches):
    """The document's estimate of the likelihood: a mixture encoder fitted by IWAE to each selected model."""

    draws: Count = setting("Data sets per problem.")
    test_points: Count = setting("Observations of the bound.")
    components: Count = setting("Gaussians in the encoder's mixture.")
    hidden: Widths = setting("Widths of the encoder's hidden layers.")
    samples: Count = setting("Samples S of the bound that is maximised, a multiple of the components.")
    bound_samples: Count = setting("Samples S of the reported bound, a multiple of the components.")
    seed: Seed = setting("Base seed of weights, minibatches and samples.")

    @model_validator(mode="after")
    def _samples_of_each_component(self) -> Self:
        for name in ("samples", "bound_samples"):
            samples = getattr(self, name)
            if samples % self.components:
                raise ValueError(f"{name} is {samples}, no multiple of components, {self.components}")
        return self


class Gaps(OfCells):
    """What each bound of the selected models loses against the likelihood, and why."""

    test_points: Count = setting("Observations measured.")
    samples: Count = setting("Monte-Carlo repetitions of bounds that sample.")
    seed: Seed = setting("Base seed of the samples.")


class Gather(Section):
    """One table from a table per problem; there is nothing to set."""


class Nonidentifiability(Shown):
    """Figures 11 and 12: two decoders of one distribution, and their posteriors under one MAPA."""

    valid_points: Count = setting("Observations for the choice of the restart.")
    seed: Seed = setting("Base seed of the draws from the learned model's posteriors.")


class TrainingPasses(OfCells):
    """Figures 4 and 5 against the counts of real training, of cells of MAPA alone."""

    batches: Integer = setting("Simulated batches per data set.", ge=2)
    seed: Seed = setting("Base seed of the simulated batches and samples.")


class BoundIdentities(Section):
    """What must hold of the bound whatever is trained, measured on a small data set."""

    points: Integer = setting("Size N of each data set.", ge=10)
    terms: Levels[Count] = setting("Numbers k of deterministic terms; N is added.", min_length=1)
    samples: Levels[Natural] = setting("Numbers of sampled terms.", min_length=1)
    repetitions: Integer = setting("Evaluations of each bound, with fresh samples.", ge=2)
    seed: Seed = setting("Base seed of data sets and samples.")


class MapaConfig(Section):
    """Document mapa."""

    surrogate: Surrogate = setting("Surrogate decoders (appendix C.1).")
    surrogate_check: SurrogateCheck = setting("Table of the surrogates.")
    intuition: Intuition = setting("Figure 1.")
    posteriors: Posteriors = setting("Figures 6 to 10.")
    posterior_kl: PosteriorKL = setting("Distances between the posteriors of Figures 6 to 10.")
    passes: Passes = setting("Figures 4 and 5.")
    train: Train = setting("Training of all methods of Figures 2, 3, 11 and 12.")
    density: Density = setting("Figures 2 and 3.")
    density_summary: DensitySummary = setting("Tables of Figures 2 and 3.")
    protocol: Protocol = setting("Bias of the document's estimate of the likelihood.")
    gaps: Gaps = setting("Gap decomposition.")
    gather: Gather = setting("Tables over all problems.")
    nonidentifiability: Nonidentifiability = setting("Figures 11 and 12.")
    training_passes: TrainingPasses = setting("Counts of real training against Figures 4 and 5.")
    bound_identities: BoundIdentities = setting("Algebra of the bound.")

    @model_validator(mode="after")
    def _agree(self) -> Self:
        """Refuse sections that ask for what the training does not make."""
        trained = set(self.density.cells)
        for name in ("protocol", "gaps", "training_passes"):
            missing = set(getattr(self, name).cells) - trained
            if missing:
                raise ValueError(f"{name}.cells names {sorted(missing)}, which density.cells does not")
        batches = {
            "train": self.train,
            "density.distillation": self.density.distillation,
            "protocol": self.protocol,
        }
        for name, fit in batches.items():
            if fit.batch > self.train.points:
                raise ValueError(f"{name}.batch is {fit.batch}, but train.points is {self.train.points}")
        if self.protocol.draws > self.train.draws:
            raise ValueError(
                f"protocol.draws is {self.protocol.draws}, but train.draws is {self.train.draws}"
            )
        return self
