# Document implicit: implicit and semi-implicit distributions, and approximations refined by Markov chains.

IMPLICIT = "results/{scale}/implicit"

# == density_ratio ==


# == toys ==


# == identities ==


# == vcd_toys ==


# == regression ==


# == vae ==
