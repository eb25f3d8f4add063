"""Experiments: one module per figure or table family, from settings to tidy tables (see `elbogap.cli`)."""
