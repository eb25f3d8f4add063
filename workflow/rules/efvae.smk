# Document efvae: what the ELBO does to decoders of exponential-family VAEs.

EFVAE = "results/{scale}/efvae"

# == toy ==


# == theory ==


# == newsgroups ==

EFVAE_PUBLISHED = os.path.relpath(ROOT / "paper" / "published" / "efvae_newsgroups.csv")

targets["efvae"] += [
    *(f"{EFVAE}/{name}.csv" for name in ("tab02_newsgroups", "tab_newsgroups_baselines", "tab_retrieval")),
    *(f"figures/{{scale}}/efvae/fig_newsgroups.{suffix}" for suffix in ("pdf", "png")),
]


rule efvae_documents:
    input:
        data="results/{scale}/data/newsgroups.json",
    output:
        documents="results/{scale}/efvae/documents.npz",
        baselines=report(
            "results/{scale}/efvae/tab_newsgroups_baselines.csv",
            caption="../report/efvae_tab_newsgroups_baselines.rst",
            category="efvae",
            labels={"item": "Unigram models of 20 Newsgroups", "scale": "{scale}"},
        ),
    log:
        "results/{scale}/logs/efvae/documents.log",
    benchmark:
        "results/{scale}/benchmarks/efvae/documents.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=0,
    params:
        settings=settings("efvae.documents"),
        code=code("elbogap.experiments.efvae.documents"),
        files=files,
    message:
        "efvae: words and documents of 20 Newsgroups ({wildcards.scale})"
    shell:
        "python -m elbogap efvae.documents --scale {wildcards.scale} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log} 2>&1"


rule efvae_newsgroups_train:
    input:
        documents="results/{scale}/efvae/documents.npz",
    output:
        curves="results/{scale}/efvae/newsgroups/curves_{trained}.csv",
        codes="results/{scale}/efvae/newsgroups/codes_{trained}.npz",
    log:
        "results/{scale}/logs/efvae/newsgroups_train_{trained}.log",
    benchmark:
        "results/{scale}/benchmarks/efvae/newsgroups_train_{trained}.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=1,
    params:
        settings=settings("efvae.newsgroups_train"),
        code=code("elbogap.experiments.efvae.newsgroups_train"),
        files=files,
    message:
        "efvae: train {wildcards.trained} on 20 Newsgroups ({wildcards.scale})"
    shell:
        "python -m elbogap efvae.newsgroups_train --scale {wildcards.scale} --settings {params.settings:q} {params.files} "
        "--keys cells={wildcards.trained} --threads {threads} --gpus {resources.gpu} > {log} 2>&1"


rule efvae_newsgroups_summary:
    input:
        unpack(efvae_newsgroups_trained),
        documents="results/{scale}/efvae/documents.npz",
        baselines="results/{scale}/efvae/tab_newsgroups_baselines.csv",
        published=EFVAE_PUBLISHED,
    output:
        table=report(
            "results/{scale}/efvae/tab02_newsgroups.csv",
            caption="../report/efvae_tab02_newsgroups.rst",
            category="efvae",
            labels={"item": "Table 2", "scale": "{scale}"},
        ),
        retrieval=report(
            "results/{scale}/efvae/tab_retrieval.csv",
            caption="../report/efvae_tab_retrieval.rst",
            category="efvae",
            labels={"item": "Retrieval by the codes of Table 2", "scale": "{scale}"},
        ),
    log:
        "results/{scale}/logs/efvae/newsgroups_summary.log",
    benchmark:
        "results/{scale}/benchmarks/efvae/newsgroups_summary.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=0,
    params:
        settings=settings("efvae.newsgroups_summary"),
        code=code("elbogap.experiments.efvae.newsgroups_summary"),
        files=files,
    message:
        "efvae: Table 2 and retrieval ({wildcards.scale})"
    shell:
        "python -m elbogap efvae.newsgroups_summary --scale {wildcards.scale} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log} 2>&1"


rule efvae_fig_newsgroups:
    input:
        table=f"{EFVAE}/tab02_newsgroups.csv",
    output:
        pdf="figures/{scale}/efvae/fig_newsgroups.pdf",
        png=report(
            "figures/{scale}/efvae/fig_newsgroups.png",
            caption="../report/efvae_fig_newsgroups.rst",
            category="efvae",
            labels={"item": "Table 2 as a figure", "scale": "{scale}"},
        ),
    log:
        "results/{scale}/logs/efvae/fig_newsgroups.log",
    benchmark:
        "results/{scale}/benchmarks/efvae/fig_newsgroups.jsonl"
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("elbogap.figures.efvae"),
        files=files,
    shell:
        "python -m elbogap figure efvae.fig_newsgroups --scale {wildcards.scale} {params.files} > {log} 2>&1"


# == celeba ==
