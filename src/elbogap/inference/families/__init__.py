"""Approximate posteriors: each offers reparameterised draws and a log-density."""
