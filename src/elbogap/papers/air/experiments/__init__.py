"""The experiments of document air: each module is one, `python -m elbogap air.<module>`."""
