# Document implicit: implicit and semi-implicit distributions, and approximations refined by Markov chains.

IMPLICIT = "results/{scale}/implicit"

# == density_ratio ==


# == toys ==

targets["implicit"] += [
    *(f"figures/{{scale}}/implicit/fig02_uivi_toys.{suffix}" for suffix in ("pdf", "png")),
    "results/{scale}/implicit/tab_uivi_toys.csv",
]


rule implicit_toys:
    output:
        divergences=report(
            "results/{scale}/implicit/tab_uivi_toys.csv",
            caption="../report/implicit_tab_uivi_toys.rst",
            category="implicit",
            labels={"item": "Figure 2 in numbers", "scale": "{scale}"},
        ),
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
        "python -m elbogap implicit.toys --scale {wildcards.scale} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log} 2>&1"


rule implicit_fig02_uivi_toys:
    input:
        draws="results/{scale}/implicit/uivi_toys.npz",
        divergences="results/{scale}/implicit/tab_uivi_toys.csv",
    output:
        pdf="figures/{scale}/implicit/fig02_uivi_toys.pdf",
        png=report(
            "figures/{scale}/implicit/fig02_uivi_toys.png",
            caption="../report/implicit_fig02_uivi_toys.rst",
            category="implicit",
            labels={"item": "Figure 2", "scale": "{scale}"},
        ),
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
        "python -m elbogap figure implicit.fig02_uivi_toys --scale {wildcards.scale} {params.files} > {log} 2>&1"


# == identities ==

targets["implicit"] += [
    f"results/{{scale}}/implicit/{name}.csv" for name in ("tab_sivi_bound", "tab_uivi_gradient")
]


rule implicit_identities:
    output:
        bound=report(
            "results/{scale}/implicit/tab_sivi_bound.csv",
            caption="../report/implicit_tab_sivi_bound.rst",
            category="implicit",
            labels={"item": "Bound of SIVI", "scale": "{scale}"},
        ),
        gradient=report(
            "results/{scale}/implicit/tab_uivi_gradient.csv",
            caption="../report/implicit_tab_uivi_gradient.rst",
            category="implicit",
            labels={"item": "Gradients of UIVI and SIVI", "scale": "{scale}"},
        ),
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
        "python -m elbogap implicit.identities --scale {wildcards.scale} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log} 2>&1"


# == vcd_toys ==


# == regression ==

# == vae ==
