"""The documents: a package each, of settings, experiments, figures and the models that they share."""
