"""The experiments of document implicit: each module is one, `python -m elbogap implicit.<module>`.

The columns of their tables are explained in `paper/implicit/captions`.
"""
