"""Document qiw (001): importance-weighted autoencoders reinterpreted."""
