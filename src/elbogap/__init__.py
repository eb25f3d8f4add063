"""elbogap: exact, tested variational bounds, and the replication of five documents built on them."""

__version__ = "0.1.0"
