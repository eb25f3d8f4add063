"""Figures of document efvae, each a function of its tables."""

# == toy ==


# == theory ==


# == newsgroups ==


# == celeba ==
