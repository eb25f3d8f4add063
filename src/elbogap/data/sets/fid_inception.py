"""The weights of the Inception network for the FID: no arrays, they are used as a file."""

from elbogap.data.definition import Definition, StandIn

DEFINITION = Definition(
    "fid_inception",
    {"canonical": lambda path: {}, "torchscript": lambda path: {}},
    StandIn(
        "A few features of a small random network, drawn by its user from the seed in the record; no arrays.",
        {"recipe": "random features", "seed": 9},
        lambda parameters: {},
    ),
)
