"""Random streams: one per purpose, independent of each other, the same on every machine."""

import numpy as np
import torch

from elbogap.runtime import Run, derive_seed, numpy_generator, torch_generator


def test_streams_depend_on_seed_and_purpose_alone() -> None:
    seeds = {derive_seed(seed, *keys) for seed in (0, 1) for keys in [("a",), ("b",), ("a", 1), ("a", "1")]}
    assert len(seeds) == 8
    assert derive_seed(0, "a") == 739273521946992771  # a change would silently change every result


def test_generators_repeat() -> None:
    assert np.array_equal(numpy_generator(3, "x").random(4), numpy_generator(3, "x").random(4))
    assert torch.equal(
        torch.rand(4, generator=torch_generator(3, "x")), torch.rand(4, generator=torch_generator(3, "x"))
    )
    assert not np.array_equal(numpy_generator(3, "x").random(4), numpy_generator(3, "y").random(4))


def test_no_gpu_is_used_unless_granted() -> None:
    assert Run("smoke").device == "cpu"
    assert Run("smoke", gpus=1).device == ("cuda" if torch.cuda.is_available() else "cpu")
