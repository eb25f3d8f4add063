"""What stands beside each result: the commit, code, settings, data, versions and cost that made it."""

import datetime
import functools
import json
import os
import platform
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from elbogap import digest, tables
from elbogap.checksums import listed, sha256
from elbogap.errors import UserError
from elbogap.files import writing
from elbogap.places import visible

if TYPE_CHECKING:
    from pydantic import BaseModel

    from elbogap.runtime import Run

TEXTS = digest.SOURCE.parents[1] / "paper"
"""What is written by hand, such as published numbers, lies here and has no provenance; all else has."""

SUFFIX = ".provenance.json"

PACKAGES = (
    "numpy", "scipy", "pandas", "torch", "torchvision", "matplotlib", "scikit-learn", "pytorch-fid",
    "snakemake",
)  # fmt: skip
"""Those that can change a number."""

TRACKED = (":/src", ":/workflow", ":/config", ":/paper", ":/Snakefile")
"""What results are made from; `:/` is the checkout's root."""


def path_for(result: Path) -> Path:
    """Where the provenance of a result stands: `tab.csv` has `tab.csv.provenance.json`."""
    return result.with_name(f"{result.name}{SUFFIX}")


def source(module: str) -> dict[str, Any]:
    """The code behind a result: take it before a long run, since the tree may change meanwhile."""
    return {
        "module": module,
        "code_digest": digest.code_digest(module),
        "package_digest": package_digest(),
        "git": git_state(),
    }


def identity(module: str, settings: "BaseModel", run: "Run") -> str:
    """Tells unfinished work from that of another run: settings, device, inputs and code."""
    inputs = {name: run.digests.get(str(path)) or sha256(path) for name, path in run.inputs.items()}
    return f"{settings.model_dump_json()} {run.device} {inputs} {digest.code_digest(module)}"


def collect(
    *,
    source: Mapping[str, Any],
    command: Iterable[str] | None = None,
    scale: str | None = None,
    settings: Mapping[str, Any] = MappingProxyType({}),
    inputs: Mapping[str, str] = MappingProxyType({}),
    run: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Everything that is known of one result. What it cost only the caller knows, who gives it in `run`.

    The command is this one, if none is given. The inputs are given by :func:`verified`. Where the code has no
    commit, one line on standard error says why, once.
    """
    if why := source["git"].get("why"):
        _warn(why)
    return {
        **source,
        "command": list(command or ["python", "-m", "elbogap", *sys.argv[1:]]),
        "scale": scale,
        "settings": dict(settings),
        "seeds": _seeds(settings),
        "inputs": dict(inputs),
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


def publish(record: Mapping[str, Any], outputs: Mapping[Path, Callable[[Path], object]]) -> None:
    """Write the outputs of a command, and beside each the record with the SHA-256 of all, as `outputs`.

    Each output is written under another name first; then the records appear, and at last the outputs. Killed
    at any moment, this leaves no result without a record, and beside an old result its own record or one with
    another SHA-256.

    Args:
        record: what :func:`collect` returned.
        outputs: the function that writes an output to the path it is given, by the path of the output.

    Raises:
        UserError: two outputs have one name, or a disk cannot take the files.
    """
    for name, uses in Counter(path.name for path in outputs).items():
        if uses > 1:
            raise UserError(f"two outputs are called {name}; give each a name of its own")
    with ExitStack() as stack:
        digests = {}
        for path, write in outputs.items():
            temporary = stack.enter_context(writing(path))
            write(temporary)
            digests[path.name] = sha256(temporary)
        for path in outputs:
            tables.write({**record, "outputs": digests}, path_for(path))


def read(result: Path) -> dict[str, Any]:
    """The provenance of a result.

    Raises:
        UserError: no record stands beside the file, or it is damaged.
    """
    path = path_for(result)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict):
            raise ValueError("it is no record")
        return record
    except FileNotFoundError as error:
        raise UserError(f"{result}: no provenance beside it ({path.name}); {_again(result)}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged ({error}); {_again(result)}") from error


def verify(result: Path) -> str:
    """The SHA-256 of a result, which is the recorded one: of its folder's list, or of its provenance.

    Raises:
        UserError: the file is missing, has no readable provenance, or is not the file that was written.
    """
    if not result.is_file():
        raise UserError(f"{result} is missing; build it first")
    expected, remedy = listed(result), "restore it, or record its run again"
    if expected is None:
        outputs, remedy = read(result).get("outputs"), _again(result)
        expected = outputs.get(result.name) if isinstance(outputs, dict) else None
    if expected is None:
        raise UserError(f"{path_for(result)}: holds no SHA-256 of {result.name}; {remedy}")
    found = sha256(result)
    if found != expected:
        raise UserError(
            f"{result}: changed since it was made: sha256 expected {expected}, found {found}; {remedy}"
        )
    return found


def verified(inputs: Iterable[Path]) -> dict[str, str]:
    """The SHA-256 of each input by its path. Results are compared with their provenance, texts have none.

    Raises:
        UserError: an input is missing or is not the file that was written.
    """
    return {str(path): sha256(path) if _is_text(path) else verify(path) for path in inputs}


def _is_text(path: Path) -> bool:
    return path.is_file() and path.resolve().is_relative_to(TEXTS)


def _again(result: Path) -> str:
    """How a result is made anew, for messages."""
    return f"delete it and build it again: snakemake --cores 1 {result}"


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
    paths = (path.relative_to(digest.SOURCE).with_suffix("") for path in visible(digest.SOURCE, "**/*.py"))
    names = (".".join([digest.PACKAGE, *path.parts]).removesuffix(".__init__") for path in paths)
    return digest.code_digest(*names)


@functools.cache
def versions() -> dict[str, str]:
    """Versions of :data:`PACKAGES`, as far as they are installed."""
    found = {}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _data(inputs: Iterable[str]) -> list[Any]:
    """The data sets' own records, which the data layer writes as JSON with a `dataset` key."""
    found = (json.loads(Path(path).read_text(encoding="utf-8")) for path in inputs if path.endswith(".json"))
    return [record for record in found if isinstance(record, dict) and "dataset" in record]


def _seeds(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting whose name speaks of a seed, at any depth."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{inner}": seed for inner, seed in _seeds(value).items()}
        elif "seed" in name:
            found[name] = value
    return found
