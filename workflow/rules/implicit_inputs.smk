# Which files document implicit's rules read and write, from the settings of a scale.


def implicit_tables(experiment):
    """An experiment's tables that the report shows, by the names of its outputs."""
    return {
        output: reported(f"{IMPLICIT}/{name}.csv") for output, name in IMPLICIT_TABLES[experiment].items()
    }


def implicit_evaluations(wildcards):
    """Evaluations, in all and by image, of all data sets and cells."""
    folder = f"results/{wildcards.scale}/implicit"
    cells = section(CONFIGS[wildcards.scale], "implicit.vae_train").cells
    return {
        f"{kind}_{dataset}_{name}": f"{folder}/{kind}/{dataset}/{name}.{suffix}"
        for name, cell in cells.items()
        for dataset in cell.datasets
        for kind, suffix in (("evaluation", "csv"), ("loglik", "npz"))
    }


def implicit_time_settings(wildcards):
    """How the scale times, and the training that is timed."""
    timing, train = (
        section(CONFIGS[wildcards.scale], f"implicit.{name}") for name in ("vae_time", "vae_train")
    )
    return TimeOfTraining(timing=timing, train=train).model_dump_json()
