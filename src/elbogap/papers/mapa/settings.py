"""Settings of document mapa."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from elbogap.config.base import Section, setting
from elbogap.config.quantities import (
    Count,
    Integer,
    Levels,
    Natural,
    Part,
    Positive,
    Rate,
    Seconds,
    Seed,
    Share,
    Small,
    Widths,
)
from elbogap.papers.mapa.methods import CELL


class Surrogate(Section):
    """Fits of the analytic decoders, which then are the ground truth."""

    hidden: Widths = setting("Widths of the hidden layers.")
    activation: Literal["leaky_relu", "relu", "softplus", "tanh"] = setting("Hidden activation.")
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


class Posteriors(Section):
    """Figures 6 to 10: log-posteriors at chosen observations."""

    points: Integer = setting("Size N of the data set.", ge=10)
    quantiles: Levels[Part] = setting(
        "The observations shown are those whose latent values have these ranks.", min_length=1
    )
    grid: Integer = setting("Latent values at which the true posterior is drawn.", ge=100)
    seed: Seed = setting("Base seed of the data sets.")


class PosteriorKL(Section):
    """How far MAPA is from the posterior of the empiricalised model, over all observations."""

    points: Integer = setting("Size N of each data set.", ge=10)
    draws: Count = setting("Data sets per problem.")
    block: Count = setting("Observations held in memory at once.")
    seed: Seed = setting("Base seed of the data sets.")


class Passes(Section):
    """Figures 4 and 5: network evaluations per gradient step."""

    points: Integer = setting("Size N of each data set.", ge=10)
    draws: Count = setting("Data sets per problem.")
    batches: Count = setting("Batches per data set.")
    batch: Count = setting("Observations per batch.")
    samples: Levels[Count] = setting("Budgets S.", min_length=1)
    shares: Levels[Part] = setting(
        "Shares k / S of deterministic terms; the figures tell up to four apart.", min_length=1, max_length=4
    )
    seed: Seed = setting("Base seed of data sets, batches and samples.")


CellName = Annotated[str, Field(pattern=f"^({CELL})$")]
"""One method with its budget, e.g. `iwae_S50`, or `mapa_S50_k10` for k = 10 % of S = 50."""


class Train(Section):
    """Training of all methods: every cell trains one model per data set and restart."""

    points: Integer = setting("Size N of each training set.", ge=10)
    draws: Count = setting("Data sets per problem.")
    restarts: Count = setting("Random restarts per data set.")
    hidden: Widths = setting("Widths of the hidden layers of every network.")
    activation: Literal["leaky_relu", "relu", "softplus", "tanh"] = setting("Hidden activation.")
    batch: Count = setting("Observations per step.")
    epochs: Count = setting("Passes over the training set.")
    learning_rate: Rate = setting("Learning rate of Adam at the beginning.")
    final_share: Share = setting("Learning rate at the end over that at the beginning.")
    rows: Count = setting("Network rows that the members trained together may take per step.")
    record_epochs: Count = setting("Epochs per recorded value of the bound.")
    checkpoint_seconds: Seconds = setting("Least time between two checkpoints.", unit="s")
    seed: Seed = setting("Base seed of data sets, weights, minibatches and samples.")


class Distillation(Section):
    """Appendix C.3: networks fitted to the Gaussianised codes and to the decoder composed with their map."""

    epochs: Count = setting("Passes over the training set, of each of the two networks.")
    batch: Count = setting("Observations per step.")
    learning_rate: Rate = setting("Learning rate of Adam.")
    rows: Count = setting("Network rows that the members fitted together may take per step.")


class Density(Section):
    """Prior recovery, exact likelihoods and the choice of restarts, over all cells."""

    cells: Levels[CellName] = setting("The methods and budgets compared.", min_length=1)
    valid_points: Count = setting("Observations for the choice of restart and k.")
    test_points: Count = setting("Observations for the test divergence.")
    tolerance: Small = setting("Largest error of one panel of the quadrature, relative to p(x).")
    distillation: Distillation = setting("The document's way of recovering the prior.")
    checkpoint_seconds: Seconds = setting("Least time between two checkpoints.", unit="s")
    seed: Seed = setting("Base seed of initial weights and minibatches.")


class DensitySummary(Section):
    """Comparison of the methods over all problems."""

    resamples: Integer = setting("Bootstrap resamples of the data sets.", ge=100)
    seed: Seed = setting("Base seed of the resamples.")


class Protocol(Section):
    """The document's estimate of the likelihood: a mixture encoder fitted by IWAE to the fixed model."""

    cells: Levels[CellName] = setting("The cells whose selected models are evaluated.", min_length=1)
    draws: Count = setting("Data sets per problem.")
    test_points: Count = setting("Observations of the bound.")
    components: Count = setting("Gaussians in the encoder's mixture.")
    hidden: Widths = setting("Widths of the encoder's hidden layers.")
    samples: Count = setting("Samples S of the bound that is maximised, a multiple of the components.")
    batch: Count = setting("Observations per step.")
    epochs: Count = setting("Passes over the training set.")
    learning_rate: Rate = setting("Learning rate of Adam.")
    bound_samples: Count = setting("Samples S of the reported bound, a multiple of the components.")
    seed: Seed = setting("Base seed of weights, minibatches and samples.")

    @model_validator(mode="after")
    def _samples_of_each_component(self) -> Self:
        for name in ("samples", "bound_samples"):
            samples = getattr(self, name)
            if samples % self.components:
                raise ValueError(f"{name} is {samples}, no multiple of components, {self.components}")
        return self


class Gaps(Section):
    """What each bound loses against the likelihood, and why."""

    cells: Levels[CellName] = setting("The cells whose selected models are measured.", min_length=1)
    test_points: Count = setting("Observations measured.")
    samples: Count = setting("Monte-Carlo repetitions of bounds that sample.")
    seed: Seed = setting("Base seed of the samples.")


class Gather(Section):
    """One table from a table per problem; there is nothing to set."""


class Nonidentifiability(Section):
    """Figures 11 and 12: two decoders of one distribution, and their posteriors under one MAPA."""

    valid_points: Count = setting("Observations for the choice of the restart.")
    quantiles: Levels[Part] = setting(
        "The observations shown are those whose latent values have these ranks.", min_length=1
    )
    grid: Integer = setting("Latent values at which decoders and posteriors are drawn.", ge=100)
    seed: Seed = setting("Base seed of the draws from the learned model's posteriors.")


class TrainingPasses(Section):
    """Figures 4 and 5 against the counts of real training."""

    cells: Levels[CellName] = setting("The cells whose counts are compared, all of MAPA.", min_length=1)
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
        points = self.train.points
        for name, asked in {
            "train.batch": self.train.batch,
            "density.distillation.batch": self.density.distillation.batch,
            "protocol.batch": self.protocol.batch,
        }.items():
            if asked > points:
                raise ValueError(f"{name} is {asked}, but train.points is {points}")
        if self.protocol.draws > self.train.draws:
            raise ValueError(
                f"protocol.draws is {self.protocol.draws}, but train.draws is {self.train.draws}"
            )
        return self
