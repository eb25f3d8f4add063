"""Variational inference: q(z|x) from `families`, what is maximised from `objectives`, and exact references.

A family gives draws and log-densities, an objective a value and a gradient of a family on a log-joint. Both
name the standard noise that they take (`noise`), so that a step of training is a function of tensors:

    specs = objective.noise(S, dimensions=D)
    estimate = objective.estimate(q, log_joint, noise.draw(specs, generator))
    loss = -estimate.mean()

`examples/bayesian_logistic_regression.py` is a plain loop, `elbogap.ensemble` trains many members at once.
Without these contracts there are `bounds` of given log-weights, `importance` sampling, `hmc`, and what is
computed exactly: `exact_importance`, `exponential_family`, `empirical`, `denoising`, `prior_recovery`.
"""
