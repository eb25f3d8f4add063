# Document efvae: what the ELBO does to decoders of exponential-family VAEs.

EFVAE = "results/{scale}/efvae"


targets["efvae"] += [
    *(
        f"figures/{{scale}}/efvae/{name}.{suffix}"
        for name in ("fig01_balance", "fig02_toy")
        for suffix in ("pdf", "png")
    ),
    *(f"{EFVAE}/{name}.csv" for name in ("tab00_toy", "tab_toy_maps")),
]


rule efvae_toy:
    output:
        table=reported(f"{EFVAE}/tab00_toy.csv"),
        maps=reported(f"{EFVAE}/tab_toy_maps.csv"),
        panels=f"{EFVAE}/toy.npz",
        plane=f"{EFVAE}/toy_plane.npz",
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
        "python -m elbogap efvae.toy --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule efvae_fig01_balance:
    input:
        plane=f"{EFVAE}/toy_plane.npz",
    output:
        pdf="figures/{scale}/efvae/fig01_balance.pdf",
        png=reported("figures/{scale}/efvae/fig01_balance.png"),
    log:
        "results/{scale}/logs/efvae/fig01_balance.log",
    benchmark:
        "results/{scale}/benchmarks/efvae/fig01_balance.jsonl"
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("elbogap.figures.efvae"),
        files=files,
    shell:
        "python -m elbogap figure efvae.fig01_balance --scale {wildcards.scale:q} {params.files} > {log:q} 2>&1"


rule efvae_fig02_toy:
    input:
        panels=f"{EFVAE}/toy.npz",
    output:
        pdf="figures/{scale}/efvae/fig02_toy.pdf",
        png=reported("figures/{scale}/efvae/fig02_toy.png"),
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
        "python -m elbogap figure efvae.fig02_toy --scale {wildcards.scale:q} {params.files} > {log:q} 2>&1"


targets["efvae"] += [
    f"{EFVAE}/tab_theory_{name}.csv" for name in ("consistent", "encoder", "affine", "flow", "bound")
]


rule efvae_theory:
    output:
        consistent=reported(f"{EFVAE}/tab_theory_consistent.csv"),
        encoder=reported(f"{EFVAE}/tab_theory_encoder.csv"),
        affine=reported(f"{EFVAE}/tab_theory_affine.csv"),
        flow=reported(f"{EFVAE}/tab_theory_flow.csv"),
        bound=reported(f"{EFVAE}/tab_theory_bound.csv"),
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
        "python -m elbogap efvae.theory --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


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
        baselines=reported("results/{scale}/efvae/tab_newsgroups_baselines.csv"),
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
        "python -m elbogap efvae.documents --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


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
        "python -m elbogap efvae.newsgroups_train --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--keys cells={wildcards.trained:q} --threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule efvae_newsgroups_summary:
    input:
        unpack(efvae_newsgroups_trained),
        documents="results/{scale}/efvae/documents.npz",
        baselines="results/{scale}/efvae/tab_newsgroups_baselines.csv",
        published=EFVAE_PUBLISHED,
    output:
        table=reported("results/{scale}/efvae/tab02_newsgroups.csv"),
        retrieval=reported("results/{scale}/efvae/tab_retrieval.csv"),
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
        "python -m elbogap efvae.newsgroups_summary --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule efvae_fig_newsgroups:
    input:
        table=f"{EFVAE}/tab02_newsgroups.csv",
    output:
        pdf="figures/{scale}/efvae/fig_newsgroups.pdf",
        png=reported("figures/{scale}/efvae/fig_newsgroups.png"),
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
        "python -m elbogap figure efvae.fig_newsgroups --scale {wildcards.scale:q} {params.files} > {log:q} 2>&1"


targets["efvae"] += [f"{EFVAE}/tab01_celeba.csv"]
targets["efvae"] += [
    f"figures/{{scale}}/efvae/{name}.{suffix}"
    for name in ("fig03_redecodings", "fig04_samples")
    for suffix in ("pdf", "png")
]


rule efvae_gan:
    input:
        data="results/{scale}/data/celeba.json",
    output:
        ground_truth=f"{EFVAE}/celeba/ground_truth.npz",
        training=f"{EFVAE}/celeba/gan_training.csv",
    log:
        "results/{scale}/logs/efvae/gan.log",
    benchmark:
        "results/{scale}/benchmarks/efvae/gan.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=1,
    params:
        settings=settings("efvae.gan"),
        code=code("elbogap.experiments.efvae.gan"),
        files=files,
    message:
        "efvae: a GAN as ground truth of CelebA ({wildcards.scale})"
    shell:
        "python -m elbogap efvae.gan --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule efvae_pretrain:
    input:
        ground_truth=f"{EFVAE}/celeba/ground_truth.npz",
    output:
        encoder=f"{EFVAE}/celeba/encoder.npz",
        training=f"{EFVAE}/celeba/pretrain_training.csv",
    log:
        "results/{scale}/logs/efvae/pretrain.log",
    benchmark:
        "results/{scale}/benchmarks/efvae/pretrain.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=1,
    params:
        settings=settings("efvae.pretrain"),
        code=code("elbogap.experiments.efvae.pretrain"),
        files=files,
    message:
        "efvae: encoder of the CelebA ground truth by conditional likelihood ({wildcards.scale})"
    shell:
        "python -m elbogap efvae.pretrain --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule efvae_joint:
    input:
        ground_truth=f"{EFVAE}/celeba/ground_truth.npz",
        encoder=f"{EFVAE}/celeba/encoder.npz",
    output:
        model="results/{scale}/efvae/celeba/joint_{sigma}.npz",
        training="results/{scale}/efvae/celeba/joint_{sigma}_training.csv",
    log:
        "results/{scale}/logs/efvae/joint_{sigma}.log",
    benchmark:
        "results/{scale}/benchmarks/efvae/joint_{sigma}.jsonl"
    wildcard_constraints:
        sigma="fixed|learned",
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=1,
    params:
        settings=settings("efvae.joint"),
        code=code("elbogap.experiments.efvae.joint"),
        files=files,
    message:
        "efvae: decoder and encoder by the ELBO, {wildcards.sigma} sigma ({wildcards.scale})"
    shell:
        "python -m elbogap efvae.joint --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--keys sigma={wildcards.sigma:q} --threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule efvae_celeba_evaluate:
    input:
        inception="results/{scale}/data/fid_inception.json",
        ground_truth=f"{EFVAE}/celeba/ground_truth.npz",
        encoder=f"{EFVAE}/celeba/encoder.npz",
        fixed=f"{EFVAE}/celeba/joint_fixed.npz",
        learned=f"{EFVAE}/celeba/joint_learned.npz",
    output:
        table=reported(f"{EFVAE}/tab01_celeba.csv"),
        pictures=f"{EFVAE}/celeba/pictures.npz",
    log:
        "results/{scale}/logs/efvae/celeba_evaluate.log",
    benchmark:
        "results/{scale}/benchmarks/efvae/celeba_evaluate.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=1,
    params:
        settings=settings("efvae.celeba_evaluate"),
        code=code("elbogap.experiments.efvae.celeba_evaluate"),
        files=files,
    message:
        "efvae: ELBO and Frechet distance of all stages ({wildcards.scale})"
    shell:
        "python -m elbogap efvae.celeba_evaluate --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule efvae_fig03_redecodings:
    input:
        pictures=f"{EFVAE}/celeba/pictures.npz",
    output:
        pdf="figures/{scale}/efvae/fig03_redecodings.pdf",
        png=reported("figures/{scale}/efvae/fig03_redecodings.png"),
    log:
        "results/{scale}/logs/efvae/fig03_redecodings.log",
    benchmark:
        "results/{scale}/benchmarks/efvae/fig03_redecodings.jsonl"
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("elbogap.figures.efvae"),
        files=files,
    shell:
        "python -m elbogap figure efvae.fig03_redecodings --scale {wildcards.scale:q} {params.files} > {log:q} 2>&1"


rule efvae_fig04_samples:
    input:
        pictures=f"{EFVAE}/celeba/pictures.npz",
    output:
        pdf="figures/{scale}/efvae/fig04_samples.pdf",
        png=reported("figures/{scale}/efvae/fig04_samples.png"),
    log:
        "results/{scale}/logs/efvae/fig04_samples.log",
    benchmark:
        "results/{scale}/benchmarks/efvae/fig04_samples.jsonl"
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("elbogap.figures.efvae"),
        files=files,
    shell:
        "python -m elbogap figure efvae.fig04_samples --scale {wildcards.scale:q} {params.files} > {log:q} 2>&1"
