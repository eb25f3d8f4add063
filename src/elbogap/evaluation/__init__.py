"""Oracles and estimators of likelihoods and divergences."""
