# Document implicit: implicit and semi-implicit distributions, and approximations refined by Markov chains.

IMPLICIT = "results/{scale}/implicit"

# == density_ratio ==

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
        table=report(
            "results/{scale}/implicit/tab_density_ratio.csv",
            caption="../report/implicit_tab_density_ratio.rst",
            category="implicit",
            labels={"item": "Part I in numbers", "scale": "{scale}"},
        ),
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
        "python -m elbogap implicit.density_ratio --scale {wildcards.scale} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log} 2>&1"


rule implicit_fig01_density_ratio:
    input:
        curves="results/{scale}/implicit/density_ratio_curves.csv",
        samples="results/{scale}/implicit/density_ratio_samples.npz",
        dimensions="results/{scale}/implicit/density_ratio_dimensions.csv",
        table="results/{scale}/implicit/tab_density_ratio.csv",
    output:
        pdf="figures/{scale}/implicit/fig01_density_ratio.pdf",
        png=report(
            "figures/{scale}/implicit/fig01_density_ratio.png",
            caption="../report/implicit_fig01_density_ratio.rst",
            category="implicit",
            labels={"item": "Part I", "scale": "{scale}"},
        ),
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
        "python -m elbogap figure implicit.fig01_density_ratio --scale {wildcards.scale} {params.files} > {log} 2>&1"


# == toys ==


# == identities ==


# == vcd_toys ==


# == regression ==


# == vae ==
