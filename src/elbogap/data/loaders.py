"""From a data record to arrays: the real files, verified again, or the declared stand-in.

Cautions: the test part of fixed-binarised MNIST is sorted by class, so never evaluate on its first rows.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pooch

from elbogap.data import formats, places, stand_ins
from elbogap.errors import UserError

Arrays = dict[str, Any]


@dataclass(frozen=True)
class Dataset:
    """A loaded data set.

    Attributes:
        name: name of the data set.
        kind: `real` or `stand-in`; goes into the `data` column of every table made from it.
        arrays: arrays by name; which, the reader of the data set says.
        record: the record it was loaded from.
        paths: files that are used as files (network weights), by name.
    """

    name: str
    kind: Literal["real", "stand-in"]
    arrays: Mapping[str, Any]
    record: Mapping[str, Any]
    paths: Mapping[str, Path] = field(default_factory=dict)


def load(record_path: Path) -> Dataset:
    """The data set that a record describes.

    Raises:
        UserError: a file of the record is neither in the cache nor in the mirror, or is damaged there; the
            message says how to get it again.
    """
    try:
        record = json.loads(record_path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise UserError(f"{record_path}: no readable data record ({error}); rebuild it") from error
    name = record["dataset"]
    files = [_find(name, file["name"], file["sha256"]) for file in record["files"]]
    if record["kind"] == "stand-in":
        arrays = _stand_in(record, files)
        return Dataset(name, "stand-in", arrays, record)
    return Dataset(name, "real", _read(name, record["variant"], files), record)


def mnist_canonical(train: Path, train_label: Path, test: Path, test_label: Path) -> Arrays:
    """MNIST or Fashion-MNIST from IDX files.

    `{train,valid,test}` uint8 0..255 (n, 784) row-major, `*_label` uint8 0..9; 50,000 / 10,000 / 10,000, where
    the validation part is the last 10,000 of the 60,000 training images.
    """
    images, labels = formats.idx(train)["values"], formats.idx(train_label)["values"]
    return {
        "train": images[:50000],
        "train_label": labels[:50000],
        "valid": images[50000:],
        "valid_label": labels[50000:],
        "test": formats.idx(test)["values"],
        "test_label": formats.idx(test_label)["values"],
    }


def binarized_mnist_canonical(train: Path, valid: Path, test: Path) -> Arrays:
    """`{train,valid,test}` uint8 (n, 784) in {0, 1}, row-major; no labels. The test part is sorted by class."""
    return {
        name: formats.amat(path)["bits"]
        for name, path in {"train": train, "valid": valid, "test": test}.items()
    }


def binarized_mnist_mirror(path: Path) -> Arrays:
    """As :func:`binarized_mnist_canonical`, with `*_label` uint8 0..9 inferred from the grey images."""
    stored = formats.npz(path)
    arrays: Arrays = {}
    for split in ("train", "valid", "test"):
        arrays[split] = formats.bits(stored[f"{split}_bits"])
        arrays[f"{split}_label"] = stored[f"{split}_label_inferred"]
    return arrays


READERS: Mapping[tuple[str, str], Callable[..., Arrays]] = {
    ("mnist", "canonical"): mnist_canonical,
    ("mnist", "pickle"): formats.mnist_pickle,
    ("binarized_mnist", "canonical"): binarized_mnist_canonical,
    ("binarized_mnist", "mirror"): binarized_mnist_mirror,
}


def _read(dataset: str, variant: str, files: list[Path]) -> Arrays:
    try:
        return READERS[dataset, variant](*files)
    except ValueError as error:
        names = ", ".join(path.name for path in files)
        raise UserError(
            f"{dataset}: {names}: {error}; run 'python -m elbogap data fetch {dataset}'"
        ) from error


def _stand_in(record: Mapping[str, Any], files: list[Path]) -> Arrays:
    parameters = record["stand_in"]
    if parameters["recipe"] == stand_ins.BERNOULLI_OF_MNIST:
        return stand_ins.bernoulli(_read("mnist", parameters["variant"], files), parameters["seed"])
    return stand_ins.make(parameters)


def _find(dataset: str, name: str, expected: str) -> Path:
    damaged = []
    for place, path in places.candidates(name).items():
        if path.is_file():
            got = pooch.file_hash(path)
            if got == expected:
                return path
            damaged.append(f"{place}: {path} has sha256 {got}, expected {expected}")
    problem = "; ".join(damaged) or f"{name} is neither in the cache ({places.cache()}) nor in a mirror"
    raise UserError(f"{dataset}: {problem}; run 'python -m elbogap data fetch {dataset}'")
