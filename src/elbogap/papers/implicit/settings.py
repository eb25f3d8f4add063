"""Settings of document implicit."""

from typing import Literal, Self

from pydantic import model_validator

from elbogap.config.base import Section, setting
from elbogap.config.quantities import (
    Count,
    Decay,
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
    Seconds,
    Seed,
    Share,
    Spacing,
    Unit,
    Widths,
)


class AdversarialGame(Section):
    """An implicit q(z) of two dimensions, trained with a discriminator."""

    observation: NotNegative = setting(
        "The observation x, of p(x|z) = N(x; z_1^2 + z_2, s^2) with p(z) = N(0, I).", unit="x"
    )
    deviation: Positive = setting("Standard deviation s of the likelihood.", unit="x")
    noise: Count = setting("Dimensions of the noise that q's network maps to z.")
    hidden: Widths = setting("Hidden layers of both networks.")
    discriminator_steps: Levels[Count] = setting(
        "Numbers of discriminator steps per step of q, all different.", min_length=2
    )
    batch: Count = setting("Draws of q, and of the prior, per step.")
    learning_rate: Rate = setting("Learning rate of Adam for q.")
    discriminator_rate: Rate = setting("Learning rate of Adam for the discriminator.")
    rounds: Integer = setting("Rounds of training; the true ELBO is measured after each.", ge=2)
    round_steps: Count = setting("Steps of q per round.")
    draws: Integer = setting("Draws of q per measurement.", ge=100)
    cell: Spacing = setting("Side of the cells that estimate q's entropy.", unit="z")
    shown: Count = setting("Draws of q in the figure.")
    grid: Integer = setting("Grid points per axis for p(z|x) and p(x).", ge=20)
    half_width: Positive = setting("Half the side of the grid.", unit="z")
    seeds: Integer = setting("Independent repetitions.", ge=2)


class FiniteSample(Section):
    """A discriminator trained to the end on a finite sample, in many dimensions."""

    dimensions: Levels[Count] = setting("Dimensions of z, all different.", min_length=2)
    divergence: Positive = setting("KL(q || p), in every dimension the same.", unit="nats")
    points: Integer = setting("Training points of each class.", ge=2)
    held_out: Integer = setting("Points of each class that the discriminator never sees.", ge=2)
    hidden: Widths = setting("Hidden layers of the discriminator.")
    batch: Count = setting("Points of each class per step.")
    epochs: Count = setting("Passes over the training points.")
    learning_rate: Rate = setting("Learning rate of Adam at the beginning.")
    seeds: Integer = setting("Independent repetitions.", ge=2)

    @model_validator(mode="after")
    def _batch_of_the_points(self) -> Self:
        if self.batch > self.points:
            raise ValueError(f"batch is {self.batch}, but points is {self.points}")
        return self


class DensityRatio(Section):
    """Part I: adversarial training of implicit distributions, and its limitations."""

    game: AdversarialGame = setting("The alternating game, in two dimensions.")
    finite_sample: FiniteSample = setting("Overfitting of the discriminator, in many dimensions.")
    seed: Seed = setting("Base seed of weights and noise.")


class Toys(Section):
    """UIVI, SIVI and a Gaussian on the banana, the x-shaped and the multimodal target."""

    rounds: Count = setting("Length of the training.", unit="rounds")
    round_steps: Count = setting("Steps in a round, whose noise is drawn at once.")
    batch: Count = setting("Draws of z per step.")
    noise: Count = setting("Dimensions of the noise e.")
    hidden: Widths = setting("Widths of the hidden layers of mu(e).")
    deviation: Positive = setting("Standard deviation of q(z|e) at the beginning.", unit="z")
    learning_rate: Rate = setting("Learning rate of the networks at the beginning.")
    deviation_share: Positive = setting("Learning rate of the deviation over that of the networks.")
    rate_factor: Share = setting("Factor by which the learning rates fall.")
    rate_every: Count = setting("Steps from one fall of the learning rates to the next.")
    others: Count = setting("Further noises L in SIVI's bound.")
    burn_in: Natural = setting("Iterations of UIVI's chains that are dropped and adapt the step.")
    kept: Count = setting("Iterations of UIVI's chains that are averaged.")
    leapfrog_steps: Count = setting("Leapfrog steps per iteration.")
    step_size: LeapfrogStep = setting("Leapfrog step at the beginning.", unit="e")
    target_acceptance: Part = setting("Acceptance to which the leapfrog step adapts.")
    adaptation_rate: Decay = setting("Rate at which the leapfrog step adapts.")
    seeds: Count = setting("Independent repetitions.")
    elbo_blocks: Integer = setting("Independent blocks of the measured ELBO.", ge=2)
    elbo_draws: Count = setting("Draws of z in each block.")
    elbo_noises: Count = setting("Further noises in each block.")
    figure_draws: Count = setting("Draws of each q in the figure, and chains that show the acceptance.")
    grid: Integer = setting("Grid points per axis of the figure's densities.", ge=2)
    checkpoint_seconds: Seconds = setting("Least time between two checkpoints.", unit="s")
    seed: Seed = setting("Base seed of weights and noise.")


class Identities(Section):
    """SIVI's bound and the gradients of UIVI and SIVI, where q(z) is known by quadrature."""

    hidden: Widths = setting("Widths of the hidden layers of mu(e).")
    deviation: Positive = setting("Standard deviation of q(z|e).", unit="z")
    half_width: Positive = setting("Half-width a of the square [-a, a]^2 of the integrals over z.", unit="z")
    points: Integer = setting("Grid points per axis of these integrals.", ge=20)
    nodes: Integer = setting("Grid points of the integrals over e.", ge=20)
    others: Levels[Natural] = setting("Numbers L of further noises in SIVI's bound.", min_length=2)
    chain_lengths: Levels[Count] = setting("Iterations of UIVI's chains, the last of which is kept.")
    leapfrog_steps: Count = setting("Leapfrog steps per iteration.")
    step_size: LeapfrogStep = setting("Leapfrog step.", unit="e")
    bound_draws: Integer = setting("Draws of SIVI's bound.", ge=2)
    gradient_draws: Count = setting("Draws of z in each estimate of the gradient.")
    gradients: Integer = setting("Independent estimates of each gradient.", ge=2)
    seed: Seed = setting("Base seed of q and of all draws.")


class VcdChains(Section):
    """Hamiltonian Monte Carlo that refines z_0."""

    iterations: Count = setting("Iterations t of each chain.")
    adapting: Natural = setting("How many of them, the first, adapt the step size, which is carried on.")
    leapfrog_steps: Count = setting("Leapfrog steps per iteration.")
    step_size: LeapfrogStep = setting("Leapfrog step at the beginning.", unit="z")
    acceptance: Part = setting("Acceptance that the step size is adapted to.")
    rate: Decay = setting("Rate at which the step size adapts.")

    @model_validator(mode="after")
    def _adapt_while_they_run(self) -> Self:
        if self.adapting > self.iterations:
            raise ValueError(f"adapting is {self.adapting}, but iterations is {self.iterations}")
        return self


class VcdSteps(Section):
    """The rule of the gradient steps."""

    mean: Rate = setting("Step size of the means at the beginning.")
    deviation: Rate = setting("Step size of the standard deviations at the beginning.")
    logit: Rate = setting("Step size of the mixture's logits at the beginning.")
    factor: Share = setting("Factor by which all step sizes fall, each time that they do.")
    forgetting: Share = setting("Share of the newest f(z_t) in the running mean, the baseline.")


class VcdFit(Section):
    """How long fits of one family take."""

    draws: Count = setting("Draws of each component per step.")
    iterations: Count = setting("Gradient steps.")
    reduced_every: Count = setting("Steps from one reduction of the step sizes to the next.")
    steps: VcdSteps = setting("The gradient steps.")
    seeds: Count = setting("Independent repetitions.")


class VcdSweep(VcdFit):
    """alpha-VCD on the correlated Gaussian."""

    ts: Levels[Count] = setting("Numbers t of iterations, all different.", min_length=2)
    alphas: Levels[Unit] = setting("Shares alpha, all different.", min_length=2)
    step_size: LeapfrogStep = setting("Leapfrog step, which is not adapted.", unit="z")


class VcdProperties(Section):
    """The divergence between Gaussians on the line, by quadrature and by chains."""

    means: Levels[Real] = setting("Means of q_0; the target's is 0.", unit="z", min_length=1)
    widths: Levels[Positive] = setting(
        "Standard deviations of q_0; the target's is 1.", unit="z", min_length=1
    )
    ts: Levels[Count] = setting("Numbers t of iterations.", min_length=1)
    alphas: Levels[Unit] = setting("Shares alpha.", min_length=1)
    step_size: LeapfrogStep = setting("Leapfrog step, which is not adapted.", unit="z")
    nodes: Integer = setting("Grid points of the quadrature.", ge=50)
    chains: Integer = setting("Chains per q_0.", ge=100)
    seed: Seed = setting("Base seed of the chains.")


class VcdToys(Section):
    """VCD and the standard KL on the plane, alpha-VCD, and what holds of the divergence."""

    chains: VcdChains = setting("The refinement of the toy experiments.")
    start_deviation: Positive = setting("Standard deviations of q_0 at the beginning.", unit="z")
    factorised: VcdFit = setting("Panels (a) to (c).")
    mixture: VcdFit = setting("Panel (d).")
    banana_alphas: Levels[Part] = setting("Shares alpha between KL (0) and VCD (1) on the banana.")
    sweep: VcdSweep = setting("Sweep of alpha-VCD on the correlated Gaussian.")
    properties: VcdProperties = setting("Non-negativity and refinement.")
    round_steps: Count = setting("Gradient steps whose noise is drawn at once.")
    figure_points: Integer = setting("Grid points per axis of the contours.", ge=10)
    checkpoint_seconds: Seconds = setting("Least time between two checkpoints.", unit="s")
    seed: Seed = setting("Base seed of starts and noise.")

    @model_validator(mode="after")
    def _agree(self) -> Self:
        for name in ("factorised", "mixture", "sweep"):
            steps = getattr(self, name).iterations
            if steps % self.round_steps:
                raise ValueError(
                    f"{name}.iterations is {steps}, which is no multiple of round_steps, {self.round_steps}"
                )
        return self


class Points(Section):
    """Points of a data set that a softmax regression uses."""

    train: Count = setting("Training points; all, if there are fewer.")
    test: Count = setting("Test points; all, if there are fewer.")
    batch: Count = setting("Points per step.")


class SoftmaxTraining(Section):
    """How q is trained and measured in all softmax regressions."""

    noise: Count = setting("Dimensions of the noise e.")
    hidden: Widths = setting("Hidden layers of the mean's network.")
    sivi_samples: Natural = setting("Noises L of SIVI's bound, beside the one that made z.")
    leapfrog_steps: Count = setting("Leapfrog steps per iteration of HMC.")
    step_size: LeapfrogStep = setting("Leapfrog step at the beginning.")
    target_acceptance: Part = setting("Acceptance to which the leapfrog step adapts.")
    learning_rate: Rate = setting("Step of the mean's parameters at the beginning.")
    deviation_share: Positive = setting("Step of the deviations over that of the mean.")
    decay_every: Count = setting("Iterations after which the steps fall by a tenth.")
    measure_every: Count = setting("Iterations from one measurement to the next.")
    elbo_draws: Count = setting("Draws z of a measured ELBO.")
    elbo_noises: Count = setting("Noises that estimate log q(z) of a measured ELBO.")
    test_draws: Count = setting("Draws z of a measured test log-likelihood.")
    draws_at_once: Count = setting("Draws held in memory at once.")
    seeds: Count = setting("Independent repetitions.")
    checkpoint_seconds: Seconds = setting("Least time between two checkpoints.", unit="s")
    seed: Seed = setting("Base seed of weights, minibatches and noise.")


class Regression(Section):
    """Softmax regression by UIVI, SIVI and a mean field, over iterations and over time."""

    mnist: Points = setting("Points of MNIST in grey values.")
    hapt: Points = setting("Points of HAPT.")
    training: SoftmaxTraining = setting("Training and measurements.")
    hmc_iterations: Count = setting("Iterations of HMC that are dropped, and as many that are kept.")
    rounds: Integer = setting("Length of the training.", unit="measurements", ge=5)
    final_test_draws: Count = setting("Draws z of the test log-likelihood after training.")
    timing_steps: Count = setting("Iterations timed, after as many untimed ones.")
    timing_repeats: Count = setting("Repetitions of the timing, of which the median counts.")


class HmcIterations(Section):
    """UIVI's softmax regression on MNIST with several numbers of HMC iterations."""

    points: Points = setting("Points of MNIST in grey values.")
    training: SoftmaxTraining = setting("Training and measurements.")
    iterations: Levels[Count] = setting(
        "Iterations of HMC that are dropped, and as many that are kept.", min_length=2
    )
    rounds: Integer = setting("Length of the training.", unit="measurements", ge=5)
    last_share: Share = setting("Share of the training at its end that is averaged.")


class RegressionSummary(Section):
    """The table of all softmax regressions."""

    last_share: Share = setting("Share of the training at its end that is averaged.")


ImageName = Literal["binarized_mnist", "fashion_mnist"]


class ImplicitImages(Section):
    """Binary images: fixed-binarised MNIST, and Fashion-MNIST with a threshold."""

    train: Integer = setting("Training images, at most.", ge=10)
    test: Integer = setting("Test images, at most.", ge=2)
    threshold: Decay = setting("Grey value above which a pixel of Fashion-MNIST is 1.", unit="of white")
    seed: Seed = setting("Base seed of the choice.")


class VaeCell(Section):
    """One model and method, and how it is trained."""

    datasets: Levels[ImageName] = setting("Data sets.", min_length=1)
    tables: Levels[Literal["uivi", "vcd", "steps"]] = setting(
        "Where it is shown: Table 1, Table 2, Figure 6.", min_length=1
    )
    model: Literal["vae", "factorisation"] = setting(
        "Decoder: with hidden layers, or linear (logistic matrix factorisation)."
    )
    method: Literal["elbo", "sivi", "uivi", "hoffman", "vcd"] = setting("How q and the model are trained.")
    refinements: Natural = setting("HMC iterations t from z_0 to z_t; 0 where the method has none.")
    alpha: Share = setting("Share of the contrastive term of VCD.")
    learning_rate: Rate = setting("Learning rate of means and model at the beginning.")
    deviation_share: Positive = setting("Learning rate of standard deviations over that of means.")
    initialisation: Literal["xavier", "wide"] = setting("How networks' weights are drawn.")
    rounds: Count = setting("Length of the training.", unit="rounds")
    seeds: Count = setting("Independent repetitions.")

    @model_validator(mode="after")
    def _refinements_where_used(self) -> Self:
        if (self.refinements > 0) != (self.method in ("hoffman", "vcd")):
            raise ValueError("refinements belong to hoffman and vcd, which need at least one")
        return self


class VaeTrain(Section):
    """Training of all models of Tables 1 and 2 and Figure 6."""

    cells: dict[Name, VaeCell] = setting("What is trained, by its name in the files.", min_length=1)
    hidden: Widths = setting("Hidden layers of encoders and of the VAE's decoder.")
    vae_latent: Count = setting("Latent dimensions of the VAE.")
    factors: Count = setting("Latent dimensions of the matrix factorisation.")
    noise: Count = setting("Dimensions of the mixing noise of semi-implicit q.")
    sivi_samples: Count = setting("Further noises L of SIVI's bound.")
    burn_in: Natural = setting("HMC iterations of UIVI that are dropped.")
    kept: Count = setting("HMC iterations of UIVI that are averaged.")
    leapfrog_steps: Count = setting("Leapfrog steps per HMC iteration.")
    step_size: LeapfrogStep = setting("Leapfrog step at the beginning, times the dimensions of what moves.")
    target_acceptance: Part = setting("Acceptance probability to which steps adapt.")
    batch: Count = setting("Images per step.")
    decay_every: Share = setting("Share of the training after which rates are multiplied by 0.9.")
    round_steps: Count = setting("Steps in a round, whose minibatches and noise are drawn at once.")
    record_rounds: Count = setting("Rounds per row of the training curves.")
    checkpoint_seconds: Seconds = setting("Least time between two checkpoints.", unit="s")
    seed: Seed = setting("Base seed of weights, minibatches and noise.")


class VaeEvaluate(Section):
    """Test likelihoods by each document's own estimator and by one for all methods."""

    burn_in: Count = setting("HMC iterations before the moments of the neutral proposal.")
    kept: Integer = setting("HMC iterations that give the moments.", ge=2)
    widening: Factor = setting("Standard deviation of the proposal over that of the chain.")
    samples: Count = setting("Importance samples of the neutral estimate.")
    own_samples: Count = setting("Importance samples with the method's own q.")
    own_noises: Count = setting("Noises of the estimate of a semi-implicit density.")
    rows: Count = setting("Decoder or encoder rows held in memory at once.")
    seed: Seed = setting("Base seed of the draws.")


class VaeSummary(Section):
    """Tables 1 and 2 and Figure 6 from the evaluations."""

    resamples: Integer = setting("Bootstrap resamples of the test images.", ge=100)
    seed: Seed = setting("Base seed of the resamples.")


class VaeTime(Section):
    """Seconds per iteration of VCD."""

    refinements: Levels[Count] = setting("Numbers t of HMC iterations.", min_length=2)
    steps: Count = setting("Training steps timed, after as many untimed ones.")
    repeats: Count = setting("Repetitions, of which the median counts.")


class ImplicitConfig(Section):
    """Document implicit."""

    density_ratio: DensityRatio = setting("Part I: density ratio estimation.")

    toys: Toys = setting("UIVI's toy targets.")

    identities: Identities = setting("SIVI's bound and UIVI's gradient.")

    vcd_toys: VcdToys = setting("Toy experiments of VCD and alpha-VCD.")

    regression: Regression = setting("Figure 3: softmax regression.")
    regression_summary: RegressionSummary = setting("Figure 3 in numbers.")
    hmc_iterations: HmcIterations = setting("Figure 4: the number of HMC iterations.")

    images: ImplicitImages = setting("Images of Tables 1 and 2 and Figure 6.")
    vae_train: VaeTrain = setting("Training for Tables 1 and 2 and Figure 6.")
    vae_evaluate: VaeEvaluate = setting("Test likelihoods of Tables 1 and 2 and Figure 6.")
    vae_summary: VaeSummary = setting("Tables 1 and 2 and Figure 6.")
    vae_time: VaeTime = setting("Figure 6: seconds per iteration.")

    @model_validator(mode="after")
    def _tables_have_cells(self) -> Self:
        """Refuse a training that leaves a table or a figure empty."""
        shown = {table for cell in self.vae_train.cells.values() for table in cell.tables}
        for table, where in (("uivi", "Table 1"), ("vcd", "Table 2"), ("steps", "Figure 6")):
            if table not in shown:
                raise ValueError(f"vae_train.cells has no cell with '{table}' among its tables, for {where}")
        return self


class TimeOfTraining(Section):
    """What experiment `implicit.vae_time` is told: how to time, and the training that is timed."""

    timing: VaeTime = setting("How to time.")
    train: VaeTrain = setting("The training that is timed.")
