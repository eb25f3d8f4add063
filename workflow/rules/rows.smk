# The rules of all documents, made from their rows: one for each experiment and one for each figure.

for row in experiments:

    rule:
        name:
            row.name.replace(".", "_")
        input:
            unpack(row.input),
        output:
            **row.output,
        log:
            f"results/{{scale}}/logs/{row.record}.log",
        benchmark:
            f"results/{{scale}}/benchmarks/{row.record}.jsonl"
        conda:
            "../../envs/environment.yaml"
        threads: 1
        resources:
            **row.resources,
        params:
            name=row.module,
            settings=row.settings or settings(row.module),
            code=code(experiment_module(row.module)),
            files=row.files,
        message:
            f"{row.document}: {row.does} ({{wildcards.scale}})"
        shell:
            "python -m elbogap {params.name:q} --scale {wildcards.scale:q} --settings {params.settings:q} "
            "{params.files} --threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


for name, tables in figures.items():

    rule:
        name:
            name.replace(".", "_")
        input:
            **files_of(name.partition(".")[0], tables),
        output:
            pdf=figure_file(name, "pdf"),
            png=reported(figure_file(name, "png")),
        log:
            f"results/{{scale}}/logs/{name.replace('.', '/')}.log",
        benchmark:
            f"results/{{scale}}/benchmarks/{name.replace('.', '/')}.jsonl"
        group:
            "drawings"
        conda:
            "../../envs/environment.yaml"
        params:
            code=code(figures_module(name.partition(".")[0])),
            files=files,
            name=name,
        shell:
            "python -m elbogap figure {params.name:q} --scale {wildcards.scale:q} {params.files} "
            "> {log:q} 2>&1"
