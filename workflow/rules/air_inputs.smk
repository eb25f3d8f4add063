# Which files document air's rules read and write, from the settings of a scale.


def air_tables(experiment):
    """An experiment's tables that the report shows, by the names of its outputs."""
    return {output: reported(f"{AIR}/{name}.csv") for output, name in AIR_TABLES[experiment].items()}


def air_cells(scale):
    """Data set, name and settings of everything that a scale trains."""
    cells = section(CONFIGS[scale], "air.train").cells
    return [(dataset, name, cell) for name, cell in cells.items() for dataset in cell.datasets]


def air_evaluations(wildcards):
    """Training curves of all data sets and cells; evaluations, also by image, of those with plain gradients (m = 1)."""
    folder = f"results/{wildcards.scale}/air"
    return {
        f"{kind}_{dataset}_{name}": f"{folder}/{kind}/{dataset}/{name}.{suffix}"
        for dataset, name, cell in air_cells(wildcards.scale)
        for kind, suffix in (("curves", "csv"), ("evaluation", "csv"), ("images", "npz"))
        if kind == "curves" or cell.m == 1
    }


def air_saturation_models(wildcards):
    """Models and images of the data sets on which the estimate's convergence is measured."""
    folder = f"results/{wildcards.scale}/air"
    wanted = section(CONFIGS[wildcards.scale], "air.saturation").cells
    found = {}
    for dataset, name, _ in air_cells(wildcards.scale):
        if name in wanted:
            found[f"models_{dataset}"] = f"{folder}/models/{dataset}/{name}.npz"
            found[f"images_{dataset}"] = f"{folder}/images_{dataset}.npz"
    return found


def air_cost_settings(wildcards):
    """How the scale times, and the paper scale's training, which is what is timed."""
    timing, train = section(CONFIGS[wildcards.scale], "air.cost"), section(CONFIGS["paper"], "air.train")
    return CostOfTraining(timing=timing, train=train).model_dump_json()
