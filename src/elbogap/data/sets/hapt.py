"""HAPT, 7,767 / 3,162 windows of twelve activities; train and test have different ones of 30 subjects.

Arrays: `{train,test}` float32 (n, 561) in [-1, 1], no unit; `*_label` uint8 0..11, `*_subject` uint8 1..30.
"""

from pathlib import Path

import numpy as np

from elbogap.data import formats
from elbogap.data.definition import Arrays, Definition, Parameters, StandIn
from elbogap.runtime import numpy_generator


def read(path: Path) -> Arrays:
    """From the official archive, or the rebuilt features in 1 / 32767."""
    stored = formats.hapt_zip(path) if path.suffix == ".zip" else formats.npz(path)
    arrays: Arrays = {}
    for split in ("train", "test"):
        features = stored[f"{split}_x"]
        if features.dtype == np.int16:
            features = features.astype(np.float32) / np.float32(32767)
        arrays[split] = features
        arrays[f"{split}_label"] = stored[f"{split}_y"] - np.uint8(1)
        arrays[f"{split}_subject"] = stored[f"{split}_subject"]
    return arrays


def activities(parameters: Parameters) -> Arrays:
    """The stand-in: x = tanh(class mean + low-rank noise + noise)."""
    seed, classes, features, rank = parameters["seed"], 12, 561, 20
    random = numpy_generator(seed, "stand-in", "activities")
    mean = 0.35 * random.standard_normal((classes, features))
    loading = random.standard_normal((rank, features)) / np.sqrt(rank)
    arrays: Arrays = {}
    for split in ("train", "test"):
        random = numpy_generator(seed, "stand-in", "activities", split)
        label = random.integers(classes, size=(parameters[split],)).astype(np.uint8)
        shared = random.standard_normal((len(label), rank)) @ loading
        own = 0.3 * random.standard_normal((len(label), features))
        arrays[split] = np.tanh(mean[label] + shared + own).astype(np.float32)
        arrays[f"{split}_label"] = label
        arrays[f"{split}_subject"] = random.integers(1, 31, size=len(label)).astype(np.uint8)
    return arrays


DEFINITION = Definition(
    "hapt",
    {"canonical": read, "mirror": read},
    StandIn(
        "Twelve classes of 561 features in [-1, 1]: x = tanh(class mean + low-rank noise + noise).",
        {"recipe": "activities", "seed": 7, "train": 2000, "test": 500},
        activities,
    ),
)
