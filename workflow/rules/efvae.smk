# Document efvae: what the ELBO does to decoders of exponential-family VAEs.

EFVAE = "results/{scale}/efvae"

# == toy ==

targets["efvae"] += [
    *(f"figures/{{scale}}/efvae/fig02_toy.{suffix}" for suffix in ("pdf", "png")),
    *(f"{EFVAE}/{name}.csv" for name in ("tab00_toy", "tab_toy_maps")),
]


rule efvae_toy:
    output:
        table=report(
            f"{EFVAE}/tab00_toy.csv",
            caption="../report/efvae_tab00_toy.rst",
            category="efvae",
            labels={"item": "Appendix C.1", "scale": "{scale}"},
        ),
        maps=report(
            f"{EFVAE}/tab_toy_maps.csv",
            caption="../report/efvae_tab_toy_maps.rst",
            category="efvae",
            labels={"item": "Figure 2 in numbers", "scale": "{scale}"},
        ),
        panels=f"{EFVAE}/toy.npz",
    log:
        "results/{scale}/logs/efvae/toy.log",
    benchmark:
        "results/{scale}/benchmarks/efvae/toy.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=0,
    params:
        settings=settings("efvae.toy"),
        code=code("elbogap.experiments.efvae.toy"),
        files=files,
    message:
        "efvae: the mixture of four Gaussians ({wildcards.scale})"
    shell:
        "python -m elbogap efvae.toy --scale {wildcards.scale} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log} 2>&1"


rule efvae_fig02_toy:
    input:
        panels=f"{EFVAE}/toy.npz",
    output:
        pdf="figures/{scale}/efvae/fig02_toy.pdf",
        png=report(
            "figures/{scale}/efvae/fig02_toy.png",
            caption="../report/efvae_fig02_toy.rst",
            category="efvae",
            labels={"item": "Figure 2", "scale": "{scale}"},
        ),
    log:
        "results/{scale}/logs/efvae/fig02_toy.log",
    benchmark:
        "results/{scale}/benchmarks/efvae/fig02_toy.jsonl"
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("elbogap.figures.efvae"),
        files=files,
    shell:
        "python -m elbogap figure efvae.fig02_toy --scale {wildcards.scale} {params.files} > {log} 2>&1"


# == theory ==

targets["efvae"] += [
    f"{EFVAE}/tab_theory_{name}.csv" for name in ("consistent", "encoder", "affine", "flow", "bound")
]


rule efvae_theory:
    output:
        consistent=report(
            f"{EFVAE}/tab_theory_consistent.csv",
            caption="../report/efvae_tab_theory_consistent.rst",
            category="efvae",
            labels={"item": "Theorem 1", "scale": "{scale}"},
        ),
        encoder=report(
            f"{EFVAE}/tab_theory_encoder.csv",
            caption="../report/efvae_tab_theory_encoder.rst",
            category="efvae",
            labels={"item": "Corollary 1", "scale": "{scale}"},
        ),
        affine=report(
            f"{EFVAE}/tab_theory_affine.csv",
            caption="../report/efvae_tab_theory_affine.rst",
            category="efvae",
            labels={"item": "Corollary 2", "scale": "{scale}"},
        ),
        flow=report(
            f"{EFVAE}/tab_theory_flow.csv",
            caption="../report/efvae_tab_theory_flow.rst",
            category="efvae",
            labels={"item": "Example A.1", "scale": "{scale}"},
        ),
        bound=report(
            f"{EFVAE}/tab_theory_bound.csv",
            caption="../report/efvae_tab_theory_bound.rst",
            category="efvae",
            labels={"item": "Theorem 2", "scale": "{scale}"},
        ),
    log:
        "results/{scale}/logs/efvae/theory.log",
    benchmark:
        "results/{scale}/benchmarks/efvae/theory.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=0,
    params:
        settings=settings("efvae.theory"),
        code=code("elbogap.experiments.efvae.theory"),
        files=files,
    message:
        "efvae: consistency results on small models ({wildcards.scale})"
    shell:
        "python -m elbogap efvae.theory --scale {wildcards.scale} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log} 2>&1"


# == newsgroups ==

# == celeba ==
