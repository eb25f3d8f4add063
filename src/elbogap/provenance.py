"""What stands beside each result: the commit, code, settings, data, versions and cost that made it."""

import datetime
import functools
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from elbogap import digest, tables
from elbogap.errors import UserError
from elbogap.runtime import Run

PACKAGES = (
    "numpy",
    "scipy",
    "pandas",
    "torch",
    "torchvision",
    "matplotlib",
    "scikit-learn",
    "pytorch-fid",
    "snakemake",
)

TRACKED = (":/src", ":/workflow", ":/config", ":/paper", ":/Snakefile")
"""What results are made from; `:/` is the checkout's root."""


def path_for(result: Path) -> Path:
    """Where the provenance of a result stands: `tab.csv` has `tab.csv.provenance.json`."""
    return result.with_name(f"{result.name}.provenance.json")


def source(module: str) -> dict[str, Any]:
    """The code behind a result: take it before a long run, since the tree may change meanwhile."""
    return {
        "module": module,
        "code_digest": digest.code_digest(module),
        "package_digest": package_digest(),
        "git": git_state(),
    }


def identity(module: str, settings: BaseModel, run: Run) -> str:
    """Tells unfinished work from that of another run: settings, device, inputs and code."""
    inputs = {name: sha256(path) for name, path in run.inputs.items()}
    return f"{settings.model_dump_json()} {run.device} {inputs} {digest.code_digest(module)}"


def collect(
    *,
    source: Mapping[str, Any],
    command: Iterable[str],
    scale: str,
    settings: Mapping[str, Any],
    inputs: Iterable[Path],
    run: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything that is known of one result, except the moment and cost, which the caller adds in `run`.

    Where the code has no commit, one line on standard error says why, once.
    """
    if why := source["git"].get("why"):
        _warn(why)
    return {
        **source,
        "command": list(command),
        "scale": scale,
        "settings": dict(settings),
        "seeds": _seeds(settings),
        "inputs": {str(path): sha256(path) for path in inputs},
        "data": _data(inputs),
        "versions": versions(),
        "platform": {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "system": platform.system(),
        },
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "run": dict(run),
    }


def write(record: Mapping[str, Any], results: Iterable[Path]) -> None:
    """Put one record beside each of the results that a command made."""
    for result in results:
        tables.write(record, path_for(result))


def read(result: Path) -> dict[str, Any]:
    """The provenance of a result.

    Raises:
        UserError: no record stands beside the file, or it is damaged.
    """
    path = result if result.name.endswith(".provenance.json") else path_for(result)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"{result}: no provenance beside it ({path.name} is missing); rebuild the result"
        ) from error
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: damaged ({error}); rebuild the result") from error


@functools.cache
def git_state() -> dict[str, Any]:
    """Commit of the source tree, and whether tracked files that make results differ from it (`dirty`).

    Without a commit both are None, and `why` says why.
    """
    try:
        _git("ls-files", "--error-unmatch", str(digest.SOURCE / "__init__.py"))
        changes = _git("status", "--porcelain", "--untracked-files=no", "--", *TRACKED)
        return {"commit": _git("rev-parse", "HEAD"), "dirty": bool(changes)}
    except FileNotFoundError:
        why = "git is not on this machine"
    except OSError as error:
        why = f"git cannot be run ({error.strerror})"
    except subprocess.CalledProcessError as error:
        first = error.stderr.strip().partition("\n")[0]
        why = re.split(r" \(| at ", first.removeprefix("fatal: "))[0] or "git fails without a word"
    return {"commit": None, "dirty": None, "why": why}


@functools.cache
def _warn(why: str) -> None:
    print(f"elbogap: no commit in the provenance: {why}", file=sys.stderr)


def _git(*words: str) -> str:
    """What git says of the checkout, whoever owns it, and whatever repository the environment names."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    answer = subprocess.run(
        ["git", "--no-optional-locks", "-c", "safe.directory=*", *words],
        cwd=digest.SOURCE, env=environment | {"LC_ALL": "C"},
        capture_output=True, encoding="utf-8", errors="replace", check=True,
    )  # fmt: skip
    return answer.stdout.strip()


@functools.cache
def package_digest() -> str:
    """The code digest over every module of the package."""
    names = (
        ".".join([digest.PACKAGE, *path.relative_to(digest.SOURCE).with_suffix("").parts]).removesuffix(
            ".__init__"
        )
        for path in digest.SOURCE.rglob("*.py")
    )
    return digest.code_digest(*names)


@functools.cache
def versions() -> dict[str, str]:
    """Versions of the packages that can change a number."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def sha256(path: Path) -> str:
    """The SHA-256 of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _data(inputs: Iterable[Path]) -> list[Any]:
    """The data sets' own records, which the data layer writes as JSON with a `dataset` key."""
    records = []
    for path in inputs:
        if path.suffix == ".json":
            record = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(record, dict) and "dataset" in record:
                records.append(record)
    return records


def _seeds(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting whose name speaks of a seed, at any depth."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{inner}": seed for inner, seed in _seeds(value).items()}
        elif "seed" in name:
            found[name] = value
    return found
