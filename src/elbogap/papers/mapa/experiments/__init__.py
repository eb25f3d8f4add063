"""The experiments of document mapa: each module is one, `python -m elbogap mapa.<module>`."""
