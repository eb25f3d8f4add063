# Document mapa: surrogate decoders, posteriors, network passes, and the density grid of trained models.

MAPA_PROBLEMS = ("absolute_value", "circle", "clusters", "figure_8", "spiral_dots")
MAPA_VARIANTS = (*MAPA_PROBLEMS, "absolute_value_folded")
MAPA_NONIDENTIFIABLE = ("absolute_value", "absolute_value_folded", "circle")


def by_problem(stem, suffix, problems=MAPA_PROBLEMS):
    """One file for each problem, under the problem's name."""
    return " ".join(f"{problem}={stem}_{problem}.{suffix}" for problem in problems)


def models_of(name):
    """The trained models of the cells that an experiment's settings name."""

    def of_scale(scale):
        cells = section(CONFIGS[scale], name).cells
        return " ".join(f"{cell}=models/{{problem}}_{cell}.npz" for cell in cells)

    return of_scale


experiments += [
    Experiment(
        "mapa.surrogate",
        "surrogate decoder of {wildcards.problem}",
        outputs="surrogate=surrogate_{problem}.npz",
    ),
    Experiment(
        "mapa.surrogate_check",
        "errors of the surrogate decoders",
        inputs=by_problem("surrogate", "npz", MAPA_VARIANTS),
        outputs="surrogates=tab_surrogates.csv",
    ),
    Experiment("mapa.intuition", "two decoders with one marginal", outputs="intuition=intuition.npz"),
    Experiment(
        "mapa.posteriors",
        "posteriors of chosen observations of {wildcards.problem}",
        inputs="surrogate=surrogate_{problem}.npz",
        outputs="posteriors=posteriors_{problem}.npz points=posterior_points_{problem}.csv",
    ),
    Experiment(
        "mapa.posterior_kl",
        "divergence of MAPA from the posterior on all problems",
        inputs=by_problem("surrogate", "npz", MAPA_VARIANTS),
        outputs="posterior_kl=tab_posterior_kl.csv",
    ),
    Experiment(
        "mapa.passes",
        "network passes per gradient step",
        inputs=by_problem("surrogate", "npz"),
        outputs="passes=passes.csv",
    ),
    Experiment(
        "mapa.train",
        "{wildcards.cell} trained on {wildcards.problem}",
        inputs="surrogate=surrogate_{problem}.npz",
        outputs="models=models/{problem}_{cell}.npz",
        gpu=1,
    ),
    Experiment(
        "mapa.density",
        "exact likelihoods of all models of {wildcards.problem}",
        found=models_of("mapa.density"),
        inputs="surrogate=surrogate_{problem}.npz",
        outputs="density=density_{problem}.csv",
        gpu=1,
    ),
    Experiment(
        "mapa.density_summary",
        "test divergences and orderings",
        inputs=by_problem("density", "csv"),
        outputs="density=tab_density.csv orderings=tab_orderings.csv recovery=tab_recovery.csv",
    ),
    Experiment(
        "mapa.protocol",
        "the document's estimate of the likelihood on {wildcards.problem}",
        found=models_of("mapa.protocol"),
        inputs="surrogate=surrogate_{problem}.npz density=density_{problem}.csv",
        outputs="protocol=protocol_{problem}.csv timing=protocol_timing_{problem}.json",
        gpu=1,
    ),
    Experiment(
        "mapa.gaps",
        "gap decomposition on {wildcards.problem}",
        found=models_of("mapa.gaps"),
        inputs="surrogate=surrogate_{problem}.npz density=density_{problem}.csv",
        outputs="gaps=gaps_{problem}.csv",
    ),
    Experiment(
        "mapa.training_passes",
        "passes in training on {wildcards.problem}",
        found=models_of("mapa.training_passes"),
        inputs="surrogate=surrogate_{problem}.npz",
        outputs="passes=training_passes_{problem}.csv",
    ),
    Experiment(
        "mapa.nonidentifiability",
        "two decoders of one distribution, {wildcards.problem}",
        inputs="models=models/{problem}_vae.npz surrogate=surrogate_{problem}.npz",
        outputs="curves=nonident_{problem}.npz points=nonident_{problem}.csv",
    ),
    Experiment(
        "mapa.bound_identities",
        "algebra of the bound",
        inputs=by_problem("surrogate", "npz"),
        outputs="identities=tab_bound_identities.csv",
    ),
    *(
        Experiment(
            f"mapa.tab_{name}",
            f"one table of {name}",
            inputs=by_problem(name, "csv", problems),
            outputs=f"table=tab_{name}.csv",
            runs="mapa.gather",
        )
        for name, problems in (
            ("protocol", MAPA_PROBLEMS),
            ("gaps", MAPA_PROBLEMS),
            ("training_passes", MAPA_PROBLEMS),
            ("nonident", MAPA_NONIDENTIFIABLE),
        )
    ),
]

figures |= {
    "mapa.fig01_intuition": "intuition=intuition.npz",
    "mapa.fig02_summary": "density=tab_density.csv passes=passes.csv training=tab_training_passes.csv",
    "mapa.fig03_density": "density=tab_density.csv",
    "mapa.fig04_passes_decoder": "passes=passes.csv",
    "mapa.fig05_passes_both": "passes=passes.csv",
    **{
        f"mapa.fig{number:02}_posterior_{problem}": f"posteriors=posteriors_{problem}.npz points=posterior_points_{problem}.csv"
        for number, problem in enumerate(MAPA_PROBLEMS, start=6)
    },
    **{
        f"mapa.{number}_nonident_{problem}": f"curves=nonident_{problem}.npz points=nonident_{problem}.csv"
        for number, problem in zip(("fig11", "fig", "fig12"), MAPA_NONIDENTIFIABLE)
    },
    "mapa.fig_gaps": "gaps=tab_gaps.csv",
}
