# Verdicts and the report of a scale.


rule claims_table:
    input:
        claim_tables,
        claim_files,
    output:
        csv="results/{scale}/claims.csv",
        effects="results/{scale}/claims_effects.csv",
        html=report(
            "results/{scale}/claims.html",
            caption="../report/claims.rst",
            category="claims",
            labels=labels("../report/claims.rst"),
        ),
    log:
        "results/{scale}/logs/claims.log",
    benchmark:
        "results/{scale}/benchmarks/claims.jsonl"
    conda:
        "../../envs/environment.yaml"
    params:
        paper=PAPER,
        code=code("elbogap.claims.commands"),
        files=files,
    message:
        "checking the claims at scale {wildcards.scale}"
    shell:
        "python -m elbogap claims --scale {wildcards.scale:q} --paper {params.paper:q} {params.files} > {log:q} 2>&1"


# A step of its own, so that a failed claim leaves the table that explains it.
rule claims_checked:
    input:
        "results/{scale}/claims.csv",
    output:
        touch("results/{scale}/claims.checked"),
    log:
        "results/{scale}/logs/claims_checked.log",
    benchmark:
        "results/{scale}/benchmarks/claims_checked.jsonl"
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("elbogap.claims.commands"),
    shell:
        "python -m elbogap claims-check {input:q} > {log:q} 2>&1"


rule report_pdf:
    input:
        report_inputs,
    output:
        pdf="results/{scale}/report.pdf",
    log:
        "results/{scale}/logs/report.log",
    benchmark:
        "results/{scale}/benchmarks/report.jsonl"
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("elbogap.report.commands"),
        files=files,
    message:
        "typesetting the report of scale {wildcards.scale}"
    shell:
        "python -m elbogap report --scale {wildcards.scale:q} {params.files} > {log:q} 2>&1"
