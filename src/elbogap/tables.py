"""Tidy tables, arrays and plain data on disk: the same bytes for the same values."""

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from elbogap.errors import UserError
from elbogap.files import writing
from elbogap.stopwatch import spending

if TYPE_CHECKING:
    import pandas as pd

Arrays = Mapping[str, np.ndarray]


def write(value: Any, path: Path) -> None:
    """Write a file as :func:`save` does, whole or not at all; a UserError if the disk cannot take it."""
    with writing(path) as temporary:
        save(value, temporary)


def save(value: Any, path: Path) -> None:
    """Write a table (.csv), named arrays (.npz) or plain data (.json); a UserError for another suffix."""
    if path.suffix == ".csv":
        value.to_csv(path, index=False, lineterminator="\n")
    elif path.suffix == ".npz":
        with path.open("wb") as file:
            np.savez_compressed(file, **value)
    elif path.suffix == ".json":
        path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    else:
        raise UserError(f"{path}: do not know how to write '{path.suffix}' (known: .csv, .npz, .json)")


def read_table(path: Path) -> "pd.DataFrame":
    """Read a tidy table; a UserError if it is missing or damaged."""
    import pandas as pd  # not above: commands without tables start half a second earlier

    with _one_line_if_unreadable(path, "as a table"):
        content = path.read_bytes()
        if b"\0" in content:  # pandas would make a value of it
            raise ValueError("it holds zero bytes")
        return pd.read_csv(io.BytesIO(content))


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read named arrays; a UserError if the file is missing or damaged."""
    with _one_line_if_unreadable(path, "as arrays"), zipfile.ZipFile(path), np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


def read_json(path: Path) -> Any:
    """Read plain data; a UserError if the file is missing or damaged."""
    with _one_line_if_unreadable(path, "as JSON"):
        return json.loads(path.read_text(encoding="utf-8"))


@contextmanager
def _one_line_if_unreadable(path: Path, form: str) -> Iterator[None]:
    try:
        with spending("data"):
            yield
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; build it first") from error
    except MemoryError:
        raise
    except Exception as error:  # the libraries raise many kinds for a damaged file
        reason = str(error).partition("\n")[0] or type(error).__name__
        remedy = "mend that" if isinstance(error, OSError) else "restore it, or delete it and build it again"
        raise UserError(f"{path}: cannot be read {form} ({reason}); {remedy}") from error


def rests_on_stand_in(*frames: "pd.DataFrame") -> bool:
    """Whether any row of any table rests on stand-in data (column `data`)."""
    return any("data" in frame and bool((frame["data"] == "stand-in").any()) for frame in frames)
