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


wildcard_constraints:
    scale="|".join(SCALES),


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/mapa.smk"
include: "workflow/rules/qiw.smk"
include: "workflow/rules/report.smk"


rule all:
    input:
        product("laptop"),
    default_target: True


rule smoke:
    input:
        product("smoke"),


rule paper_scale:
    input:
        product("paper"),
