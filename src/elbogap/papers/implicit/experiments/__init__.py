"""The experiments of document implicit: each module is one, `python -m elbogap implicit.<module>`."""
