"""What a scale may be called: its name is a file, a folder of results and a wildcard."""

import re
from pathlib import Path

from elbogap.errors import UserError
from elbogap.places import visible


def scale_name(name: str) -> str:
    """The name itself; a UserError if no scale may have it."""
    if name in ("logs", "reference"):  # folders beside those of the scales
        raise UserError(f"no scale can be called '{name}': results/{name}/ is for something else")
    if not re.fullmatch(r"[a-z0-9_][a-z0-9_-]*", name):
        raise UserError(f"no scale can be called {name!r}: use only a-z, 0-9, _ and, but not first, -")
    return name


def scale_names(folder: Path) -> list[str]:
    """The names of the scales that have a file in `folder`; a UserError if a file has another name."""
    names = []
    for path in visible(folder, "*.yaml"):
        try:
            names.append(scale_name(path.stem))
        except UserError as error:
            raise UserError(f"{path}: {error}; rename the file or move it elsewhere") from error
    return names
