"""Experiments of document implicit."""
