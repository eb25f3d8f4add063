"""Where data files lie on this machine: the cache and the mirror folder, and a look into both."""

import os
from pathlib import Path

import pooch


def cache() -> Path:
    """The cache folder: `ELBOGAP_CACHE`, or the user's cache folder of the system."""
    return Path(os.environ.get("ELBOGAP_CACHE") or pooch.os_cache("elbogap"))


def mirror() -> Path | None:
    """The mirror folder named by `ELBOGAP_MIRROR`, or None."""
    name = os.environ.get("ELBOGAP_MIRROR")
    return Path(name) if name else None


def candidates(name: str) -> dict[str, Path]:
    """Where a file of this name may lie, by the place's name, in the order of search."""
    places = {"cache": cache() / name}
    folder = mirror()
    return places if folder is None else places | {"mirror": folder / name}
