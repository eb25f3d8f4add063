"""Figures of document implicit, each a function of its tables."""

# == density_ratio ==


# == toys ==


# == vcd_toys ==


# == regression ==


# == vae ==
