"""Settings of document implicit."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from elbogap.config.base import Minibatches, Resumable, Section, Seeded, setting
from elbogap.config.quantities import (
    Count,
    Factor,
    Integer,
    LeapfrogStep,
    Levels,
    Name,
    Natural,
    NotNegative,
    Part,
    Positive,
    Rate,
    Real,
    Share,
    Spacing,
    Unit,
    Widths,
)
from elbogap.papers.implicit.names import IMAGES, OF_VAE


class QTraining(Seeded, Resumable):
    """Long training of semi-implicit q, UIVI's by Hamiltonian Monte Carlo."""

    noise: Count = setting("Dimensions of the mixing noise e.")
    hidden: Widths = setting("Hidden layers of networks.")
    leapfrog_steps: Count = setting("Leapfrog steps per iteration.")
    step_size: LeapfrogStep = setting("Leapfrog step at the beginning; for VAEs, times the dimensions.")
    target_acceptance: Part = setting("Acceptance to which the leapfrog step adapts.")


class Rates(Section):
    """Learning rates at the beginning, and how many seeds are trained with them."""

    learning_rate: Rate = setting("Learning rate of means, and of a model.")
    deviation_share: Positive = setting("Learning rate of standard deviations over that of means.")
    seeds: Count = setting("Independent repetitions.")


class AdversarialGame(Section):
    """An implicit q(z) of two dimensions with p(x|z) = N(x; z_1^2 + z_2, s^2), p(z) = N(0, I)."""

    observation: NotNegative = setting("The observation x.", unit="x")
    deviation: Positive = setting("Standard deviation s of the likelihood.", unit="x")
    noise: Count = setting("Dimensions of the noise that q's network maps to z.")
    hidden: Widths = setting("Hidden layers of both networks.")
    discriminator_steps: Levels[Count] = setting("Discriminator steps per step of q.", min_length=2)
    batch: Count = setting("Draws of q, and of the prior, per step.")
    learning_rate: Rate = setting("Learning rate of Adam, of q and of the discriminator alike.")
    rounds: Integer = setting("Rounds of training; the true ELBO is measured after each.", ge=2)
    round_steps: Count = setting("Steps of q per round.")
    draws: Integer = setting("Draws of q per measurement.", ge=100)
    cell: Spacing = setting("Side of the squares in which draws are counted for q's entropy.", unit="z")
    shown: Count = setting("Draws of q in the figure.")
    grid: Integer = setting("Grid points per axis for p(z|x) and p(x).", ge=20)
    half_width: Positive = setting("Half the side of the grid.", unit="z")
    seeds: Integer = setting("Independent repetitions.", ge=2)


class FiniteSample(Minibatches):
    """A discriminator trained to the end on finite samples of many dimensions; batches are of each class."""

    at_most = (("batch", "points"),)

    dimensions: Levels[Count] = setting("Dimensions of z.", min_length=2)
    divergence: Positive = setting("KL(q || p), in every dimension the same.", unit="nats")
    points: Integer = setting("Training points of each class.", ge=2)
    held_out: Integer = setting("Points of each class that the discriminator never sees.", ge=2)
    hidden: Widths = setting("Hidden layers of the discriminator.")
    seeds: Integer = setting("Independent repetitions.", ge=2)


class DensityRatio(Seeded):
    """Part I: adversarial training of implicit distributions, and its limitations."""

    game: AdversarialGame = setting("The alternating game, in two dimensions.")
    finite_sample: FiniteSample = setting("Overfitting of the discriminator, in many dimensions.")


class Toys(QTraining, Rates):
    """UIVI, SIVI and a Gaussian on the banana, the x-shaped and the multimodal target."""

    rounds: Count = setting("Length of the training.", unit="rounds")
    round_steps: Count = setting("Steps in a round, whose noise is drawn at once.")
    batch: Count = setting("Draws of z per step.")
    deviation: Positive = setting("Standard deviation of q(z|e) at the beginning.", unit="z")
    rate_every: Count = setting("Steps after which the learning rates are reduced by a tenth.")
    others: Count = setting("Further noises L in SIVI's bound.")
    burn_in: Natural = setting("Iterations of UIVI's chains that are dropped and adapt the step.")
    kept: Count = setting("Iterations of UIVI's chains that are averaged.")
    elbo_blocks: Integer = setting("Independent blocks of the measured ELBO.", ge=2)
    elbo_draws: Count = setting("Draws of z in each block.")
    elbo_noises: Count = setting("Further noises in each block.")
    figure_draws: Count = setting("Draws of each q in the figure.")
    grid: Integer = setting("Grid points per axis of the figure's densities.", ge=2)


class Identities(Seeded):
    """SIVI's bound and the gradients of UIVI and SIVI, where q(z) is known by quadrature."""

    hidden: Widths = setting("Hidden layers of mu(e).")
    deviation: Positive = setting("Standard deviation of q(z|e).", unit="z")
    half_width: Positive = setting("Half-width a of the square [-a, a]^2 of the integrals over z.", unit="z")
    points: Integer = setting("Grid points per axis of these integrals.", ge=20)
    nodes: Integer = setting("Grid points of the integrals over e.", ge=20)
    others: Levels[Natural] = setting("Numbers L of further noises in SIVI's bound.", min_length=2)
    chain_lengths: Levels[Count] = setting("Iterations of UIVI's chains, the last of which is kept.")
    burn_in: Natural = setting("Iterations that are dropped, where several are kept, as in training.")
    kept: Count = setting("Iterations that are then averaged.")
    leapfrog_steps: Count = setting("Leapfrog steps per iteration.")
    step_size: LeapfrogStep = setting("Leapfrog step.", unit="e")
    bound_draws: Integer = setting("Draws of SIVI's bound.", ge=2)
    gradient_draws: Count = setting("Draws of z in each estimate of the gradient.")
    gradients: Integer = setting("Independent estimates of each gradient.", ge=2)


class VcdChains(Section):
    """Hamiltonian Monte Carlo that refines z_0."""

    at_most = (("adapting", "iterations"),)

    iterations: Count = setting("Iterations t of each chain.")
    adapting: Natural = setting("How many of them, the first, adapt the step size, which is carried on.")
    leapfrog_steps: Count = setting("Leapfrog steps per iteration.")
    step_size: LeapfrogStep = setting("Leapfrog step at the beginning.", unit="z")
    acceptance: Part = setting("Acceptance that the step size is adapted to.")


class VcdSteps(Section):
    """The rule of the gradient steps."""

    mean: Rate = setting("Step size of the means at the beginning.")
    deviation: Rate = setting("Step size of the standard deviations at the beginning.")
    logit: Rate = setting("Step size of the mixture's logits at the beginning.")
    factor: Share = setting("Factor by which all step sizes are reduced.")
    forgetting: Share = setting("Weight of the newest f(z_t) in the running mean, the baseline.")


class VcdFit(Section):
    """Length of the fits of one family."""

    draws: Count = setting("Draws of each component per step.")
    iterations: Count = setting("Gradient steps.")
    reduced_every: Count = setting("Steps between two reductions of the step sizes.")
    steps: VcdSteps = setting("The gradient steps.")
    seeds: Count = setting("Independent repetitions.")


class VcdSweep(VcdFit):
    """alpha-VCD on the correlated Gaussian."""

    ts: Levels[Count] = setting("Numbers t of iterations.", min_length=2)
    alphas: Levels[Unit] = setting("Weights alpha of the refined terms.", min_length=2)
    step_size: LeapfrogStep = setting("Leapfrog step, which is not adapted.", unit="z")


class VcdProperties(Seeded):
    """The divergence between Gaussians on the line, by quadrature and by chains."""

    means: Levels[Real] = setting("Means of q_0; the target's is 0.", unit="z", min_length=1)
    widths: Levels[Positive] = setting("Standard deviations of q_0; the target's is 1.", min_length=1)
    ts: Levels[Count] = setting("Numbers t of iterations.", min_length=1)
    alphas: Levels[Unit] = setting("Weights alpha of the refined terms.", min_length=1)
    limit_ts: Levels[Count] = setting("Numbers t of iterations of the limit, by quadrature.", min_length=1)
    step_size: LeapfrogStep = setting("Leapfrog step, which is not adapted.", unit="z")
    nodes: Integer = setting("Grid points of the quadrature.", ge=50)
    chains: Integer = setting("Chains per q_0.", ge=100)


class VcdToys(Seeded, Resumable):
    """VCD and the standard KL on the plane, alpha-VCD, and what holds of the divergence."""

    multiples = tuple((f"{fit}.iterations", "round_steps") for fit in ("factorised", "mixture", "sweep"))

    chains: VcdChains = setting("The refinement of the toy experiments.")
    start_deviation: Positive = setting("Standard deviations of q_0 at the beginning.", unit="z")
    factorised: VcdFit = setting("Panels (a) to (c).")
    mixture: VcdFit = setting("Panel (d).")
    sweep: VcdSweep = setting("Sweep of alpha-VCD on the correlated Gaussian.")
    properties: VcdProperties = setting("Non-negativity and refinement.")
    round_steps: Count = setting("Gradient steps whose noise is drawn at once.")
    figure_points: Integer = setting("Grid points per axis of the contours.", ge=10)


class Points(Section):
    """Points of a data set that a softmax regression uses."""

    train: Count = setting("Training points; all, if there are fewer.")
    test: Count = setting("Test points; all, if there are fewer.")
    batch: Count = setting("Points per step.")


class SoftmaxTraining(QTraining, Rates):
    """How q is trained and measured in all softmax regressions."""

    sivi_samples: Natural = setting("Noises L of SIVI's bound, beside the one that made z.")
    decay_every: Count = setting("Iterations after which the learning rates are reduced by a tenth.")
    measure_every: Count = setting("Iterations between two measurements.")
    elbo_draws: Count = setting("Draws z of a measured ELBO.")
    elbo_noises: Count = setting("Noises that estimate log q(z) of a measured ELBO.")
    test_draws: Count = setting("Draws z of a measured test log-likelihood.")
    draws_at_once: Count = setting("Draws held in memory at once.")


class SoftmaxCell(Section):
    """One method, with its number of HMC iterations."""

    datasets: Levels[Literal["mnist", "hapt"]] = setting("Data sets.", min_length=1)
    method: Literal["explicit", "sivi", "uivi"] = setting("How q is trained.")
    hmc_iterations: Natural = setting("Iterations that UIVI drops, and as many that it keeps.")


class Regression(Section):
    """Softmax regression by UIVI, SIVI and a mean field, over iterations and over time."""

    cells: dict[Name, SoftmaxCell] = setting("What is trained; Figure 3 shows those named like methods.")
    mnist: Points = setting("Points of MNIST in grey values.")
    hapt: Points = setting("Points of HAPT.")
    training: SoftmaxTraining = setting("Training and measurements.")
    rounds: Integer = setting("Length of the training.", unit="measurements", ge=5)
    timing_steps: Count = setting("Iterations timed, after as many untimed ones.")
    timing_repeats: Count = setting("Repetitions of the timing, of which the median counts.")


TABLES = {"uivi": "Table 1", "vcd": "Table 2", "steps": "Figure 6"}
ImageName = Annotated[str, Field(pattern=f"^({'|'.join(IMAGES)})$")]
MethodName = Annotated[str, Field(pattern=f"^({'|'.join(OF_VAE)})$")]
TableName = Annotated[str, Field(pattern=f"^({'|'.join(TABLES)})$")]


class ImplicitImages(Seeded):
    """Binary images: fixed-binarised MNIST, and Fashion-MNIST above half of white."""

    train: Integer = setting("Training images, at most.", ge=10)
    test: Integer = setting("Test images, at most.", ge=2)


class VaeCell(Rates):
    """One model and method, and how it is trained."""

    datasets: Levels[ImageName] = setting("Data sets.", min_length=1)
    tables: Levels[TableName] = setting(f"Where it is shown: {', '.join(TABLES.values())}.", min_length=1)
    model: Literal["vae", "factorisation"] = setting("A decoder with hidden layers, or a linear one.")
    method: MethodName = setting("How q and the model are trained.")
    refinements: Natural = setting("HMC iterations t from z_0 to z_t; 0 where the method has none.")
    initialisation: Literal["xavier", "wide"] = setting("How networks' weights are drawn.")
    rounds: Count = setting("Length of the training.", unit="rounds")

    @model_validator(mode="after")
    def _refinements_where_used(self) -> Self:
        if (self.refinements > 0) != OF_VAE[self.method].refining:
            refining = " and ".join(name for name, method in OF_VAE.items() if method.refining)
            raise ValueError(f"refinements belong to {refining}, which need at least one")
        return self


class VaeTrain(QTraining):
    """Training of all models of Tables 1 and 2 and Figure 6."""

    cells: dict[Name, VaeCell] = setting("What is trained, by its name in the files.", min_length=1)
    vae_latent: Count = setting("Latent dimensions of the VAE.")
    factors: Count = setting("Latent dimensions of the matrix factorisation.")
    sivi_samples: Count = setting("Further noises L of SIVI's bound.")
    burn_in: Natural = setting("HMC iterations of UIVI that are dropped.")
    kept: Count = setting("HMC iterations of UIVI that are averaged.")
    batch: Count = setting("Images per step.")
    decay_every: Share = setting("Fraction of the training after which rates are multiplied by 0.9.")
    round_steps: Count = setting("Steps in a round, whose minibatches and noise are drawn at once.")
    record_rounds: Count = setting("Rounds per row of the training curves.")


class VaeEvaluate(Seeded):
    """Test likelihoods by each document's own estimator and by one for all methods."""

    burn_in: Count = setting("HMC iterations before the moments of the neutral proposal.")
    kept: Integer = setting("HMC iterations that give the moments.", ge=2)
    widening: Factor = setting("Standard deviation of the proposal over that of the chain.")
    samples: Count = setting("Importance samples of the neutral estimate.")
    own_samples: Count = setting("Importance samples with the method's own q.")
    own_noises: Count = setting("Noises of the estimate of a semi-implicit density.")
    rows: Count = setting("Decoder or encoder rows held in memory at once.")


class VaeTime(Section):
    """Seconds per iteration of VCD."""

    refinements: Levels[Count] = setting("Numbers t of HMC iterations.", min_length=2)
    steps: Count = setting("Training steps timed, after as many untimed ones.")
    repeats: Count = setting("Repetitions, of which the median counts.")


class TimeOfTraining(Section):
    """Settings of `implicit.vae_time`."""

    timing: VaeTime = setting("How to time.")
    train: VaeTrain = setting("The training that is timed.")


class ImplicitConfig(Section):
    """Document implicit."""

    density_ratio: DensityRatio = setting("Part I: density ratio estimation.")
    toys: Toys = setting("UIVI's toy targets.")
    identities: Identities = setting("SIVI's bound and UIVI's gradient.")
    vcd_toys: VcdToys = setting("Toy experiments of VCD and alpha-VCD.")
    regression: Regression = setting("Figures 3 and 4: softmax regression.")
    images: ImplicitImages = setting("Images of Tables 1 and 2 and Figure 6.")
    vae_train: VaeTrain = setting("Training for Tables 1 and 2 and Figure 6.")
    vae_evaluate: VaeEvaluate = setting("Test likelihoods of Tables 1 and 2 and Figure 6.")
    vae_time: VaeTime = setting("Figure 6: seconds per iteration.")

    @model_validator(mode="after")
    def _tables_have_cells(self) -> Self:
        """Refuse a training that leaves a table or a figure empty."""
        shown = {table for cell in self.vae_train.cells.values() for table in cell.tables}
        for table, where in TABLES.items():
            if table not in shown:
                raise ValueError(f"vae_train.cells has no cell with '{table}' among its tables, for {where}")
        return self
