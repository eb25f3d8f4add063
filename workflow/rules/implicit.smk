# Document implicit: implicit and semi-implicit distributions, and approximations refined by Markov chains.

IMPLICIT = "results/{scale}/implicit"

# == density_ratio ==


# == toys ==


# == identities ==


# == vcd_toys ==


# == regression ==

# Numbers of the document, digitised from the slides.
IMPLICIT_PUBLISHED = os.path.relpath(ROOT / "paper" / "published")

REGRESSION_DATASETS = ("mnist", "hapt")

REGRESSION_FIGURES = {
    "fig03_softmax_regression": (
        "Figure 3",
        {
            f"{kind}_{dataset}": f"{IMPLICIT}/regression_{kind}_{dataset}.csv"
            for kind in ("curves", "timing")
            for dataset in REGRESSION_DATASETS
        },
    ),
    "fig04_hmc_iterations": ("Figure 4", {"curves": f"{IMPLICIT}/hmc_iterations_curves.csv"}),
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
        "python -m elbogap implicit.regression --scale {wildcards.scale} --settings {params.settings:q} {params.files} "
        "--keys dataset={wildcards.dataset} --threads {threads} --gpus {resources.gpu} > {log} 2>&1"


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
        table=report(
            f"{IMPLICIT}/tab_regression.csv",
            caption="../report/implicit_tab_regression.rst",
            category="implicit",
            labels={"item": "Figure 3 in numbers", "scale": "{scale}"},
        ),
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
        "python -m elbogap implicit.regression_summary --scale {wildcards.scale} --settings {params.settings:q} "
        "{params.files} --threads {threads} --gpus {resources.gpu} > {log} 2>&1"


rule implicit_hmc_iterations:
    input:
        data="results/{scale}/data/mnist.json",
        published=f"{IMPLICIT_PUBLISHED}/implicit_hmc_iterations.csv",
    output:
        curves="results/{scale}/implicit/hmc_iterations_curves.csv",
        table=report(
            f"{IMPLICIT}/tab_hmc_iterations.csv",
            caption="../report/implicit_tab_hmc_iterations.rst",
            category="implicit",
            labels={"item": "Figure 4 in numbers", "scale": "{scale}"},
        ),
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
        "python -m elbogap implicit.hmc_iterations --scale {wildcards.scale} --settings {params.settings:q} "
        "{params.files} --threads {threads} --gpus {resources.gpu} > {log} 2>&1"


for name, (item, tables) in REGRESSION_FIGURES.items():

    rule:
        name:
            f"implicit_{name}"
        input:
            **tables,
        output:
            pdf=f"figures/{{scale}}/implicit/{name}.pdf",
            png=report(
                f"figures/{{scale}}/implicit/{name}.png",
                caption=f"../report/implicit_{name}.rst",
                category="implicit",
                labels={"item": item, "scale": "{scale}"},
            ),
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
            "python -m elbogap figure implicit.{params.name} --scale {wildcards.scale} {params.files} > {log} 2>&1"


# == vae ==
