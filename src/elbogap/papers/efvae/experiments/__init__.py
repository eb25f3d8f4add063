"""The experiments of document efvae: each module is one, `python -m elbogap efvae.<module>`."""
