"""Settings of document implicit."""

from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, model_validator

from elbogap.config.base import Section, setting

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[FiniteFloat, Field(gt=0)]
Unit = Annotated[float, Field(ge=0, le=1)]


class AdversarialGame(Section):
    """An implicit q(z) of two dimensions, trained with a discriminator."""

    observation: float = setting(
        "The observation x, of p(x|z) = N(x; z_1^2 + z_2, s^2) with p(z) = N(0, I).", unit="x", ge=0
    )
    deviation: Positive = setting("Standard deviation s of the likelihood.", unit="x")
    noise: int = setting("Dimensions of the noise that q's network maps to z.", ge=1)
    hidden: tuple[Count, ...] = setting("Hidden layers of both networks.", min_length=1)
    discriminator_steps: tuple[Count, ...] = setting(
        "Numbers of discriminator steps per step of q, all different.", min_length=2
    )
    batch: int = setting("Draws of q, and of the prior, per step.", ge=1)
    learning_rate: float = setting("Learning rate of Adam for q.", gt=0)
    discriminator_rate: float = setting("Learning rate of Adam for the discriminator.", gt=0)
    rounds: int = setting("Rounds of training; the true ELBO is measured after each.", ge=2)
    round_steps: int = setting("Steps of q per round.", ge=1)
    draws: int = setting("Draws of q per measurement.", ge=100)
    cell: Positive = setting("Side of the cells that estimate q's entropy.", unit="z")
    shown: int = setting("Draws of q in the figure.", ge=1)
    grid: int = setting("Grid points per axis for p(z|x) and p(x).", ge=20)
    half_width: Positive = setting("Half the side of the grid.", unit="z")
    seeds: int = setting("Independent repetitions.", ge=2)


class FiniteSample(Section):
    """A discriminator trained to the end on a finite sample, in many dimensions."""

    dimensions: tuple[Count, ...] = setting("Dimensions of z, all different.", min_length=2)
    divergence: Positive = setting("KL(q || p), in every dimension the same.", unit="nats")
    points: int = setting("Training points of each class.", ge=2)
    held_out: int = setting("Points of each class that the discriminator never sees.", ge=2)
    hidden: tuple[Count, ...] = setting("Hidden layers of the discriminator.", min_length=1)
    batch: int = setting("Points of each class per step.", ge=1)
    epochs: int = setting("Passes over the training points.", ge=1)
    learning_rate: float = setting("Learning rate of Adam at the beginning.", gt=0)
    seeds: int = setting("Independent repetitions.", ge=2)


class DensityRatio(Section):
    """Part I: adversarial training of implicit distributions, and its limitations."""

    game: AdversarialGame = setting("The alternating game, in two dimensions.")
    finite_sample: FiniteSample = setting("Overfitting of the discriminator, in many dimensions.")
    seed: int = setting("Base seed of weights and noise.", ge=0)


class Toys(Section):
    """UIVI, SIVI and a Gaussian on the banana, the x-shaped and the multimodal target."""

    rounds: int = setting("Length of the training.", unit="rounds", ge=1)
    round_steps: int = setting("Steps in a round, whose noise is drawn at once.", ge=1)
    batch: int = setting("Draws of z per step.", ge=1)
    noise: int = setting("Dimensions of the noise e.", ge=1)
    hidden: tuple[Count, ...] = setting("Widths of the hidden layers of mu(e).", min_length=1)
    deviation: float = setting("Standard deviation of q(z|e) at the beginning.", unit="z", gt=0)
    learning_rate: float = setting("Learning rate of the networks at the beginning.", gt=0)
    deviation_share: float = setting("Learning rate of the deviation over that of the networks.", gt=0)
    rate_factor: float = setting("Factor by which the learning rates fall.", gt=0, le=1)
    rate_every: int = setting("Steps from one fall of the learning rates to the next.", ge=1)
    others: int = setting("Further noises L in SIVI's bound.", ge=1)
    burn_in: int = setting("Iterations of UIVI's chains that are dropped and adapt the step.", ge=0)
    kept: int = setting("Iterations of UIVI's chains that are averaged.", ge=1)
    leapfrog_steps: int = setting("Leapfrog steps per iteration.", ge=1)
    step_size: float = setting("Leapfrog step at the beginning.", unit="e", gt=0)
    target_acceptance: float = setting("Acceptance to which the leapfrog step adapts.", gt=0, lt=1)
    adaptation_rate: float = setting("Rate at which the leapfrog step adapts.", ge=0, lt=1)
    seeds: int = setting("Independent repetitions.", ge=1)
    elbo_blocks: int = setting("Independent blocks of the measured ELBO.", ge=2)
    elbo_draws: int = setting("Draws of z in each block.", ge=1)
    elbo_noises: int = setting("Further noises in each block.", ge=1)
    figure_draws: int = setting("Draws of each q in the figure, and chains that show the acceptance.", ge=1)
    grid: int = setting("Grid points per axis of the figure's densities.", ge=2)
    checkpoint_seconds: float = setting("Least time between two checkpoints.", unit="s", gt=0)
    seed: int = setting("Base seed of weights and noise.", ge=0)


class Identities(Section):
    """SIVI's bound and the gradients of UIVI and SIVI, where q(z) is known by quadrature."""

    hidden: tuple[Count, ...] = setting("Widths of the hidden layers of mu(e).", min_length=1)
    deviation: float = setting("Standard deviation of q(z|e).", unit="z", gt=0)
    half_width: float = setting(
        "Half-width a of the square [-a, a]^2 of the integrals over z.", unit="z", gt=0
    )
    points: int = setting("Grid points per axis of these integrals.", ge=20)
    nodes: int = setting("Grid points of the integrals over e.", ge=20)
    others: tuple[Annotated[int, Field(ge=0)], ...] = setting(
        "Numbers L of further noises in SIVI's bound.", min_length=2
    )
    chain_lengths: tuple[Count, ...] = setting("Iterations of UIVI's chains, the last of which is kept.")
    leapfrog_steps: int = setting("Leapfrog steps per iteration.", ge=1)
    step_size: float = setting("Leapfrog step.", unit="e", gt=0)
    bound_draws: int = setting("Draws of SIVI's bound.", ge=2)
    gradient_draws: int = setting("Draws of z in each estimate of the gradient.", ge=1)
    gradients: int = setting("Independent estimates of each gradient.", ge=2)
    seed: int = setting("Base seed of q and of all draws.", ge=0)


class VcdChains(Section):
    """Hamiltonian Monte Carlo that refines z_0."""

    iterations: int = setting("Iterations t of each chain.", ge=1)
    adapting: int = setting("How many of them, the first, adapt the step size, which is carried on.", ge=0)
    leapfrog_steps: int = setting("Leapfrog steps per iteration.", ge=1)
    step_size: float = setting("Leapfrog step at the beginning.", unit="z", gt=0)
    acceptance: float = setting("Acceptance that the step size is adapted to.", gt=0, lt=1)
    rate: float = setting("Rate at which the step size adapts.", gt=0)


class VcdSteps(Section):
    """The rule of the gradient steps."""

    mean: float = setting("Step size of the means at the beginning.", gt=0)
    deviation: float = setting("Step size of the standard deviations at the beginning.", gt=0)
    logit: float = setting("Step size of the mixture's logits at the beginning.", gt=0)
    factor: float = setting("Factor by which all step sizes fall, each time that they do.", gt=0, le=1)
    forgetting: float = setting("Share of the newest f(z_t) in the running mean, the baseline.", gt=0, le=1)


class VcdFit(Section):
    """How long fits of one family take."""

    draws: int = setting("Draws of each component per step.", ge=1)
    iterations: int = setting("Gradient steps.", ge=1)
    reduced_every: int = setting("Steps from one reduction of the step sizes to the next.", ge=1)
    steps: VcdSteps = setting("The gradient steps.")
    seeds: int = setting("Independent repetitions.", ge=1)


class VcdSweep(VcdFit):
    """alpha-VCD on the correlated Gaussian."""

    ts: tuple[Count, ...] = setting("Numbers t of iterations, all different.", min_length=2)
    alphas: tuple[Unit, ...] = setting("Shares alpha, all different.", min_length=2)
    step_size: float = setting("Leapfrog step, which is not adapted.", unit="z", gt=0)


class VcdProperties(Section):
    """The divergence between Gaussians on the line, by quadrature and by chains."""

    means: tuple[FiniteFloat, ...] = setting("Means of q_0; the target's is 0.", unit="z", min_length=1)
    widths: tuple[Positive, ...] = setting(
        "Standard deviations of q_0; the target's is 1.", unit="z", min_length=1
    )
    ts: tuple[Count, ...] = setting("Numbers t of iterations.", min_length=1)
    alphas: tuple[Unit, ...] = setting("Shares alpha.", min_length=1)
    step_size: float = setting("Leapfrog step, which is not adapted.", unit="z", gt=0)
    nodes: int = setting("Grid points of the quadrature.", ge=50)
    chains: int = setting("Chains per q_0.", ge=100)
    seed: int = setting("Base seed of the chains.", ge=0)


class VcdToys(Section):
    """VCD and the standard KL on the plane, alpha-VCD, and what holds of the divergence."""

    chains: VcdChains = setting("The refinement of the toy experiments.")
    start_deviation: float = setting("Standard deviations of q_0 at the beginning.", unit="z", gt=0)
    factorised: VcdFit = setting("Panels (a) to (c).")
    mixture: VcdFit = setting("Panel (d).")
    banana_alphas: tuple[Unit, ...] = setting("Shares alpha between KL and VCD on the banana.")
    sweep: VcdSweep = setting("Sweep of alpha-VCD on the correlated Gaussian.")
    properties: VcdProperties = setting("Non-negativity and refinement.")
    round_steps: int = setting("Gradient steps whose noise is drawn at once.", ge=1)
    figure_points: int = setting("Grid points per axis of the contours.", ge=10)
    checkpoint_seconds: float = setting("Least time between two checkpoints.", unit="s", gt=0)
    seed: int = setting("Base seed of starts and noise.", ge=0)


class Points(Section):
    """Points of a data set that a softmax regression uses."""

    train: int = setting("Training points; all, if there are fewer.", ge=1)
    test: int = setting("Test points; all, if there are fewer.", ge=1)
    batch: int = setting("Points per step.", ge=1)


class SoftmaxTraining(Section):
    """How q is trained and measured in all softmax regressions."""

    noise: int = setting("Dimensions of the noise e.", ge=1)
    hidden: tuple[Count, ...] = setting("Hidden layers of the mean's network.", min_length=1)
    sivi_samples: int = setting("Noises L of SIVI's bound, beside the one that made z.", ge=0)
    leapfrog_steps: int = setting("Leapfrog steps per iteration of HMC.", ge=1)
    step_size: float = setting("Leapfrog step at the beginning.", gt=0)
    target_acceptance: float = setting("Acceptance to which the leapfrog step adapts.", gt=0, lt=1)
    learning_rate: float = setting("Step of the mean's parameters at the beginning.", gt=0)
    deviation_share: float = setting("Step of the deviations over that of the mean.", gt=0)
    decay_every: int = setting("Iterations after which the steps fall by a tenth.", ge=1)
    measure_every: int = setting("Iterations from one measurement to the next.", ge=1)
    elbo_draws: int = setting("Draws z of a measured ELBO.", ge=1)
    elbo_noises: int = setting("Noises that estimate log q(z) of a measured ELBO.", ge=1)
    test_draws: int = setting("Draws z of a measured test log-likelihood.", ge=1)
    draws_at_once: int = setting("Draws held in memory at once.", ge=1)
    seeds: int = setting("Independent repetitions.", ge=1)
    checkpoint_seconds: float = setting("Least time between two checkpoints.", unit="s", gt=0)
    seed: int = setting("Base seed of weights, minibatches and noise.", ge=0)


class Regression(Section):
    """Softmax regression by UIVI, SIVI and a mean field, over iterations and over time."""

    mnist: Points = setting("Points of MNIST in grey values.")
    hapt: Points = setting("Points of HAPT.")
    training: SoftmaxTraining = setting("Training and measurements.")
    hmc_iterations: int = setting("Iterations of HMC that are dropped, and as many that are kept.", ge=1)
    rounds: int = setting("Length of the training.", unit="measurements", ge=5)
    final_test_draws: int = setting("Draws z of the test log-likelihood after training.", ge=1)
    timing_steps: int = setting("Iterations timed, after as many untimed ones.", ge=1)
    timing_repeats: int = setting("Repetitions of the timing, of which the median counts.", ge=1)


class HmcIterations(Section):
    """UIVI's softmax regression on MNIST with several numbers of HMC iterations."""

    points: Points = setting("Points of MNIST in grey values.")
    training: SoftmaxTraining = setting("Training and measurements.")
    iterations: tuple[Count, ...] = setting(
        "Iterations of HMC that are dropped, and as many that are kept.", min_length=2
    )
    rounds: int = setting("Length of the training.", unit="measurements", ge=5)
    last_share: float = setting("Share of the training at its end that is averaged.", gt=0, le=1)


class RegressionSummary(Section):
    """The table of all softmax regressions."""

    last_share: float = setting("Share of the training at its end that is averaged.", gt=0, le=1)


ImageName = Literal["binarized_mnist", "fashion_mnist"]


class ImplicitImages(Section):
    """Binary images: fixed-binarised MNIST, and Fashion-MNIST with a threshold."""

    train: int = setting("Training images, at most.", ge=10)
    test: int = setting("Test images, at most.", ge=2)
    threshold: float = setting(
        "Grey value above which a pixel of Fashion-MNIST is 1.", unit="of white", ge=0, lt=1
    )
    seed: int = setting("Base seed of the choice.", ge=0)


class VaeCell(Section):
    """One model and method, and how it is trained."""

    datasets: tuple[ImageName, ...] = setting("Data sets.", min_length=1)
    tables: tuple[Literal["uivi", "vcd", "steps"], ...] = setting(
        "Where it is shown: Table 1, Table 2, Figure 6.", min_length=1
    )
    model: Literal["vae", "factorisation"] = setting(
        "Decoder: with hidden layers, or linear (logistic matrix factorisation)."
    )
    method: Literal["elbo", "sivi", "uivi", "hoffman", "vcd"] = setting("How q and the model are trained.")
    refinements: int = setting("HMC iterations t from z_0 to z_t; 0 where the method has none.", ge=0)
    alpha: float = setting("Share of the contrastive term of VCD.", gt=0, le=1)
    learning_rate: float = setting("Learning rate of means and model at the beginning.", gt=0)
    deviation_share: float = setting("Learning rate of standard deviations over that of means.", gt=0)
    initialisation: Literal["xavier", "wide"] = setting("How networks' weights are drawn.")
    rounds: int = setting("Length of the training.", unit="rounds", ge=1)
    seeds: int = setting("Independent repetitions.", ge=1)

    @model_validator(mode="after")
    def _refinements_where_used(self) -> Self:
        if (self.refinements > 0) != (self.method in ("hoffman", "vcd")):
            raise ValueError("refinements belong to hoffman and vcd, which need at least one")
        return self


class VaeTrain(Section):
    """Training of all models of Tables 1 and 2 and Figure 6."""

    cells: dict[str, VaeCell] = setting("What is trained, by its name in the files.", min_length=1)
    hidden: tuple[Count, ...] = setting("Hidden layers of encoders and of the VAE's decoder.", min_length=1)
    vae_latent: int = setting("Latent dimensions of the VAE.", ge=1)
    factors: int = setting("Latent dimensions of the matrix factorisation.", ge=1)
    noise: int = setting("Dimensions of the mixing noise of semi-implicit q.", ge=1)
    sivi_samples: int = setting("Further noises L of SIVI's bound.", ge=1)
    burn_in: int = setting("HMC iterations of UIVI that are dropped.", ge=0)
    kept: int = setting("HMC iterations of UIVI that are averaged.", ge=1)
    leapfrog_steps: int = setting("Leapfrog steps per HMC iteration.", ge=1)
    step_size: float = setting("Leapfrog step at the beginning, times the dimensions of what moves.", gt=0)
    target_acceptance: float = setting("Acceptance probability to which steps adapt.", gt=0, lt=1)
    batch: int = setting("Images per step.", ge=1)
    decay_every: float = setting("Share of the training after which rates are multiplied by 0.9.", gt=0)
    round_steps: int = setting("Steps in a round, whose minibatches and noise are drawn at once.", ge=1)
    record_rounds: int = setting("Rounds per row of the training curves.", ge=1)
    checkpoint_seconds: float = setting("Least time between two checkpoints.", unit="s", gt=0)
    seed: int = setting("Base seed of weights, minibatches and noise.", ge=0)


class VaeEvaluate(Section):
    """Test likelihoods by each document's own estimator and by one for all methods."""

    burn_in: int = setting("HMC iterations before the moments of the neutral proposal.", ge=1)
    kept: int = setting("HMC iterations that give the moments.", ge=2)
    widening: float = setting("Standard deviation of the proposal over that of the chain.", ge=1)
    samples: int = setting("Importance samples of the neutral estimate.", ge=1)
    own_samples: int = setting("Importance samples with the method's own q.", ge=1)
    own_noises: int = setting("Noises of the estimate of a semi-implicit density.", ge=1)
    rows: int = setting("Decoder or encoder rows held in memory at once.", ge=1)
    seed: int = setting("Base seed of the draws.", ge=0)


class VaeSummary(Section):
    """Tables 1 and 2 and Figure 6 from the evaluations."""

    resamples: int = setting("Bootstrap resamples of the test images.", ge=100)
    seed: int = setting("Base seed of the resamples.", ge=0)


class VaeTime(Section):
    """Seconds per iteration of VCD."""

    refinements: tuple[Count, ...] = setting("Numbers t of HMC iterations.", min_length=2)
    steps: int = setting("Training steps timed, after as many untimed ones.", ge=1)
    repeats: int = setting("Repetitions, of which the median counts.", ge=1)


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
