"""Typed settings: a model per document, and the scale files that assign its values."""
