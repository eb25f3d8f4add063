# Document efvae: what the ELBO does to decoders of exponential-family VAEs.

EFVAE = "results/{scale}/efvae"

# == toy ==


# == theory ==


# == newsgroups ==


# == celeba ==

