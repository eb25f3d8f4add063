"""A claim that the tests of the claims change one key at a time."""

from typing import Any


def claim_values(**changes: Any) -> dict[str, Any]:
    """A valid claim as YAML would give it; a change to None removes the key."""
    values = {
        "id": "toy-kl-falls",
        "item": "Figure 1",
        "statement": "KL falls with k.",
        "table": "toy/tab.csv",
        "check": {"kind": "monotone", "metric": "kl", "along": "k", "direction": "decreasing"},
        "nature": "identity",
        "origin": "ours",
        "exact": True,
        "replicates": "seed",
        "scales": {
            "smoke": {"status": "require", "tolerance": 0.0},
            "laptop": {"status": "report", "tolerance": 0.0},
            "paper": {"status": "skip"},
        },
    } | changes
    return {key: value for key, value in values.items() if value is not None}
