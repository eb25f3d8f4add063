"""Settings of document mapa."""

from typing import Annotated, Literal

from pydantic import Field

from elbogap.config.base import Minibatches, Resumable, Section, Seeded, setting
from elbogap.config.quantities import Count, Levels, Natural, Part, Positive, Rate, Share, Small, Widths
from elbogap.data.synthetic import PROBLEMS
from elbogap.papers.mapa.methods import CELL

Activation = Literal["leaky_relu", "relu", "softplus", "tanh"]
ProblemName = Annotated[str, Field(pattern=f"^({'|'.join(PROBLEMS)})$")]


class Networks(Section):
    """Shape of the networks."""

    hidden: Widths = setting("Widths of the hidden layers of every network.")
    activation: Activation = setting("Hidden activation.")


class Distillation(Section):
    """Networks fitted to the recovered models; the batch size is chosen by validation likelihood."""

    batches: Levels[Count] = setting("Observations per step.", min_length=1)
    epochs: Count = setting("Passes over the training set, of each network.")
    learning_rate: Rate = setting("Learning rate of Adam.")
    rows: Count = setting("Network rows that the members fitted together may take per step.")


class DataSets(Section):
    """Data sets of the ground truth."""

    points: Count = setting("Size N of each data set.", ge=10)
    draws: Count = setting("Data sets per problem.")


class Shown(Section):
    """What figures of log-posteriors show."""

    quantiles: Levels[Part] = setting("Ranks of the latent values of the observations shown.", min_length=1)
    grid: Count = setting("Latent values at which functions of them are drawn.", ge=100)


CellName = Annotated[str, Field(pattern=f"^({CELL})$")]


class OfCells(Section):
    """Work on trained models."""

    cells: Levels[CellName] = setting(
        "Methods with their budgets, e.g. iwae_S50 or mapa_S50_k10.", min_length=1
    )


class Surrogate(Networks, Seeded):
    """Fits of the analytic decoders, which then are the ground truth."""

    nodes: Count = setting("Quantiles of the prior to fit at, all of them in each step.", ge=10)
    steps: Count = setting("Adam steps on a one-cycle schedule.", ge=100)
    learning_rate: Rate = setting("Largest learning rate of the schedule.")
    check_nodes: Count = setting("Quantiles of the prior to measure the error at.", ge=100)
    target_mse: Small = setting("Mean squared error under the prior that must be undercut.", unit="x^2")


class SurrogateCheck(Section):
    """Independent measurement of the surrogates' errors."""

    panels: Count = setting("Quadrature panels of ten nodes on [-10, 10].", ge=20)


class Intuition(Seeded):
    """Figure 1: two decoders with the same marginal."""

    noise_deviation: Positive = setting("Standard deviation of the observation noise.", unit="x")
    draws: Count = setting("Latent values drawn from U[0, 1].")
    nodes: Count = setting("Grid nodes per axis.", ge=20)


class Posteriors(Shown, Seeded):
    """Figures 6 to 10: log-posteriors at chosen observations."""

    points: Count = setting("Size N of the data set.", ge=10)


class PosteriorKL(DataSets, Seeded):
    """How far MAPA is from the posterior of the empiricalised model, over all observations."""

    block: Count = setting("Observations held in memory at once.")


class Passes(DataSets, Seeded):
    """Figures 4 and 5: network evaluations per gradient step."""

    batches: Count = setting("Batches per data set.")
    batch: Count = setting("Observations per batch.")
    samples: Levels[Count] = setting("Budgets S.", min_length=1)
    shares: Levels[Part] = setting("Shares k / S; the figures tell four apart.", min_length=1, max_length=4)


class Schedule(Section):
    """How a problem's models are trained."""

    activation: Activation = setting("Hidden activation of every network.")
    epochs: Count = setting("Passes over the training set.")
    learning_rate: Rate = setting("Learning rate of Adam at the beginning.")
    final_share: Share = setting("Learning rate at the end over that at the beginning.")


class Train(DataSets, Resumable, Seeded):
    """Training of all methods: every cell trains one model per data set and restart."""

    restarts: Count = setting("Random restarts per data set.")
    hidden: Widths = setting("Widths of the hidden layers of every network.")
    batch: Count = setting("Observations per step.")
    schedule: Schedule = setting("How the models are trained.")
    exceptions: dict[ProblemName, Schedule] = setting("Schedules of problems that need their own.")
    rows: Count = setting("Network rows that the members trained together may take per step.")
    record_epochs: Count = setting("Epochs per recorded value of the bound.")


class Density(OfCells, Resumable, Seeded):
    """Prior recovery, exact likelihoods and the choice of restarts, over all cells."""

    valid_points: Count = setting("Observations for the choice of restart and k.")
    test_points: Count = setting("Observations for the test divergence.")
    tolerance: Small = setting("Largest error of one panel of the quadrature, relative to p(x).")
    smoothing: Levels[Positive] = setting(
        "Widths of the smoothed prior map, in latent standard deviations.", min_length=1
    )
    distillation: Distillation = setting("The document's way of recovering the prior (appendix C.3).")


class DensitySummary(Section):
    """Comparisons of the trained models."""

    drift: Positive = setting(
        "Largest change of a converged model's objective from the third to the last quarter of training.",
        unit="nats",
    )


class Cost(Section):
    """Timing of training steps."""

    epochs: Count = setting("Epochs that are timed.")
    repeats: Count = setting("Repetitions, all cells in turn.")


class TimedTraining(Section):
    """What experiment `mapa.cost` is told."""

    cells: Levels[CellName] = setting("Methods with their budgets.", min_length=1)
    timing: Cost = setting("How to time.")
    train: Train = setting("The training that is timed.")


class Protocol(OfCells, Minibatches, Seeded):
    """The document's estimate of the likelihood: a mixture encoder fitted by IWAE to each selected model."""

    multiples = (("samples", "components"), ("bound_samples", "components"))

    draws: Count = setting("Data sets per problem.")
    test_points: Count = setting("Observations of the bound.")
    components: Count = setting("Gaussians in the encoder's mixture.")
    hidden: Widths = setting("Widths of the encoder's hidden layers.")
    samples: Count = setting("Samples S of the bound that is maximised, a multiple of the components.")
    bound_samples: Count = setting("Samples S of the reported bound, a multiple of the components.")


class Gaps(OfCells, Seeded):
    """What each bound of the selected models loses against the likelihood, and why."""

    points: Count = setting("Observations measured, the first of the training set.")
    samples: Count = setting("Monte-Carlo repetitions of bounds that sample.")


class Nonidentifiability(Shown, Seeded):
    """Figures 11 and 12: two decoders of one distribution, and their posteriors under one MAPA."""

    valid_points: Count = setting("Observations for the choice of the restart.")


class TrainingPasses(OfCells, Seeded):
    """Figures 4 and 5 against the counts of real training, of cells of MAPA alone."""

    batches: Count = setting("Simulated batches per data set.", ge=2)


class BoundIdentities(Seeded):
    """What must hold of the bound whatever is trained, measured on a small data set."""

    points: Count = setting("Size N of each data set.", ge=10)
    terms: Levels[Count] = setting("Numbers k of deterministic terms; N is added.", min_length=1)
    samples: Levels[Natural] = setting("Numbers of sampled terms.", min_length=1)
    repetitions: Count = setting("Evaluations of each bound, with fresh samples.", ge=2)


class Dimensions(Seeded):
    """The kernel in many dimensions."""

    dimensions: Levels[Count] = setting("Dimensions D of x.", min_length=1)
    points: Count = setting("Size N of each data set.", ge=10)
    draws: Count = setting("Data sets per dimension.")
    variance: Positive = setting("Variance of the noise.", unit="squared radius of the circle")
    scales: Levels[Positive] = setting("Scales c of the kernel.", min_length=1)
    floor: Part = setting("Share of the uniform floor.")


class Scaling(Seeded):
    """Cost of many points, truncation and near batches."""

    sizes: Levels[Count] = setting("Numbers N of points that are timed.", min_length=1)
    most_exact: Count = setting("Largest N at which the exact proposal is made, too.")
    neighbours: Count = setting("Neighbours K of each point.", ge=2)
    width: Count = setting("Hidden units of encoder and decoder.")
    code_scale: Positive = setting("Standard deviation s of the codes.", unit="units of z")
    batch: Count = setting("Observations per step.")
    exact_points: Count = setting("Points N of truncation and near batches.", ge=100)
    draws: Count = setting("Data sets of the truncation.")
    truncations: Levels[Count] = setting("Numbers of neighbours that are kept.", min_length=1)
    samples: Count = setting("Random terms S.")
    leaf_sizes: Levels[Count] = setting("Sizes of the groups of near points in a batch.", min_length=1)
    seeds: Count = setting("Trainings of each size.")
    learning_rate: Rate = setting("Learning rate of Adam.")
    most_passes: Count = setting("Decoder passes per point that a training has.")
    test_points: Count = setting("Points of the test likelihood.")


class Images(Seeded):
    """MAPA on images against VAE and IWAE."""

    images: Count = setting("Training images.", ge=100)
    test_images: Count = setting("Test images.")
    latents: Levels[Count] = setting("Latent dimensions L.", min_length=1)
    seeds: Count = setting("Trainings of each method.")
    hidden: Widths = setting("Hidden units of the decoder; of the encoder in reverse.")
    agreement: Part = setting("Probability rho that the kernel gives to equal pixels.", gt=0.5)
    scales: Levels[Positive] = setting("Scales c that the kernel is chosen from.", min_length=1)
    code_scale: Positive = setting("Standard deviation s of MAPA's codes.", unit="units of z")
    neighbours: Count = setting("Neighbours K of each image.", ge=2)
    head: Count = setting("Neighbours k that each step of MAPA evaluates.")
    samples: Count = setting("Random terms S of MAPA, and samples of IWAE.")
    batch: Count = setting("Images per step.")
    leaf_size: Count = setting("Near images that stay together in MAPA's batches.")
    learning_rate: Rate = setting("Learning rate of Adam at first; it falls to 0.")
    decoder_passes: Count = setting("Decoder passes per training image that each method has.")
    components: Count = setting("Gaussians of MAPA's prior.")
    svi_samples: Count = setting("Samples of IW-SVI in each step.")
    svi_steps: Natural = setting("Steps of IW-SVI for each test image.")
    svi_learning_rate: Rate = setting("Learning rate of IW-SVI.")
    bound_samples: Count = setting("Samples of the bound on log p(x).")
    grid: Count = setting("Points of a quadrature axis.", ge=10)
    shown: Count = setting("Samples in the figure.")


class MapaConfig(Section):
    """Document mapa."""

    at_most = (
        ("train.batch", "train.points"),
        ("density.distillation.batches", "train.points"),
        ("protocol.batch", "train.points"),
        ("protocol.draws", "train.draws"),
        ("gaps.points", "train.points"),
    )
    among = tuple((f"{part}.cells", "density.cells") for part in ("protocol", "gaps", "training_passes"))

    surrogate: Surrogate = setting("Surrogate decoders (appendix C.1).")
    surrogate_check: SurrogateCheck = setting("Table of the surrogates.")
    intuition: Intuition = setting("Figure 1.")
    posteriors: Posteriors = setting("Figures 6 to 10.")
    posterior_kl: PosteriorKL = setting("Distances between the posteriors of Figures 6 to 10.")
    passes: Passes = setting("Figures 4 and 5.")
    train: Train = setting("Training of all methods of Figures 2, 3, 11 and 12.")
    density: Density = setting("Figures 2 and 3.")
    density_summary: DensitySummary = setting("Tables of Figures 2 and 3.")
    cost: Cost = setting("What training costs.")
    protocol: Protocol = setting("Bias of the document's estimate of the likelihood.")
    gaps: Gaps = setting("Gap decomposition.")
    gather: Section = setting("Tables over all problems; there is nothing to set.")
    nonidentifiability: Nonidentifiability = setting("Figures 11 and 12.")
    training_passes: TrainingPasses = setting("Counts of real training against Figures 4 and 5.")
    bound_identities: BoundIdentities = setting("Algebra of the bound.")
    dimensions: Dimensions = setting("The kernel in many dimensions (ours).")
    scaling: Scaling = setting("Cost of many points, truncation and near batches (ours).")
    images: Images = setting("Binarised MNIST (ours).")
