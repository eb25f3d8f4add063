# Document mapa: surrogate decoders, posteriors, network passes, and the density grid of trained models.

MAPA_PROBLEMS = ("absolute_value", "circle", "clusters", "figure_8", "spiral_dots")
MAPA_VARIANTS = (*MAPA_PROBLEMS, "absolute_value_folded")

MAPA = "results/{scale}/mapa"

# The tables that each figure is drawn from.
MAPA_FIGURES = {
    "fig01_intuition": {"intuition": f"{MAPA}/intuition.npz"},
    "fig02_summary": {
        "density": f"{MAPA}/tab_density.csv",
        "passes": f"{MAPA}/passes.csv",
        "training": f"{MAPA}/tab_training_passes.csv",
    },
    "fig03_density": {"density": f"{MAPA}/tab_density.csv"},
    "fig04_passes_decoder": {"passes": f"{MAPA}/passes.csv"},
    "fig05_passes_both": {"passes": f"{MAPA}/passes.csv"},
    **{
        f"fig{number:02}_posterior_{problem}": {
            "posteriors": f"{MAPA}/posteriors_{problem}.npz",
            "points": f"{MAPA}/posterior_points_{problem}.csv",
        }
        for number, problem in enumerate(MAPA_PROBLEMS, start=6)
    },
    **{
        f"{number}_nonident_{problem}": {
            "curves": f"{MAPA}/nonident_{problem}.npz",
            "points": f"{MAPA}/nonident_{problem}.csv",
        }
        for number, problem in (
            ("fig11", "absolute_value"),
            ("fig", "absolute_value_folded"),
            ("fig12", "circle"),
        )
    },
    "fig_gaps": {"gaps": f"{MAPA}/tab_gaps.csv"},
}

# Tables made of one per problem: the experiment's problems.
MAPA_GATHERED = {
    "protocol": MAPA_PROBLEMS,
    "gaps": MAPA_PROBLEMS,
    "training_passes": MAPA_PROBLEMS,
    "nonident": ("absolute_value", "absolute_value_folded", "circle"),
}

targets["mapa"] += [
    f"figures/{{scale}}/mapa/{name}.{suffix}" for name in MAPA_FIGURES for suffix in ("pdf", "png")
]
targets["mapa"] += [
    f"{MAPA}/tab_{name}.csv"
    for name in (
        "surrogates",
        "posterior_kl",
        "density",
        "orderings",
        "recovery",
        "bound_identities",
        *MAPA_GATHERED,
    )
]


wildcard_constraints:
    cell=CELL,


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
        "python -m elbogap mapa.surrogate --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--keys problem={wildcards.problem:q} --threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule mapa_surrogate_check:
    input:
        **{name: f"results/{{scale}}/mapa/surrogate_{name}.npz" for name in MAPA_VARIANTS},
    output:
        surrogates=reported("results/{scale}/mapa/tab_surrogates.csv"),
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
        "python -m elbogap mapa.surrogate_check --scale {wildcards.scale:q} --settings {params.settings:q} "
        "{params.files} --threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


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
        "python -m elbogap mapa.intuition --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


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
        "python -m elbogap mapa.posteriors --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--keys problem={wildcards.problem:q} --threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule mapa_posterior_kl:
    input:
        **{name: f"results/{{scale}}/mapa/surrogate_{name}.npz" for name in MAPA_VARIANTS},
    output:
        posterior_kl=reported("results/{scale}/mapa/tab_posterior_kl.csv"),
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
        "python -m elbogap mapa.posterior_kl --scale {wildcards.scale:q} --settings {params.settings:q} "
        "{params.files} --threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


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
        "python -m elbogap mapa.passes --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule mapa_train:
    input:
        surrogate="results/{scale}/mapa/surrogate_{problem}.npz",
    output:
        models="results/{scale}/mapa/models/{problem}_{cell}.npz",
    log:
        "results/{scale}/logs/mapa/train_{problem}_{cell}.log",
    benchmark:
        "results/{scale}/benchmarks/mapa/train_{problem}_{cell}.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=1,
    params:
        settings=settings("mapa.train"),
        code=code("elbogap.experiments.mapa.train"),
        files=files,
    message:
        "mapa: {wildcards.cell} trained on {wildcards.problem} ({wildcards.scale})"
    shell:
        "python -m elbogap mapa.train --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--keys problem={wildcards.problem:q} cell={wildcards.cell:q} --threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule mapa_density:
    input:
        unpack(models_of("mapa.density")),
        surrogate="results/{scale}/mapa/surrogate_{problem}.npz",
    output:
        density="results/{scale}/mapa/density_{problem}.csv",
    log:
        "results/{scale}/logs/mapa/density_{problem}.log",
    benchmark:
        "results/{scale}/benchmarks/mapa/density_{problem}.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=1,
    params:
        settings=settings("mapa.density"),
        code=code("elbogap.experiments.mapa.density"),
        files=files,
    message:
        "mapa: exact likelihoods of all models of {wildcards.problem} ({wildcards.scale})"
    shell:
        "python -m elbogap mapa.density --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--keys problem={wildcards.problem:q} --threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule mapa_density_summary:
    input:
        **{name: f"results/{{scale}}/mapa/density_{name}.csv" for name in MAPA_PROBLEMS},
    output:
        density=reported("results/{scale}/mapa/tab_density.csv"),
        orderings=reported("results/{scale}/mapa/tab_orderings.csv"),
        recovery=reported("results/{scale}/mapa/tab_recovery.csv"),
    log:
        "results/{scale}/logs/mapa/density_summary.log",
    benchmark:
        "results/{scale}/benchmarks/mapa/density_summary.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=0,
    params:
        settings=settings("mapa.density_summary"),
        code=code("elbogap.experiments.mapa.density_summary"),
        files=files,
    message:
        "mapa: test divergences and orderings ({wildcards.scale})"
    shell:
        "python -m elbogap mapa.density_summary --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule mapa_protocol:
    input:
        unpack(models_of("mapa.protocol")),
        surrogate="results/{scale}/mapa/surrogate_{problem}.npz",
        density="results/{scale}/mapa/density_{problem}.csv",
    output:
        protocol="results/{scale}/mapa/protocol_{problem}.csv",
        timing="results/{scale}/mapa/protocol_timing_{problem}.json",
    log:
        "results/{scale}/logs/mapa/protocol_{problem}.log",
    benchmark:
        "results/{scale}/benchmarks/mapa/protocol_{problem}.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=1,
    params:
        settings=settings("mapa.protocol"),
        code=code("elbogap.experiments.mapa.protocol"),
        files=files,
    message:
        "mapa: the document's estimate of the likelihood on {wildcards.problem} ({wildcards.scale})"
    shell:
        "python -m elbogap mapa.protocol --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--keys problem={wildcards.problem:q} --threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule mapa_gaps:
    input:
        unpack(models_of("mapa.gaps")),
        surrogate="results/{scale}/mapa/surrogate_{problem}.npz",
        density="results/{scale}/mapa/density_{problem}.csv",
    output:
        gaps="results/{scale}/mapa/gaps_{problem}.csv",
    log:
        "results/{scale}/logs/mapa/gaps_{problem}.log",
    benchmark:
        "results/{scale}/benchmarks/mapa/gaps_{problem}.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=0,
    params:
        settings=settings("mapa.gaps"),
        code=code("elbogap.experiments.mapa.gaps"),
        files=files,
    message:
        "mapa: gap decomposition on {wildcards.problem} ({wildcards.scale})"
    shell:
        "python -m elbogap mapa.gaps --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--keys problem={wildcards.problem:q} --threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule mapa_training_passes:
    input:
        unpack(models_of("mapa.training_passes")),
        surrogate="results/{scale}/mapa/surrogate_{problem}.npz",
    output:
        passes="results/{scale}/mapa/training_passes_{problem}.csv",
    log:
        "results/{scale}/logs/mapa/training_passes_{problem}.log",
    benchmark:
        "results/{scale}/benchmarks/mapa/training_passes_{problem}.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=0,
    params:
        settings=settings("mapa.training_passes"),
        code=code("elbogap.experiments.mapa.training_passes"),
        files=files,
    message:
        "mapa: passes in training on {wildcards.problem} ({wildcards.scale})"
    shell:
        "python -m elbogap mapa.training_passes --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--keys problem={wildcards.problem:q} --threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule mapa_nonidentifiability:
    input:
        models="results/{scale}/mapa/models/{problem}_vae.npz",
        surrogate="results/{scale}/mapa/surrogate_{problem}.npz",
    output:
        curves="results/{scale}/mapa/nonident_{problem}.npz",
        points="results/{scale}/mapa/nonident_{problem}.csv",
    log:
        "results/{scale}/logs/mapa/nonidentifiability_{problem}.log",
    benchmark:
        "results/{scale}/benchmarks/mapa/nonidentifiability_{problem}.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=0,
    params:
        settings=settings("mapa.nonidentifiability"),
        code=code("elbogap.experiments.mapa.nonidentifiability"),
        files=files,
    message:
        "mapa: two decoders of one distribution, {wildcards.problem} ({wildcards.scale})"
    shell:
        "python -m elbogap mapa.nonidentifiability --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--keys problem={wildcards.problem:q} --threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule mapa_bound_identities:
    input:
        **{name: f"results/{{scale}}/mapa/surrogate_{name}.npz" for name in MAPA_PROBLEMS},
    output:
        identities=reported("results/{scale}/mapa/tab_bound_identities.csv"),
    log:
        "results/{scale}/logs/mapa/bound_identities.log",
    benchmark:
        "results/{scale}/benchmarks/mapa/bound_identities.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=0,
    params:
        settings=settings("mapa.bound_identities"),
        code=code("elbogap.experiments.mapa.bound_identities"),
        files=files,
    message:
        "mapa: algebra of the bound ({wildcards.scale})"
    shell:
        "python -m elbogap mapa.bound_identities --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


for name, problems in MAPA_GATHERED.items():

    rule:
        name:
            f"mapa_tab_{name}"
        input:
            **{problem: f"results/{{scale}}/mapa/{name}_{problem}.csv" for problem in problems},
        output:
            table=reported(f"results/{{scale}}/mapa/tab_{name}.csv"),
        log:
            f"results/{{scale}}/logs/mapa/tab_{name}.log",
        benchmark:
            f"results/{{scale}}/benchmarks/mapa/tab_{name}.jsonl"
        conda:
            "../../envs/environment.yaml"
        params:
            settings=settings("mapa.gather"),
            code=code("elbogap.experiments.mapa.gather"),
            files=files,
        shell:
            "python -m elbogap mapa.gather --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
            "> {log:q} 2>&1"


for name, tables in MAPA_FIGURES.items():

    rule:
        name:
            f"mapa_{name}"
        input:
            **tables,
        output:
            pdf=f"figures/{{scale}}/mapa/{name}.pdf",
            png=reported(f"figures/{{scale}}/mapa/{name}.png"),
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
            "python -m elbogap figure mapa.{params.name:q} --scale {wildcards.scale:q} {params.files} > {log:q} 2>&1"
