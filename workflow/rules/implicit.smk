# Document implicit: implicit and semi-implicit distributions, and approximations refined by Markov chains.
from elbogap.papers.implicit.settings import TimeOfTraining


wildcard_constraints:
    trained="[a-z0-9_]+",


def of_all_cells(training, name, folder):
    """A function of the scale: the tables in a folder of all data sets and cells of a training."""

    def found(scale):
        return " ".join(
            f"{name}_{dataset}_{cell}={folder}/{dataset}/{cell}.csv"
            for cell, settings in section(CONFIGS[scale], training).cells.items()
            for dataset in settings.datasets
        )

    return found


def implicit_time_settings(wildcards):
    """How the scale times, and the training that is timed."""
    timing, train = (
        section(CONFIGS[wildcards.scale], f"implicit.{name}") for name in ("vae_time", "vae_train")
    )
    return TimeOfTraining(timing=timing, train=train).model_dump_json()


experiment(
    "implicit.density_ratio",
    "adversarial training by density ratio estimation",
    outputs="""
        curves=density_ratio_curves.csv training=density_ratio_training.csv samples=density_ratio_samples.npz
        dimensions=density_ratio_dimensions.csv table=tab_density_ratio.csv
    """,
)
experiment(
    "implicit.toys",
    "UIVI, SIVI and a Gaussian on three toy targets",
    outputs="divergences=tab_uivi_toys.csv draws=uivi_toys.npz",
    gpu=1,
)
experiment(
    "implicit.identities",
    "the bound of SIVI and the gradient of UIVI against quadrature",
    outputs="bound=tab_sivi_bound.csv gradient=tab_uivi_gradient.csv",
)
experiment(
    "implicit.vcd_toys",
    "VCD, the standard KL and alpha-VCD on the plane",
    outputs="""
        toys=tab_vcd_toys.csv alpha=tab_alpha_vcd.csv properties=tab_vcd_properties.csv limits=tab_vcd_limits.csv
        optima=alpha_vcd_optima.csv densities=vcd_toys.npz
    """,
)
experiment(
    "implicit.regression",
    "softmax regression on {wildcards.dataset}, {wildcards.trained}",
    inputs="data=data/{dataset}.json",
    outputs="curves=regression/{dataset}/{trained}.csv",
    settings=settings_of_cell("implicit.regression", "trained"),
    keys={"trained": "cell"},
    gpu=1,
)
experiment(
    "implicit.regression_summary",
    "tables of the softmax regressions",
    inputs="published=paper/implicit/published/regression.csv published_chains=paper/implicit/published/hmc_iterations.csv",
    found=of_all_cells("implicit.regression", "curves", "regression"),
    outputs="curves=regression_curves.csv seeds=regression_seeds.csv table=tab_regression.csv chains=tab_hmc_iterations.csv",
    settings=lambda wildcards: "{}",
)
experiment(
    "implicit.images",
    "images of {wildcards.dataset}",
    inputs="data=data/{dataset}.json",
    outputs="images=images_{dataset}.npz",
)
experiment(
    "implicit.vae_train",
    "train {wildcards.trained} on {wildcards.dataset}",
    inputs="images=images_{dataset}.npz",
    outputs="models=models/{dataset}/{trained}.npz curves=curves/{dataset}/{trained}.csv",
    settings=settings_of_cell("implicit.vae_train", "trained"),
    keys={"trained": "cell"},
    gpu=1,
)
experiment(
    "implicit.vae_evaluate",
    "evaluate {wildcards.trained} on {wildcards.dataset}",
    inputs="images=images_{dataset}.npz models=models/{dataset}/{trained}.npz curves=curves/{dataset}/{trained}.csv",
    outputs="evaluation=evaluation/{dataset}/{trained}.csv",
    keys={"trained": "cell"},
    gpu=1,
)
experiment(
    "implicit.vae_summary",
    "tables of all evaluations",
    found=of_all_cells("implicit.vae_train", "evaluation", "evaluation"),
    settings=lambda wildcards: "{}",
    outputs="tab01=tab01_uivi_vae.csv tab02=tab02_vcd.csv steps=tab_vcd_steps.csv seeds=tab_vae_seeds.csv",
)
experiment(
    "implicit.vae_time",
    "seconds per iteration",
    inputs="images=images_binarized_mnist.npz",
    outputs="time=tab_vcd_time.csv",
    settings=implicit_time_settings,
    gpu=1,
)

figure(
    "implicit.fig01_density_ratio",
    "curves=density_ratio_curves.csv samples=density_ratio_samples.npz dimensions=density_ratio_dimensions.csv table=tab_density_ratio.csv",
)
figure("implicit.fig02_uivi_toys", "draws=uivi_toys.npz divergences=tab_uivi_toys.csv")
figure("implicit.fig03_softmax_regression", "curves=regression_curves.csv")
figure("implicit.fig04_hmc_iterations", "curves=regression_curves.csv")
figure("implicit.fig05_vcd_toys", "densities=vcd_toys.npz toys=tab_vcd_toys.csv")
figure("implicit.fig06_vcd_steps", "steps=tab_vcd_steps.csv time=tab_vcd_time.csv")
figure("implicit.fig07_alpha_vcd", "alpha=tab_alpha_vcd.csv optima=alpha_vcd_optima.csv")
