"""From a data record to arrays: the real files, verified again, or the declared stand-in."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from elbogap.checksums import sha256
from elbogap.data import places, trust
from elbogap.data.definition import Arrays
from elbogap.data.registry import DEFINITIONS
from elbogap.data.sources import File
from elbogap.data.verify import WrongContent, verify
from elbogap.errors import UserError
from elbogap.stopwatch import spending


@dataclass(frozen=True)
class Dataset:
    """A loaded data set.

    Attributes:
        name: name of the data set.
        kind: `real` or `stand-in`; goes into the `data` column of every table made from it.
        arrays: arrays by name; which, and what to beware of, its module in :mod:`elbogap.data.sets` says.
        record: the record it was loaded from.
        files: the verified files, in the order of the record (for data used as files: network weights).
        images: for CelebA, the function from image names to uint8 images (n, 64, 64, 3).
    """

    name: str
    kind: Literal["real", "stand-in"]
    arrays: Mapping[str, Any]
    record: Mapping[str, Any]
    files: tuple[Path, ...] = ()
    images: Callable[[Iterable[str]], np.ndarray] | None = None


@spending("data")
def load(record_path: Path) -> Dataset:
    """The data set that a record describes.

    Nothing is read before it is verified against the table of sources: a record is a file like others, and
    may come from elsewhere.

    Raises:
        UserError: the record is damaged or disagrees with the table of sources, or a file of it is neither in
            the cache nor in the mirror, or is damaged there; the message says how to get it again.
    """
    try:
        record, copies = trust.read(record_path)
    except OSError as error:
        raise UserError(f"{record_path}: no readable data record ({error.strerror}); rebuild it") from error
    name, kind, variant = record["dataset"], record["kind"], record["variant"]
    parameters = record.get("stand_in", {})
    if kind == "real":
        files = tuple(_find(name, file, digest) for file, digest in copies)
        arrays = _read(name, variant, files)
    else:
        of_this_name = (made for made in DEFINITIONS[name].stand_ins if made.variant == variant)
        stand_in = next(of_this_name, None)
        if stand_in is None or not stand_in.admits(parameters):
            raise UserError(f"{record_path}: {name} has no such stand-in; rebuild the record")
        files = tuple(_find(name, file, digest) for file, digest in copies)
        of_donor = [_read(stand_in.donor, parameters["variant"], files)] if stand_in.donor else []
        arrays = stand_in.make(parameters, *of_donor)
    images = arrays.pop("images", None)
    return Dataset(name, kind, arrays, record, files, images)


def _read(dataset: str, variant: str, files: Iterable[Path]) -> Arrays:
    try:
        return DEFINITIONS[dataset].readers[variant](*files)
    except ValueError as error:
        names = ", ".join(path.name for path in files)
        again = f"run 'python -m elbogap data fetch {dataset}'"
        raise UserError(f"{dataset}: {names}: {error}; {again}") from error


def _find(dataset: str, file: File, expected: str) -> Path:
    """The copy of a file that a record was made from; the table of sources must know it."""
    damaged = []
    for path in places.candidates(file.name).values():
        if path.is_file():
            got = sha256(path)
            try:
                if got == expected:
                    if got != file.sha256:
                        verify(file, path)
                    return path
                damaged.append(f"{path}: sha256 expected {expected}, got {got}")
            except WrongContent as error:
                damaged.append(f"{path}: {error}")
    problem = "; ".join(damaged) or f"{file.name} is neither in the cache ({places.cache()}) nor in a mirror"
    raise UserError(f"{dataset}: {problem}; run 'python -m elbogap data fetch {dataset}'")
