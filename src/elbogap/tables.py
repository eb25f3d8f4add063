"""Tidy tables and arrays on disk: written whole or not at all, and the same bytes for the same values."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from elbogap.errors import UserError
from elbogap.files import atomic

Arrays = Mapping[str, np.ndarray]


def write(value: Any, path: Path) -> None:
    """Write a table (.csv), named arrays (.npz) or plain data (.json), chosen by the suffix.

    Raises:
        UserError: an unknown suffix, or a disk that cannot take the file.
    """
    try:
        with atomic(path) as temporary:
            if path.suffix == ".csv":
                value.to_csv(temporary, index=False, lineterminator="\n")
            elif path.suffix == ".npz":
                with temporary.open("wb") as file:
                    np.savez_compressed(file, **value)
            elif path.suffix == ".json":
                temporary.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
            else:
                raise UserError(
                    f"{path}: do not know how to write '{path.suffix}' (known: .csv, .npz, .json)"
                )
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); free space or mend permissions, run again"
        ) from error


def read_table(path: Path) -> pd.DataFrame:
    """Read a tidy table.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        return pd.read_csv(path)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; build it first") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as a table ({error}); rebuild it") from error


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read named arrays.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        with np.load(path) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; build it first") from error
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: cannot be read as arrays ({error}); rebuild it") from error
