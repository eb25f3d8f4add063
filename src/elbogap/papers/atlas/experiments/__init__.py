"""Experiments of document atlas."""
