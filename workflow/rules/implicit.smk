# Document implicit: implicit and semi-implicit distributions, and approximations refined by Markov chains.

IMPLICIT = "results/{scale}/implicit"

# == density_ratio ==


# == toys ==


# == identities ==


# == vcd_toys ==

targets["implicit"] += [
    f"figures/{{scale}}/implicit/{name}.{suffix}"
    for name in ("fig05_vcd_toys", "fig07_alpha_vcd")
    for suffix in ("pdf", "png")
]
targets["implicit"] += [f"{IMPLICIT}/tab_{name}.csv" for name in ("vcd_toys", "alpha_vcd", "vcd_properties")]


rule implicit_vcd_toys:
    output:
        toys=report(
            f"{IMPLICIT}/tab_vcd_toys.csv",
            caption="../report/implicit_tab_vcd_toys.rst",
            category="implicit",
            labels={"item": "Slide 59 in numbers", "scale": "{scale}"},
        ),
        alpha=report(
            f"{IMPLICIT}/tab_alpha_vcd.csv",
            caption="../report/implicit_tab_alpha_vcd.rst",
            category="implicit",
            labels={"item": "Generalized VCD", "scale": "{scale}"},
        ),
        properties=report(
            f"{IMPLICIT}/tab_vcd_properties.csv",
            caption="../report/implicit_tab_vcd_properties.rst",
            category="implicit",
            labels={"item": "Properties of the VCD", "scale": "{scale}"},
        ),
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
        "python -m elbogap implicit.vcd_toys --scale {wildcards.scale} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log} 2>&1"


rule implicit_fig05_vcd_toys:
    input:
        densities=f"{IMPLICIT}/vcd_toys.npz",
    output:
        pdf="figures/{scale}/implicit/fig05_vcd_toys.pdf",
        png=report(
            "figures/{scale}/implicit/fig05_vcd_toys.png",
            caption="../report/implicit_fig05_vcd_toys.rst",
            category="implicit",
            labels={"item": "Slide 59", "scale": "{scale}"},
        ),
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
        "python -m elbogap figure implicit.fig05_vcd_toys --scale {wildcards.scale} {params.files} > {log} 2>&1"


rule implicit_fig07_alpha_vcd:
    input:
        alpha=f"{IMPLICIT}/tab_alpha_vcd.csv",
        optima=f"{IMPLICIT}/alpha_vcd_optima.csv",
        toys=f"{IMPLICIT}/tab_vcd_toys.csv",
        densities=f"{IMPLICIT}/vcd_toys.npz",
    output:
        pdf="figures/{scale}/implicit/fig07_alpha_vcd.pdf",
        png=report(
            "figures/{scale}/implicit/fig07_alpha_vcd.png",
            caption="../report/implicit_fig07_alpha_vcd.rst",
            category="implicit",
            labels={"item": "Generalized VCD", "scale": "{scale}"},
        ),
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
        "python -m elbogap figure implicit.fig07_alpha_vcd --scale {wildcards.scale} {params.files} > {log} 2>&1"


# == regression ==

# == vae ==
