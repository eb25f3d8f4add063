# Document implicit: implicit and semi-implicit distributions, and approximations refined by Markov chains.

IMPLICIT = "results/{scale}/implicit"


targets["implicit"] += [
    "figures/{scale}/implicit/fig01_density_ratio.pdf",
    "figures/{scale}/implicit/fig01_density_ratio.png",
    f"{IMPLICIT}/tab_density_ratio.csv",
]


rule implicit_density_ratio:
    output:
        curves="results/{scale}/implicit/density_ratio_curves.csv",
        training="results/{scale}/implicit/density_ratio_training.csv",
        samples="results/{scale}/implicit/density_ratio_samples.npz",
        dimensions="results/{scale}/implicit/density_ratio_dimensions.csv",
        table=reported("results/{scale}/implicit/tab_density_ratio.csv"),
    log:
        "results/{scale}/logs/implicit/density_ratio.log",
    benchmark:
        "results/{scale}/benchmarks/implicit/density_ratio.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=0,
    params:
        settings=settings("implicit.density_ratio"),
        code=code("elbogap.experiments.implicit.density_ratio"),
        files=files,
    message:
        "implicit: adversarial training by density ratio estimation ({wildcards.scale})"
    shell:
        "python -m elbogap implicit.density_ratio --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule implicit_fig01_density_ratio:
    input:
        curves="results/{scale}/implicit/density_ratio_curves.csv",
        samples="results/{scale}/implicit/density_ratio_samples.npz",
        dimensions="results/{scale}/implicit/density_ratio_dimensions.csv",
        table="results/{scale}/implicit/tab_density_ratio.csv",
    output:
        pdf="figures/{scale}/implicit/fig01_density_ratio.pdf",
        png=reported("figures/{scale}/implicit/fig01_density_ratio.png"),
    log:
        "results/{scale}/logs/implicit/fig01_density_ratio.log",
    benchmark:
        "results/{scale}/benchmarks/implicit/fig01_density_ratio.jsonl"
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("elbogap.figures.implicit"),
        files=files,
    shell:
        "python -m elbogap figure implicit.fig01_density_ratio --scale {wildcards.scale:q} {params.files} > {log:q} 2>&1"


targets["implicit"] += [
    *(f"figures/{{scale}}/implicit/fig02_uivi_toys.{suffix}" for suffix in ("pdf", "png")),
    "results/{scale}/implicit/tab_uivi_toys.csv",
]


rule implicit_toys:
    output:
        divergences=reported("results/{scale}/implicit/tab_uivi_toys.csv"),
        draws="results/{scale}/implicit/uivi_toys.npz",
    log:
        "results/{scale}/logs/implicit/toys.log",
    benchmark:
        "results/{scale}/benchmarks/implicit/toys.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=1,
    params:
        settings=settings("implicit.toys"),
        code=code("elbogap.experiments.implicit.toys"),
        files=files,
    message:
        "implicit: UIVI, SIVI and a Gaussian on three toy targets ({wildcards.scale})"
    shell:
        "python -m elbogap implicit.toys --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule implicit_fig02_uivi_toys:
    input:
        draws="results/{scale}/implicit/uivi_toys.npz",
        divergences="results/{scale}/implicit/tab_uivi_toys.csv",
    output:
        pdf="figures/{scale}/implicit/fig02_uivi_toys.pdf",
        png=reported("figures/{scale}/implicit/fig02_uivi_toys.png"),
    log:
        "results/{scale}/logs/implicit/fig02_uivi_toys.log",
    benchmark:
        "results/{scale}/benchmarks/implicit/fig02_uivi_toys.jsonl"
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("elbogap.figures.implicit"),
        files=files,
    shell:
        "python -m elbogap figure implicit.fig02_uivi_toys --scale {wildcards.scale:q} {params.files} > {log:q} 2>&1"


targets["implicit"] += [
    f"results/{{scale}}/implicit/{name}.csv" for name in ("tab_sivi_bound", "tab_uivi_gradient")
]


rule implicit_identities:
    output:
        bound=reported("results/{scale}/implicit/tab_sivi_bound.csv"),
        gradient=reported("results/{scale}/implicit/tab_uivi_gradient.csv"),
    log:
        "results/{scale}/logs/implicit/identities.log",
    benchmark:
        "results/{scale}/benchmarks/implicit/identities.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=0,
    params:
        settings=settings("implicit.identities"),
        code=code("elbogap.experiments.implicit.identities"),
        files=files,
    message:
        "implicit: the bound of SIVI and the gradient of UIVI against quadrature ({wildcards.scale})"
    shell:
        "python -m elbogap implicit.identities --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


targets["implicit"] += [
    f"figures/{{scale}}/implicit/{name}.{suffix}"
    for name in ("fig05_vcd_toys", "fig07_alpha_vcd")
    for suffix in ("pdf", "png")
]
targets["implicit"] += [f"{IMPLICIT}/tab_{name}.csv" for name in ("vcd_toys", "alpha_vcd", "vcd_properties")]


rule implicit_vcd_toys:
    output:
        toys=reported(f"{IMPLICIT}/tab_vcd_toys.csv"),
        alpha=reported(f"{IMPLICIT}/tab_alpha_vcd.csv"),
        properties=reported(f"{IMPLICIT}/tab_vcd_properties.csv"),
        optima=f"{IMPLICIT}/alpha_vcd_optima.csv",
        densities=f"{IMPLICIT}/vcd_toys.npz",
    log:
        "results/{scale}/logs/implicit/vcd_toys.log",
    benchmark:
        "results/{scale}/benchmarks/implicit/vcd_toys.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=0,
    params:
        settings=settings("implicit.vcd_toys"),
        code=code("elbogap.experiments.implicit.vcd_toys"),
        files=files,
    message:
        "implicit: VCD, the standard KL and alpha-VCD on the plane ({wildcards.scale})"
    shell:
        "python -m elbogap implicit.vcd_toys --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule implicit_fig05_vcd_toys:
    input:
        densities=f"{IMPLICIT}/vcd_toys.npz",
    output:
        pdf="figures/{scale}/implicit/fig05_vcd_toys.pdf",
        png=reported("figures/{scale}/implicit/fig05_vcd_toys.png"),
    log:
        "results/{scale}/logs/implicit/fig05_vcd_toys.log",
    benchmark:
        "results/{scale}/benchmarks/implicit/fig05_vcd_toys.jsonl"
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("elbogap.figures.implicit"),
        files=files,
    shell:
        "python -m elbogap figure implicit.fig05_vcd_toys --scale {wildcards.scale:q} {params.files} > {log:q} 2>&1"


rule implicit_fig07_alpha_vcd:
    input:
        alpha=f"{IMPLICIT}/tab_alpha_vcd.csv",
        optima=f"{IMPLICIT}/alpha_vcd_optima.csv",
        toys=f"{IMPLICIT}/tab_vcd_toys.csv",
        densities=f"{IMPLICIT}/vcd_toys.npz",
    output:
        pdf="figures/{scale}/implicit/fig07_alpha_vcd.pdf",
        png=reported("figures/{scale}/implicit/fig07_alpha_vcd.png"),
    log:
        "results/{scale}/logs/implicit/fig07_alpha_vcd.log",
    benchmark:
        "results/{scale}/benchmarks/implicit/fig07_alpha_vcd.jsonl"
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("elbogap.figures.implicit"),
        files=files,
    shell:
        "python -m elbogap figure implicit.fig07_alpha_vcd --scale {wildcards.scale:q} {params.files} > {log:q} 2>&1"


# Numbers of the document, digitised from the slides.
IMPLICIT_PUBLISHED = os.path.relpath(ROOT / "paper" / "published")

REGRESSION_DATASETS = ("mnist", "hapt")

REGRESSION_FIGURES = {
    "fig03_softmax_regression": {
        f"{kind}_{dataset}": f"{IMPLICIT}/regression_{kind}_{dataset}.csv"
        for kind in ("curves", "timing")
        for dataset in REGRESSION_DATASETS
    },
    "fig04_hmc_iterations": {"curves": f"{IMPLICIT}/hmc_iterations_curves.csv"},
}

targets["implicit"] += [
    f"figures/{{scale}}/implicit/{name}.{suffix}" for name in REGRESSION_FIGURES for suffix in ("pdf", "png")
]
targets["implicit"] += [
    f"{IMPLICIT}/tab_regression.csv",
    f"{IMPLICIT}/tab_hmc_iterations.csv",
]


rule implicit_regression:
    input:
        data="results/{scale}/data/{dataset}.json",
    output:
        curves="results/{scale}/implicit/regression_curves_{dataset}.csv",
        final="results/{scale}/implicit/regression_final_{dataset}.csv",
        timing="results/{scale}/implicit/regression_timing_{dataset}.csv",
    log:
        "results/{scale}/logs/implicit/regression_{dataset}.log",
    benchmark:
        "results/{scale}/benchmarks/implicit/regression_{dataset}.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=1,
    params:
        settings=settings("implicit.regression"),
        code=code("elbogap.experiments.implicit.regression"),
        files=files,
    message:
        "implicit: softmax regression on {wildcards.dataset} ({wildcards.scale})"
    shell:
        "python -m elbogap implicit.regression --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--keys dataset={wildcards.dataset:q} --threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule implicit_regression_summary:
    input:
        **{
            f"{kind}_{dataset}": f"{IMPLICIT}/regression_{kind}_{dataset}.csv"
            for kind in ("curves", "final", "timing")
            for dataset in REGRESSION_DATASETS
        },
        published=f"{IMPLICIT_PUBLISHED}/implicit_regression.csv",
    output:
        seeds="results/{scale}/implicit/regression_seeds.csv",
        table=reported(f"{IMPLICIT}/tab_regression.csv"),
    log:
        "results/{scale}/logs/implicit/regression_summary.log",
    benchmark:
        "results/{scale}/benchmarks/implicit/regression_summary.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=0,
    params:
        settings=settings("implicit.regression_summary"),
        code=code("elbogap.experiments.implicit.regression_summary"),
        files=files,
    message:
        "implicit: table of the softmax regressions ({wildcards.scale})"
    shell:
        "python -m elbogap implicit.regression_summary --scale {wildcards.scale:q} --settings {params.settings:q} "
        "{params.files} --threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule implicit_hmc_iterations:
    input:
        data="results/{scale}/data/mnist.json",
        published=f"{IMPLICIT_PUBLISHED}/implicit_hmc_iterations.csv",
    output:
        curves="results/{scale}/implicit/hmc_iterations_curves.csv",
        table=reported(f"{IMPLICIT}/tab_hmc_iterations.csv"),
    log:
        "results/{scale}/logs/implicit/hmc_iterations.log",
    benchmark:
        "results/{scale}/benchmarks/implicit/hmc_iterations.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=1,
    params:
        settings=settings("implicit.hmc_iterations"),
        code=code("elbogap.experiments.implicit.hmc_iterations"),
        files=files,
    message:
        "implicit: numbers of HMC iterations ({wildcards.scale})"
    shell:
        "python -m elbogap implicit.hmc_iterations --scale {wildcards.scale:q} --settings {params.settings:q} "
        "{params.files} --threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


for name, tables in REGRESSION_FIGURES.items():

    rule:
        name:
            f"implicit_{name}"
        input:
            **tables,
        output:
            pdf=f"figures/{{scale}}/implicit/{name}.pdf",
            png=reported(f"figures/{{scale}}/implicit/{name}.png"),
        log:
            f"results/{{scale}}/logs/implicit/{name}.log",
        benchmark:
            f"results/{{scale}}/benchmarks/implicit/{name}.jsonl"
        conda:
            "../../envs/environment.yaml"
        params:
            code=code("elbogap.figures.implicit"),
            files=files,
            name=name,
        shell:
            "python -m elbogap figure implicit.{params.name:q} --scale {wildcards.scale:q} {params.files} > {log:q} 2>&1"


wildcard_constraints:
    trained="[a-z0-9_]+",


IMPLICIT_TABLES = {
    "vae_summary": {
        "tab01": "tab01_uivi_vae",
        "tab02": "tab02_vcd",
        "steps": "tab_vcd_steps",
        "seeds": "tab_vae_seeds",
    },
    "vae_time": {"time": "tab_vcd_time"},
}

targets["implicit"] += [
    f"{IMPLICIT}/{name}.csv" for tables in IMPLICIT_TABLES.values() for name in tables.values()
]
targets["implicit"] += [f"figures/{{scale}}/implicit/fig06_vcd_steps.{suffix}" for suffix in ("pdf", "png")]


rule implicit_images:
    input:
        data="results/{scale}/data/{dataset}.json",
    output:
        images="results/{scale}/implicit/images_{dataset}.npz",
    log:
        "results/{scale}/logs/implicit/images_{dataset}.log",
    benchmark:
        "results/{scale}/benchmarks/implicit/images_{dataset}.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=0,
    params:
        settings=settings("implicit.images"),
        code=code("elbogap.experiments.implicit.images"),
        files=files,
    message:
        "implicit: images of {wildcards.dataset} ({wildcards.scale})"
    shell:
        "python -m elbogap implicit.images --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--keys dataset={wildcards.dataset:q} --threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule implicit_vae_train:
    input:
        images="results/{scale}/implicit/images_{dataset}.npz",
    output:
        models="results/{scale}/implicit/models/{dataset}/{trained}.npz",
        curves="results/{scale}/implicit/curves/{dataset}/{trained}.csv",
    log:
        "results/{scale}/logs/implicit/vae_train_{dataset}_{trained}.log",
    benchmark:
        "results/{scale}/benchmarks/implicit/vae_train_{dataset}_{trained}.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=1,
    params:
        settings=settings_of_cell("implicit.vae_train", "trained"),
        code=code("elbogap.experiments.implicit.vae_train"),
        files=files,
    message:
        "implicit: train {wildcards.trained} on {wildcards.dataset} ({wildcards.scale})"
    shell:
        "python -m elbogap implicit.vae_train --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--keys dataset={wildcards.dataset:q} cell={wildcards.trained:q} --threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule implicit_vae_evaluate:
    input:
        images="results/{scale}/implicit/images_{dataset}.npz",
        models="results/{scale}/implicit/models/{dataset}/{trained}.npz",
        curves="results/{scale}/implicit/curves/{dataset}/{trained}.csv",
    output:
        evaluation="results/{scale}/implicit/evaluation/{dataset}/{trained}.csv",
        loglik="results/{scale}/implicit/loglik/{dataset}/{trained}.npz",
    log:
        "results/{scale}/logs/implicit/vae_evaluate_{dataset}_{trained}.log",
    benchmark:
        "results/{scale}/benchmarks/implicit/vae_evaluate_{dataset}_{trained}.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=1,
    params:
        settings=settings("implicit.vae_evaluate"),
        code=code("elbogap.experiments.implicit.vae_evaluate"),
        files=files,
    message:
        "implicit: evaluate {wildcards.trained} on {wildcards.dataset} ({wildcards.scale})"
    shell:
        "python -m elbogap implicit.vae_evaluate --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--keys dataset={wildcards.dataset:q} cell={wildcards.trained:q} --threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule implicit_vae_summary:
    input:
        unpack(implicit_evaluations),
    output:
        **implicit_tables("vae_summary"),
    log:
        "results/{scale}/logs/implicit/vae_summary.log",
    benchmark:
        "results/{scale}/benchmarks/implicit/vae_summary.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=0,
    params:
        settings=settings("implicit.vae_summary"),
        code=code("elbogap.experiments.implicit.vae_summary"),
        files=files,
    message:
        "implicit: tables of all evaluations ({wildcards.scale})"
    shell:
        "python -m elbogap implicit.vae_summary --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule implicit_vae_time:
    input:
        images="results/{scale}/implicit/images_binarized_mnist.npz",
    output:
        **implicit_tables("vae_time"),
    log:
        "results/{scale}/logs/implicit/vae_time.log",
    benchmark:
        "results/{scale}/benchmarks/implicit/vae_time.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=1,
    params:
        settings=implicit_time_settings,
        code=code("elbogap.experiments.implicit.vae_time"),
        files=files,
    message:
        "implicit: seconds per iteration ({wildcards.scale})"
    shell:
        "python -m elbogap implicit.vae_time --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule implicit_fig06_vcd_steps:
    input:
        steps=f"{IMPLICIT}/tab_vcd_steps.csv",
        time=f"{IMPLICIT}/tab_vcd_time.csv",
    output:
        pdf="figures/{scale}/implicit/fig06_vcd_steps.pdf",
        png=reported("figures/{scale}/implicit/fig06_vcd_steps.png"),
    log:
        "results/{scale}/logs/implicit/fig06_vcd_steps.log",
    benchmark:
        "results/{scale}/benchmarks/implicit/fig06_vcd_steps.jsonl"
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("elbogap.figures.implicit"),
        files=files,
    shell:
        "python -m elbogap figure implicit.fig06_vcd_steps --scale {wildcards.scale:q} {params.files} > {log:q} 2>&1"
