"""Variational inference: `families` of q(z|x), `objectives` that are maximised over q, and exact references.

A family draws z and evaluates log q(z). An objective estimates a bound and its gradient from a family and a
log-joint. Both declare the standard noise that they need; it is drawn outside, so that a training step is a
deterministic function of tensors:

    specs = objective.noise(S, dimensions=D)
    estimate = objective.estimate(q, log_joint, noise.draw(specs, generator))
    loss = -estimate.mean()

`examples/bayesian_logistic_regression.py` is a plain loop; `elbogap.ensemble` trains many members at once.
Plain functions are in `bounds` (of given log-weights), `importance` (resampling), `hmc` and `lbfgs`; exact
results in `exact_importance`, `exponential_family`, `empirical`, `denoising` and `prior_recovery`.
"""
