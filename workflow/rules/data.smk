# Which data each scale rests on: the record of a data set says real or stand-in, and is what experiments take.


wildcard_constraints:
    dataset="[a-z0-9_]+",


rule dataset:
    output:
        record="results/{scale}/data/{dataset}.json",
    log:
        "results/{scale}/logs/data/{dataset}.log",
    benchmark:
        "results/{scale}/benchmarks/data/{dataset}.jsonl"
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        policy=stand_ins,
        state=data_state,
        code=code("elbogap.data.records"),
        files=files,
    shell:
        "python -m elbogap data record {wildcards.dataset:q} --stand-ins {params.policy:q} --state {params.state:q}"
        " {params.files} 2>&1 | tee {log:q}"
