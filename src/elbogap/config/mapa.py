"""Settings of document mapa."""

from typing import Annotated, Literal

from pydantic import Field

from elbogap.config.base import Section, setting

Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


class Surrogate(Section):
    """Fits of the analytic decoders, which then are the ground truth."""

    hidden: tuple[Count, ...] = setting("Widths of the hidden layers.", min_length=1)
    activation: Literal["leaky_relu", "relu", "softplus", "tanh"] = setting("Hidden activation.")
    nodes: int = setting("Quantiles of the prior to fit at, all of them in each step.", ge=10)
    steps: int = setting("Adam steps on a one-cycle schedule.", ge=100)
    learning_rate: float = setting("Largest learning rate of the schedule.", gt=0)
    check_nodes: int = setting("Quantiles of the prior to measure the error at.", ge=100)
    target_mse: float = setting(
        "Mean squared error per coordinate under the prior that must be undercut.", unit="x^2", gt=0
    )
    seed: int = setting("Base seed of the initial weights.", ge=0)


class SurrogateCheck(Section):
    """Independent measurement of the surrogates' errors."""

    panels: int = setting("Quadrature panels of ten nodes on [-10, 10].", ge=20)


class Intuition(Section):
    """Figure 1: two decoders with the same marginal."""

    noise_deviation: float = setting("Standard deviation of the observation noise.", unit="x", gt=0)
    draws: int = setting("Latent values drawn from U[0, 1].", ge=1)
    nodes: int = setting("Grid nodes per axis.", ge=20)
    seed: int = setting("Base seed of the draws.", ge=0)


class Posteriors(Section):
    """Figures 6 to 10: log-posteriors at chosen observations."""

    points: int = setting("Size N of the data set.", ge=10)
    quantiles: tuple[Share, ...] = setting(
        "The observations shown are those whose latent values have these ranks.", min_length=1
    )
    grid: int = setting("Latent values at which the true posterior is drawn.", ge=100)
    seed: int = setting("Base seed of the data sets.", ge=0)


class PosteriorKL(Section):
    """How far MAPA is from the posterior of the empiricalised model, over all observations."""

    points: int = setting("Size N of each data set.", ge=10)
    draws: int = setting("Data sets per problem.", ge=1)
    block: int = setting("Observations held in memory at once.", ge=1)
    seed: int = setting("Base seed of the data sets.", ge=0)


class Passes(Section):
    """Figures 4 and 5: network evaluations per gradient step."""

    points: int = setting("Size N of each data set.", ge=10)
    draws: int = setting("Data sets per problem.", ge=1)
    batches: int = setting("Batches per data set.", ge=1)
    batch: int = setting("Observations per batch.", ge=1)
    samples: tuple[Count, ...] = setting("Budgets S.", min_length=1)
    shares: tuple[Share, ...] = setting("Shares k / S of deterministic terms.", min_length=1)
    seed: int = setting("Base seed of data sets, batches and samples.", ge=0)


class MapaConfig(Section):
    """Document mapa."""

    surrogate: Surrogate = setting("Surrogate decoders (appendix C.1).")
    surrogate_check: SurrogateCheck = setting("Table of the surrogates.")
    intuition: Intuition = setting("Figure 1.")
    posteriors: Posteriors = setting("Figures 6 to 10.")
    posterior_kl: PosteriorKL = setting("Distances between the posteriors of Figures 6 to 10.")
    passes: Passes = setting("Figures 4 and 5.")
