"""The SHA-256 of files, and lists of them in the format of `sha256sum`, which stand in recorded folders."""

import hashlib
import re
from pathlib import Path

from elbogap.files import atomic

LIST = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def sha256(path: Path) -> str:
    """The SHA-256 of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_list(folder: Path) -> None:
    """List all files of a folder; `sha256sum --check SHA256SUMS` compares them, too."""
    lines = [f"{sha256(path)}  {name}\n" for name, path in _files(folder).items()]
    with atomic(folder / LIST) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")


def listed(path: Path) -> str | None:
    """The SHA-256 of a file in the list of its folder, or of the nearest one above that has a list."""
    path = path.absolute()
    for folder in path.parents:
        if (folder / LIST).is_file():
            lines = (folder / LIST).read_text(encoding="utf-8", errors="replace").splitlines()
            name = path.relative_to(folder).as_posix()
            return next((line[:64] for line in lines if line[64:] == f"  {name}"), None)
    return None


def mismatches(folder: Path) -> list[str]:
    """One line for each file of a folder that is not as its list says: changed, missing or not listed."""
    path, remedy = folder / LIST, "restore it, or record the run again"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        return [f"{path}: cannot be read ({error}); {remedy}"]
    pairs = [match.groups() for match in map(_LINE.fullmatch, lines) if match]
    if len(pairs) < len(lines):
        return [f"{path}: damaged; {remedy}"]
    expected, files, problems = {name: digest for digest, name in pairs}, _files(folder), []
    for name in sorted({*expected, *files}):
        if name not in files:
            problems.append(f"{folder / name}: is in {LIST}, but missing")
        elif name not in expected:
            problems.append(f"{folder / name}: is not in {LIST}")
        elif (found := sha256(files[name])) != expected[name]:
            problems.append(f"{folder / name}: sha256 expected {expected[name]}, found {found}")
    return problems


def _files(folder: Path) -> dict[str, Path]:
    """The files of a folder by their names in a list."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / LIST)
    return {path.relative_to(folder).as_posix(): path for path in found}
