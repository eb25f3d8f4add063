# Document air: regularised encoders on three data sets of binary images, and the theory on small problems.

AIR_DATASETS = ("binarized_mnist", "caltech_silhouettes", "omniglot")

AIR = "results/{scale}/air"

# The tables that each figure is drawn from.
AIR_FIGURES = {
    "fig01_strength": {"strengths": f"{AIR}/tab_strengths.csv"},
    "fig02_strength_by_k": {"strengths": f"{AIR}/tab_strengths.csv"},
    "fig04_gradient_samples": {"curves": f"{AIR}/gradient_samples.csv"},
    "fig_theory": {
        "encoder_curves": f"{AIR}/theory_encoder_curves.csv",
        "posteriors": f"{AIR}/theory_posteriors.csv",
        "encoder": f"{AIR}/tab_theory_encoder.csv",
        "strength": f"{AIR}/tab_theory_strength.csv",
        "generator_curves": f"{AIR}/theory_generator_curves.csv",
        "attenuation": f"{AIR}/tab_theory_attenuation.csv",
        "bounds": f"{AIR}/tab_theory_bounds.csv",
    },
}

# Tables by the experiment that makes them: the name of its output, and of the file.
AIR_TABLES = {
    "summary": {
        "tab01": "tab01_vae",
        "tab02": "tab02_iwae8",
        "tab03": "tab03_iwae64",
        "tab04": "tab04_large_encoder",
        "tab07": "tab07_strengths",
        "strengths": "tab_strengths",
        "shapes": "tab_shapes",
        "gradient_samples": "tab_gradient_samples",
    },
    "setup": {"splits": "tab05_splits", "settings": "tab06_settings"},
    "saturation": {"saturation": "tab_iw_svi"},
    "cost": {"cost": "tab_cost"},
    "theory": {
        "encoder": "tab_theory_encoder",
        "strength": "tab_theory_strength",
        "generator": "tab_theory_generator",
        "attenuation": "tab_theory_attenuation",
        "bounds": "tab_theory_bounds",
    },
}

targets["air"] += [
    f"figures/{{scale}}/air/{name}.{suffix}" for name in AIR_FIGURES for suffix in ("pdf", "png")
]
targets["air"] += [f"{AIR}/{name}.csv" for tables in AIR_TABLES.values() for name in tables.values()]


wildcard_constraints:
    bound="[a-z0-9_]+",


rule air_images:
    input:
        data="results/{scale}/data/{dataset}.json",
    output:
        images="results/{scale}/air/images_{dataset}.npz",
    log:
        "results/{scale}/logs/air/images_{dataset}.log",
    benchmark:
        "results/{scale}/benchmarks/air/images_{dataset}.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=0,
    params:
        settings=settings("air.images"),
        code=code("elbogap.experiments.air.images"),
        files=files,
    message:
        "air: images of {wildcards.dataset} ({wildcards.scale})"
    shell:
        "python -m elbogap air.images --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--keys dataset={wildcards.dataset:q} --threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule air_train:
    input:
        images="results/{scale}/air/images_{dataset}.npz",
    output:
        models="results/{scale}/air/models/{dataset}/{bound}.npz",
        curves="results/{scale}/air/curves/{dataset}/{bound}.csv",
    log:
        "results/{scale}/logs/air/train_{dataset}_{bound}.log",
    benchmark:
        "results/{scale}/benchmarks/air/train_{dataset}_{bound}.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=1,
    params:
        settings=settings_of_cell("air.train", "bound"),
        code=code("elbogap.experiments.air.train"),
        files=files,
    message:
        "air: train {wildcards.bound} on {wildcards.dataset} ({wildcards.scale})"
    shell:
        "python -m elbogap air.train --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--keys dataset={wildcards.dataset:q} cell={wildcards.bound:q} --threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule air_evaluate:
    input:
        images="results/{scale}/air/images_{dataset}.npz",
        models="results/{scale}/air/models/{dataset}/{bound}.npz",
        curves="results/{scale}/air/curves/{dataset}/{bound}.csv",
    output:
        evaluation="results/{scale}/air/evaluation/{dataset}/{bound}.csv",
        images="results/{scale}/air/images/{dataset}/{bound}.npz",
    log:
        "results/{scale}/logs/air/evaluate_{dataset}_{bound}.log",
    benchmark:
        "results/{scale}/benchmarks/air/evaluate_{dataset}_{bound}.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=1,
    params:
        settings=settings("air.evaluate"),
        code=code("elbogap.experiments.air.evaluate"),
        files=files,
    message:
        "air: evaluate {wildcards.bound} on {wildcards.dataset} ({wildcards.scale})"
    shell:
        "python -m elbogap air.evaluate --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--keys dataset={wildcards.dataset:q} cell={wildcards.bound:q} --threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule air_summary:
    input:
        unpack(air_evaluations),
    output:
        **air_tables("summary"),
        curves="results/{scale}/air/gradient_samples.csv",
    log:
        "results/{scale}/logs/air/summary.log",
    benchmark:
        "results/{scale}/benchmarks/air/summary.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=0,
    params:
        settings=settings("air.summary"),
        code=code("elbogap.experiments.air.summary"),
        files=files,
    message:
        "air: tables of all evaluations ({wildcards.scale})"
    shell:
        "python -m elbogap air.summary --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule air_setup:
    input:
        **{dataset: f"results/{{scale}}/air/images_{dataset}.npz" for dataset in AIR_DATASETS},
    output:
        **air_tables("setup"),
    log:
        "results/{scale}/logs/air/setup.log",
    benchmark:
        "results/{scale}/benchmarks/air/setup.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=0,
    params:
        settings=settings("air.train"),
        code=code("elbogap.experiments.air.setup"),
        files=files,
    message:
        "air: sizes and settings ({wildcards.scale})"
    shell:
        "python -m elbogap air.setup --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule air_saturation:
    input:
        unpack(air_saturation_models),
    output:
        **air_tables("saturation"),
    log:
        "results/{scale}/logs/air/saturation.log",
    benchmark:
        "results/{scale}/benchmarks/air/saturation.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=1,
    params:
        settings=settings("air.saturation"),
        code=code("elbogap.experiments.air.saturation"),
        files=files,
    message:
        "air: convergence of the estimated likelihood ({wildcards.scale})"
    shell:
        "python -m elbogap air.saturation --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule air_cost:
    input:
        **{dataset: f"results/{{scale}}/air/images_{dataset}.npz" for dataset in AIR_DATASETS},
    output:
        **air_tables("cost"),
    log:
        "results/{scale}/logs/air/cost.log",
    benchmark:
        "results/{scale}/benchmarks/air/cost.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=1,
    params:
        settings=air_cost_settings,
        code=code("elbogap.experiments.air.cost"),
        files=files,
    message:
        "air: time of the paper scale's steps ({wildcards.scale})"
    shell:
        "python -m elbogap air.cost --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule air_theory:
    output:
        **air_tables("theory"),
        encoder_curves="results/{scale}/air/theory_encoder_curves.csv",
        posteriors="results/{scale}/air/theory_posteriors.csv",
        generator_curves="results/{scale}/air/theory_generator_curves.csv",
    log:
        "results/{scale}/logs/air/theory.log",
    benchmark:
        "results/{scale}/benchmarks/air/theory.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=0,
    params:
        settings=settings("air.theory"),
        code=code("elbogap.experiments.air.theory"),
        files=files,
    message:
        "air: the theory on small problems ({wildcards.scale})"
    shell:
        "python -m elbogap air.theory --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


for name, tables in AIR_FIGURES.items():

    rule:
        name:
            f"air_{name}"
        input:
            **tables,
        output:
            pdf=f"figures/{{scale}}/air/{name}.pdf",
            png=reported(f"figures/{{scale}}/air/{name}.png"),
        log:
            f"results/{{scale}}/logs/air/{name}.log",
        benchmark:
            f"results/{{scale}}/benchmarks/air/{name}.jsonl"
        conda:
            "../../envs/environment.yaml"
        params:
            code=code("elbogap.figures.air"),
            files=files,
            name=name,
        shell:
            "python -m elbogap figure air.{params.name:q} --scale {wildcards.scale:q} {params.files} > {log:q} 2>&1"
