"""From a data record to arrays: the real files, verified again, or the declared stand-in."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from elbogap.data import records
from elbogap.data.fetch import cache_folder, candidates
from elbogap.data.formats import READERS, Arrays
from elbogap.data.sources import File, WrongContent, source, verify
from elbogap.data.stand_ins import RECIPES
from elbogap.errors import UserError
from elbogap.stopwatch import spending


@dataclass(frozen=True)
class Dataset:
    """A loaded data set."""

    name: str
    kind: Literal["real", "stand-in"]  # goes into the `data` column of every table made from it
    arrays: Mapping[str, Any]  # which, and what to beware of, :mod:`elbogap.data.formats` says
    record: Mapping[str, Any]
    files: tuple[Path, ...] = ()  # verified, in the order of the record
    images: Callable[[Iterable[str]], np.ndarray] | None = None  # of CelebA: names to uint8 (n, 64, 64, 3)


@spending("data")
def load(record_path: Path) -> Dataset:
    """The data set that a record describes; its files are verified before they are read.

    UserError if the record, or a file of it, is missing, damaged or not that of the table of sources.
    """
    record, copies = records.read(record_path)
    name, kind, variant = record["dataset"], record["kind"], record["variant"]
    if kind == "real":
        files = tuple(_find(name, file, digest) for file, digest in copies)
        arrays = _read(name, variant, files)
    else:
        parameters = record.get("stand_in", {})
        known = [made for made in source(name).stand_ins if made.variant == variant]
        if not known or not known[0].admits(parameters):
            raise UserError(f"{record_path}: {name} has no such stand-in; rebuild the record")
        files = tuple(_find(name, file, digest) for file, digest in copies)
        donors = [_read(known[0].donor, parameters["variant"], files)] if files else []
        arrays = RECIPES[parameters["recipe"]](parameters, *donors)
    images = arrays.pop("images", None)
    return Dataset(name, kind, arrays, record, files, images)


def _read(dataset: str, variant: str, files: Iterable[Path]) -> Arrays:
    try:
        return READERS[dataset][variant](*files)
    except ValueError as error:
        names = ", ".join(path.name for path in files)
        again = f"run 'python -m elbogap data fetch {dataset}'"
        raise UserError(f"{dataset}: {names}: {error}; {again}") from error


def _find(dataset: str, file: File, expected: str) -> Path:
    """The copy of a file that a record was made from; the table of sources must know it."""
    damaged = []
    for path in candidates(file.name).values():
        if path.is_file():
            try:
                verify(File(file.name, sha256=expected), path)
                if expected != file.sha256:
                    verify(file, path)
                return path
            except WrongContent as error:
                damaged.append(f"{path}: {error}")
    problem = "; ".join(damaged) or f"{file.name} is neither in the cache ({cache_folder()}) nor in a mirror"
    raise UserError(f"{dataset}: {problem}; run 'python -m elbogap data fetch {dataset}'")
