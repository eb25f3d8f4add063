"""The experiments of document qiw: each module is one, `python -m elbogap qiw.<module>`."""
