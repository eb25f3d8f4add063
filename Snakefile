# elbogap: five documents on the gap between the evidence lower bound and the likelihood.
#
#   snakemake --cores 8 all            every figure, table, claim and the report at laptop scale
#   snakemake --cores 8 smoke          the same, tiny, without network
#   snakemake --cores 8 paper_scale    the documents' own settings
#   snakemake --cores 2 figures/laptop/qiw/fig01_posterior_2d.pdf      one figure and what it needs
#
# A scale is a file config/<scale>.yaml and a folder in results/ and figures/: scales never overwrite each other.

from snakemake.utils import min_version

min_version("9.19")


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"


wildcard_constraints:
    scale="|".join(CONFIGS.names),


include: "workflow/rules/data.smk"


for document in DOCUMENTS:

    include: f"workflow/rules/{document}.smk"


include: "workflow/rules/rows.smk"
include: "workflow/rules/report.smk"


# Jobs of this machine fork from an interpreter that has imported torch once; a single job imports what it needs.
# No limit on jobs per second: to keep one, Snakemake wakes once a second for each job that it has ever started.
onstart:
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None
        if len([*workflow.dag.needrun_jobs()]) > 1:
            warm.start()


rule all:
    default_target: True
    input:
        everything(SCALE),


rule products:
    input:
        products(SCALE),


rule smoke:
    input:
        everything("smoke"),


rule paper_scale:
    input:
        everything("paper"),


rule claims:
    input:
        f"results/{SCALE}/claims.checked",


rule report:
    input:
        f"results/{SCALE}/report.pdf",


rule data:
    log:
        "results/logs/data.log",
    localrule: True
    conda:
        "envs/environment.yaml"
    shell:
        "python -m elbogap data fetch 2>&1 | tee {log:q}"


if workflow.is_main_process:
    refuse_misspelt_targets()
