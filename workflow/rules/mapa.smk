# Document mapa: surrogate decoders, posteriors, network passes, and the density grid of trained models.

from elbogap.data.synthetic import PRINTED as MAPA_PROBLEMS, PROBLEMS
from elbogap.papers.mapa.methods import CELL
from elbogap.papers.mapa.settings import TimedTraining

MAPA_VARIANTS = tuple(PROBLEMS)
MAPA_NONIDENTIFIABLE = ("absolute_value", "absolute_value_folded", "circle")


wildcard_constraints:
    problem="[a-z0-9_]+",
    cell=CELL,


def by_problem(stem, suffix, problems=MAPA_PROBLEMS):
    """One file for each problem, under the problem's name."""
    return " ".join(f"{problem}={stem}_{problem}.{suffix}" for problem in problems)


def models_of(name, scale):
    """The trained models of the cells that an experiment's settings name."""
    cells = section(CONFIGS[scale], name).cells
    return " ".join(f"{cell}=models/{{problem}}_{cell}.npz" for cell in cells)


def mapa_cost_settings(wildcards):
    """The cells and the training that are timed, and how."""
    config = CONFIGS[wildcards.scale]
    cells, train = section(config, "mapa.density").cells, section(config, "mapa.train")
    return TimedTraining(cells=cells, timing=section(config, "mapa.cost"), train=train).model_dump_json()


experiment(
    "mapa.surrogate", "surrogate decoder of {wildcards.problem}", outputs="surrogate=surrogate_{problem}.npz"
)
experiment(
    "mapa.surrogate_check",
    "errors of the surrogate decoders",
    inputs=by_problem("surrogate", "npz", MAPA_VARIANTS),
    outputs="surrogates=tab_surrogates.csv",
)
experiment("mapa.intuition", "two decoders with one marginal", outputs="intuition=intuition.npz")
experiment(
    "mapa.posteriors",
    "posteriors of chosen observations of {wildcards.problem}",
    inputs="surrogate=surrogate_{problem}.npz",
    outputs="posteriors=posteriors_{problem}.npz points=posterior_points_{problem}.csv",
)
experiment(
    "mapa.posterior_kl",
    "divergence of MAPA from the posterior on all problems",
    inputs=by_problem("surrogate", "npz", MAPA_VARIANTS),
    outputs="posterior_kl=tab_posterior_kl.csv",
)
experiment(
    "mapa.passes",
    "network passes per gradient step",
    inputs=by_problem("surrogate", "npz"),
    outputs="passes=passes.csv",
)
experiment(
    "mapa.train",
    "{wildcards.cell} trained on {wildcards.problem}",
    inputs="surrogate=surrogate_{problem}.npz",
    outputs="models=models/{problem}_{cell}.npz",
    gpu=1,
)
experiment(
    "mapa.density",
    "exact likelihoods of all models of {wildcards.problem}",
    found=partial(models_of, "mapa.density"),
    inputs="surrogate=surrogate_{problem}.npz",
    outputs="density=density_{problem}.csv",
    gpu=1,
)
experiment(
    "mapa.cost",
    "seconds per training step on {wildcards.problem}",
    inputs="surrogate=surrogate_{problem}.npz",
    outputs="cost=cost_{problem}.csv",
    settings=mapa_cost_settings,
    gpu=1,
)
experiment(
    "mapa.density_summary",
    "test divergences and orderings",
    inputs=" ".join(
        f"{table}_{problem}={table}_{problem}.csv"
        for table in ("density", "cost")
        for problem in MAPA_VARIANTS
    ),
    outputs="density=tab_density.csv gains=gains.csv budget=budget.csv orderings=tab_orderings.csv recovery=tab_recovery.csv",
)
experiment(
    "mapa.protocol",
    "the document's estimate of the likelihood on {wildcards.problem}",
    found=partial(models_of, "mapa.protocol"),
    inputs="surrogate=surrogate_{problem}.npz density=density_{problem}.csv",
    outputs="protocol=protocol_{problem}.csv timing=protocol_timing_{problem}.json",
    gpu=1,
)
experiment(
    "mapa.gaps",
    "gap decomposition on {wildcards.problem}",
    found=partial(models_of, "mapa.gaps"),
    inputs="surrogate=surrogate_{problem}.npz density=density_{problem}.csv",
    outputs="gaps=gaps_{problem}.csv",
)
experiment(
    "mapa.training_passes",
    "passes in training on {wildcards.problem}",
    found=partial(models_of, "mapa.training_passes"),
    inputs="surrogate=surrogate_{problem}.npz",
    outputs="passes=training_passes_{problem}.csv",
)
experiment(
    "mapa.nonidentifiability",
    "two decoders of one distribution, {wildcards.problem}",
    inputs="models=models/{problem}_vae.npz surrogate=surrogate_{problem}.npz",
    outputs="curves=nonident_{problem}.npz points=nonident_{problem}.csv",
)
experiment(
    "mapa.bound_identities",
    "algebra of the bound",
    inputs=by_problem("surrogate", "npz"),
    outputs="identities=tab_bound_identities.csv",
)
experiment("mapa.dimensions", "the kernel in many dimensions", outputs="dimensions=tab_dimensions.csv")
experiment(
    "mapa.scaling",
    "many points, by neighbours",
    inputs="surrogate=surrogate_circle.npz",
    outputs="scaling=tab_scaling.csv truncation=tab_truncation.csv batches=tab_batches.csv",
)
experiment(
    "mapa.images",
    "binarised MNIST against VAE and IWAE",
    inputs="data=data/binarized_mnist.json",
    outputs="table=tab_images.csv samples=images.npz",
)
for table, problems in (
    ("protocol", MAPA_PROBLEMS),
    ("gaps", MAPA_VARIANTS),
    ("cost", MAPA_VARIANTS),
    ("training_passes", MAPA_PROBLEMS),
    ("nonident", MAPA_NONIDENTIFIABLE),
):
    experiment(
        f"mapa.tab_{table}",
        f"one table of the problems' {table}",
        inputs=by_problem(table, "csv", problems),
        outputs=f"table=tab_{table}.csv",
        runs="mapa.gather",
    )

figure("mapa.fig01_intuition", "intuition=intuition.npz")
figure("mapa.fig02_summary", "density=tab_density.csv passes=passes.csv")
figure("mapa.fig03_density", "density=tab_density.csv")
figure("mapa.fig04_passes_decoder", "passes=passes.csv")
figure("mapa.fig05_passes_both", "passes=passes.csv")
for number, problem in enumerate(MAPA_PROBLEMS, start=6):
    tables = f"posteriors=posteriors_{problem}.npz points=posterior_points_{problem}.csv"
    figure(f"mapa.fig{number:02}_posterior_{problem}", tables)
for label, problem in zip(("fig11", "fig", "fig12"), MAPA_NONIDENTIFIABLE):
    tables = f"curves=nonident_{problem}.npz points=nonident_{problem}.csv"
    figure(f"mapa.{label}_nonident_{problem}", tables)
figure("mapa.fig_budget", "density=tab_density.csv")
figure("mapa.fig_gaps", "gaps=tab_gaps.csv")
figure("mapa.fig_dimensions", "dimensions=tab_dimensions.csv")
figure("mapa.fig_scaling", "scaling=tab_scaling.csv truncation=tab_truncation.csv batches=tab_batches.csv")
figure("mapa.fig_images", "samples=images.npz table=tab_images.csv")
