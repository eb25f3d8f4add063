"""The jobs of the workflow as a list that can be worked off without Snakemake."""
