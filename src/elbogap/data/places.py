"""Where data files lie on this machine: the cache and the mirror folder, and a look into both."""

import contextlib
import os
from pathlib import Path

import pooch

from elbogap.errors import UserError


def cache() -> Path:
    """The cache folder: `ELBOGAP_CACHE`, or the user's cache folder of the system.

    Raises:
        UserError: none is named, and the user has no home folder.
    """
    named = os.environ.get("ELBOGAP_CACHE")
    if named:
        return Path(named)
    with contextlib.suppress(RuntimeError):
        folder = Path(pooch.os_cache("elbogap"))
        if folder.is_absolute():
            return folder
    raise UserError("no home folder, so no cache of data sets; set HOME, or ELBOGAP_CACHE to a folder")


def mirror() -> Path | None:
    """The mirror folder named by `ELBOGAP_MIRROR`, or None."""
    name = os.environ.get("ELBOGAP_MIRROR")
    return Path(name) if name else None


def candidates(name: str) -> dict[str, Path]:
    """Where a file of this name may lie, by the place's name, in the order of search."""
    places = {}
    with contextlib.suppress(UserError):  # a mirror serves without a cache
        places["cache"] = cache() / name
    folder = mirror()
    return places if folder is None else places | {"mirror": folder / name}
