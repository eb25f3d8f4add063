# Document mapa: surrogate decoders, posteriors and network passes.

MAPA_PROBLEMS = ("absolute_value", "circle", "clusters", "figure_8", "spiral_dots")
MAPA_VARIANTS = (*MAPA_PROBLEMS, "absolute_value_folded")

MAPA_POSTERIORS = {
    "fig06_posterior_absolute_value": "Figure 6",
    "fig07_posterior_circle": "Figure 7",
    "fig08_posterior_clusters": "Figure 8",
    "fig09_posterior_figure_8": "Figure 9",
    "fig10_posterior_spiral_dots": "Figure 10",
}

targets["mapa"] += [
    f"figures/{{scale}}/mapa/{name}.{suffix}"
    for name in ("fig01_intuition", "fig04_passes_decoder", "fig05_passes_both", *MAPA_POSTERIORS)
    for suffix in ("pdf", "png")
]
targets["mapa"] += [
    "results/{scale}/mapa/tab_posterior_kl.csv",
    "results/{scale}/mapa/tab_surrogates.csv",
]


rule mapa_surrogate:
    output:
        surrogate="results/{scale}/mapa/surrogate_{problem}.npz",
    log:
        "results/{scale}/logs/mapa/surrogate_{problem}.log",
    benchmark:
        "results/{scale}/benchmarks/mapa/surrogate_{problem}.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=0,
    params:
        settings=settings("mapa.surrogate"),
        code=code("elbogap.experiments.mapa.surrogate"),
        files=files,
    message:
        "mapa: surrogate decoder of {wildcards.problem} ({wildcards.scale})"
    shell:
        "python -m elbogap mapa.surrogate --scale {wildcards.scale} --settings {params.settings:q} {params.files} "
        "--keys problem={wildcards.problem} --threads {threads} --gpus {resources.gpu} > {log} 2>&1"


rule mapa_surrogate_check:
    input:
        **{name: f"results/{{scale}}/mapa/surrogate_{name}.npz" for name in MAPA_VARIANTS},
    output:
        surrogates=report(
            "results/{scale}/mapa/tab_surrogates.csv",
            caption="../report/mapa_tab_surrogates.rst",
            category="mapa",
            labels={"item": "Surrogate decoders", "scale": "{scale}"},
        ),
    log:
        "results/{scale}/logs/mapa/surrogate_check.log",
    benchmark:
        "results/{scale}/benchmarks/mapa/surrogate_check.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=0,
    params:
        settings=settings("mapa.surrogate_check"),
        code=code("elbogap.experiments.mapa.surrogate_check"),
        files=files,
    message:
        "mapa: errors of the surrogate decoders ({wildcards.scale})"
    shell:
        "python -m elbogap mapa.surrogate_check --scale {wildcards.scale} --settings {params.settings:q} "
        "{params.files} --threads {threads} --gpus {resources.gpu} > {log} 2>&1"


rule mapa_intuition:
    output:
        intuition="results/{scale}/mapa/intuition.npz",
    log:
        "results/{scale}/logs/mapa/intuition.log",
    benchmark:
        "results/{scale}/benchmarks/mapa/intuition.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=0,
    params:
        settings=settings("mapa.intuition"),
        code=code("elbogap.experiments.mapa.intuition"),
        files=files,
    message:
        "mapa: two decoders with one marginal ({wildcards.scale})"
    shell:
        "python -m elbogap mapa.intuition --scale {wildcards.scale} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log} 2>&1"


rule mapa_posteriors:
    input:
        surrogate="results/{scale}/mapa/surrogate_{problem}.npz",
    output:
        posteriors="results/{scale}/mapa/posteriors_{problem}.npz",
        points="results/{scale}/mapa/posterior_points_{problem}.csv",
    log:
        "results/{scale}/logs/mapa/posteriors_{problem}.log",
    benchmark:
        "results/{scale}/benchmarks/mapa/posteriors_{problem}.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=0,
    params:
        settings=settings("mapa.posteriors"),
        code=code("elbogap.experiments.mapa.posteriors"),
        files=files,
    message:
        "mapa: posteriors of chosen observations of {wildcards.problem} ({wildcards.scale})"
    shell:
        "python -m elbogap mapa.posteriors --scale {wildcards.scale} --settings {params.settings:q} {params.files} "
        "--keys problem={wildcards.problem} --threads {threads} --gpus {resources.gpu} > {log} 2>&1"


rule mapa_posterior_kl:
    input:
        **{name: f"results/{{scale}}/mapa/surrogate_{name}.npz" for name in MAPA_VARIANTS},
    output:
        posterior_kl=report(
            "results/{scale}/mapa/tab_posterior_kl.csv",
            caption="../report/mapa_tab_posterior_kl.rst",
            category="mapa",
            labels={"item": "Divergences of Figures 6 to 10", "scale": "{scale}"},
        ),
    log:
        "results/{scale}/logs/mapa/posterior_kl.log",
    benchmark:
        "results/{scale}/benchmarks/mapa/posterior_kl.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=0,
    params:
        settings=settings("mapa.posterior_kl"),
        code=code("elbogap.experiments.mapa.posterior_kl"),
        files=files,
    message:
        "mapa: divergence of MAPA from the posterior on all problems ({wildcards.scale})"
    shell:
        "python -m elbogap mapa.posterior_kl --scale {wildcards.scale} --settings {params.settings:q} "
        "{params.files} --threads {threads} --gpus {resources.gpu} > {log} 2>&1"


rule mapa_passes:
    input:
        **{name: f"results/{{scale}}/mapa/surrogate_{name}.npz" for name in MAPA_PROBLEMS},
    output:
        passes="results/{scale}/mapa/passes.csv",
    log:
        "results/{scale}/logs/mapa/passes.log",
    benchmark:
        "results/{scale}/benchmarks/mapa/passes.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=0,
    params:
        settings=settings("mapa.passes"),
        code=code("elbogap.experiments.mapa.passes"),
        files=files,
    message:
        "mapa: network passes per gradient step ({wildcards.scale})"
    shell:
        "python -m elbogap mapa.passes --scale {wildcards.scale} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log} 2>&1"


rule mapa_fig01_intuition:
    input:
        intuition="results/{scale}/mapa/intuition.npz",
    output:
        pdf="figures/{scale}/mapa/fig01_intuition.pdf",
        png=report(
            "figures/{scale}/mapa/fig01_intuition.png",
            caption="../report/mapa_fig01_intuition.rst",
            category="mapa",
            labels={"item": "Figure 1", "scale": "{scale}"},
        ),
    log:
        "results/{scale}/logs/mapa/fig01_intuition.log",
    benchmark:
        "results/{scale}/benchmarks/mapa/fig01_intuition.jsonl"
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("elbogap.figures.mapa"),
        files=files,
    shell:
        "python -m elbogap figure mapa.fig01_intuition --scale {wildcards.scale} {params.files} > {log} 2>&1"


rule mapa_fig04_passes_decoder:
    input:
        passes="results/{scale}/mapa/passes.csv",
    output:
        pdf="figures/{scale}/mapa/fig04_passes_decoder.pdf",
        png=report(
            "figures/{scale}/mapa/fig04_passes_decoder.png",
            caption="../report/mapa_fig04_passes_decoder.rst",
            category="mapa",
            labels={"item": "Figure 4", "scale": "{scale}"},
        ),
    log:
        "results/{scale}/logs/mapa/fig04_passes_decoder.log",
    benchmark:
        "results/{scale}/benchmarks/mapa/fig04_passes_decoder.jsonl"
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("elbogap.figures.mapa"),
        files=files,
    shell:
        "python -m elbogap figure mapa.fig04_passes_decoder --scale {wildcards.scale} {params.files} > {log} 2>&1"


rule mapa_fig05_passes_both:
    input:
        passes="results/{scale}/mapa/passes.csv",
    output:
        pdf="figures/{scale}/mapa/fig05_passes_both.pdf",
        png=report(
            "figures/{scale}/mapa/fig05_passes_both.png",
            caption="../report/mapa_fig05_passes_both.rst",
            category="mapa",
            labels={"item": "Figure 5", "scale": "{scale}"},
        ),
    log:
        "results/{scale}/logs/mapa/fig05_passes_both.log",
    benchmark:
        "results/{scale}/benchmarks/mapa/fig05_passes_both.jsonl"
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("elbogap.figures.mapa"),
        files=files,
    shell:
        "python -m elbogap figure mapa.fig05_passes_both --scale {wildcards.scale} {params.files} > {log} 2>&1"


for name, item in MAPA_POSTERIORS.items():

    rule:
        name:
            f"mapa_{name}"
        input:
            posteriors=f"results/{{scale}}/mapa/posteriors_{name.partition('_posterior_')[2]}.npz",
            points=f"results/{{scale}}/mapa/posterior_points_{name.partition('_posterior_')[2]}.csv",
        output:
            pdf=f"figures/{{scale}}/mapa/{name}.pdf",
            png=report(
                f"figures/{{scale}}/mapa/{name}.png",
                caption=f"../report/mapa_{name}.rst",
                category="mapa",
                labels={"item": item, "scale": "{scale}"},
            ),
        log:
            f"results/{{scale}}/logs/mapa/{name}.log",
        benchmark:
            f"results/{{scale}}/benchmarks/mapa/{name}.jsonl"
        conda:
            "../../envs/environment.yaml"
        params:
            code=code("elbogap.figures.mapa"),
            files=files,
            name=name,
        shell:
            "python -m elbogap figure mapa.{params.name} --scale {wildcards.scale} {params.files} > {log} 2>&1"
