# Document air: regularised encoders on data sets of binary images, and the theory on small problems.


wildcard_constraints:
    bound="[a-z0-9_]+",


def air_cells(scale):
    """Data set, name and settings of everything that a scale trains."""
    cells = section(CONFIGS[scale], "air.train").cells
    return [(dataset, name, cell) for name, cell in cells.items() for dataset in cell.datasets]


def air_images(scale):
    """Images of all data sets that a scale trains on."""
    datasets = sorted({dataset for dataset, *_ in air_cells(scale)})
    return " ".join(f"{name}=images_{name}.npz" for name in datasets)


def air_evaluations(scale):
    """Training curves of all data sets and cells, and evaluations of those with plain gradients (m = 1)."""
    return " ".join(
        f"{kind}_{dataset}_{name}={kind}/{dataset}/{name}.csv"
        for dataset, name, cell in air_cells(scale)
        for kind in ("curves", "evaluation")
        if kind == "curves" or cell.m == 1
    )


def air_saturation_models(scale):
    """Models and images of the data sets on which the estimate's convergence is measured."""
    wanted = section(CONFIGS[scale], "air.saturation").cells
    return " ".join(
        f"models_{dataset}=models/{dataset}/{name}.npz images_{dataset}=images_{dataset}.npz"
        for dataset, name, _ in air_cells(scale)
        if name in wanted
    )


experiment(
    "air.images",
    "images of {wildcards.dataset}",
    inputs="data=data/{dataset}.json",
    outputs="images=images_{dataset}.npz",
)
experiment(
    "air.train",
    "train {wildcards.bound} on {wildcards.dataset}",
    inputs="images=images_{dataset}.npz",
    outputs="models=models/{dataset}/{bound}.npz curves=curves/{dataset}/{bound}.csv",
    settings=settings_of_cell("air.train", "bound"),
    keys={"bound": "cell"},
    gpu=1,
)
experiment(
    "air.evaluate",
    "evaluate {wildcards.bound} on {wildcards.dataset}",
    inputs="images=images_{dataset}.npz models=models/{dataset}/{bound}.npz curves=curves/{dataset}/{bound}.csv",
    outputs="evaluation=evaluation/{dataset}/{bound}.csv",
    keys={"bound": "cell"},
    gpu=1,
)
experiment(
    "air.summary",
    "tables of all evaluations",
    found=air_evaluations,
    outputs="""
        tab01=tab01_vae.csv tab02=tab02_iwae8.csv tab03=tab03_iwae64.csv tab04=tab04_large_encoder.csv tab07=tab07_strengths.csv
        strengths=tab_strengths.csv transitions=tab_transitions.csv attenuation=tab_attenuation.csv seeds=tab_seeds.csv
        falls=tab_falls.csv curves=gradient_samples.csv
    """,
    settings=lambda wildcards: "{}",
)
experiment(
    "air.setup",
    "sizes and settings",
    found=air_images,
    outputs="splits=tab05_splits.csv settings=tab06_settings.csv",
    settings=settings("air.train"),
)
experiment(
    "air.saturation",
    "convergence of the estimated likelihood",
    found=air_saturation_models,
    outputs="saturation=tab_iw_svi.csv",
    gpu=1,
)
experiment(
    "air.theory",
    "the theory on small problems",
    outputs="""
        encoder=tab_theory_encoder.csv strength=tab_theory_strength.csv generator=tab_theory_generator.csv
        attenuation=tab_theory_attenuation.csv bounds=tab_theory_bounds.csv weight_norm=tab_theory_weight_norm.csv
        encoder_curves=theory_encoder_curves.csv posteriors=theory_posteriors.csv generator_curves=theory_generator_curves.csv
    """,
)

figure("air.fig01_strength", "strengths=tab_strengths.csv")
figure("air.fig02_strength_by_k", "strengths=tab_strengths.csv")
figure("air.fig04_gradient_samples", "curves=gradient_samples.csv")
figure(
    "air.fig_theory",
    """
        encoder_curves=theory_encoder_curves.csv posteriors=theory_posteriors.csv encoder=tab_theory_encoder.csv
        strength=tab_theory_strength.csv generator_curves=theory_generator_curves.csv attenuation=tab_theory_attenuation.csv
        bounds=tab_theory_bounds.csv
    """,
)
