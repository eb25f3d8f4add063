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
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from elbogap import digest, tables
from elbogap.checksums import listed, sha256
from elbogap.errors import UserError
from elbogap.files import writing
from elbogap.stopwatch import spending, spent
from elbogap.writer import require_run

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
    """The provenance of `tab.csv` is `tab.csv.provenance.json`."""
    return result.with_name(f"{result.name}{SUFFIX}")


def source(module: str) -> dict[str, Any]:
    """The code behind a result: take it before a long run, since the tree may change meanwhile."""
    return {"module": module, "code_digest": digest.code_digest(module), "git": git_state()}


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
    """Everything that is known of one result: of its source and :func:`verified` inputs, its cost `run`.

    The command is this one, if none is given. The inputs that are records of data sets, JSON with a key
    `dataset`, are copied. Where the code has no commit, one line on standard error says why, once.
    """
    if why := source["git"].get("why"):
        _warn(why)
    records = [json.loads(Path(path).read_text("utf-8")) for path in inputs if path.endswith(".json")]
    return {
        **source,
        "command": list(command or ["python", "-m", "elbogap", *sys.argv[1:]]),
        "scale": scale,
        "settings": dict(settings),
        "seeds": {name: value for name, value in flat(settings) if "seed" in name.rpartition(".")[2]},
        "inputs": dict(inputs),
        "data": [record for record in records if isinstance(record, dict) and "dataset" in record],
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

    The record also tells the seconds that the process spent on what, as `spent_s`. The records appear before
    the outputs: killed at any moment, this leaves no result without a record, and beside an old result its
    own record or one with another SHA-256. UserError if two outputs have one name, a disk cannot take the
    files, or the run of Snakemake that asked for them is over.
    """
    require_run()
    for name, uses in Counter(path.name for path in outputs).items():
        if uses > 1:
            raise UserError(f"two outputs are called {name}; give each a name of its own")
    with ExitStack() as stack, spending("writing"):
        digests = {}
        for path, write in outputs.items():
            temporary = stack.enter_context(writing(path))
            write(temporary)
            digests[path.name] = sha256(temporary)
        for path in outputs:
            tables.write({**record, "outputs": digests, "spent_s": spent()}, path_for(path))


def read(result: Path) -> dict[str, Any]:
    """The provenance of a result; a UserError if no record stands beside the file, or it is damaged."""
    path = path_for(result)
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise UserError(f"{result}: no provenance beside it ({path.name}); {_again(result)}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged ({error}); {_again(result)}") from error


def verify(result: Path) -> str:
    """The SHA-256 of a result, which is the recorded one: of its folder's list, or of its provenance.

    UserError if the file is missing, has no readable provenance, or is not the file that was written.
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
        digests = f"sha256 expected {expected}, found {found}"
        raise UserError(f"{result}: changed since it was made: {digests}; {remedy}")
    return found


@spending("data")
def verified(inputs: Iterable[Path]) -> dict[str, str]:
    """The SHA-256 of each input by its path; results go through :func:`verify`, texts have no provenance."""
    return {
        str(path): sha256(path) if path.is_file() and path.resolve().is_relative_to(TEXTS) else verify(path)
        for path in inputs
    }


def _again(result: Path) -> str:
    """How a result is made anew, for messages."""
    return f"delete it and build it again: snakemake --cores 1 {result}"


@functools.cache
def git_state() -> dict[str, Any]:
    """The `commit` and whether tracked files that make results differ from it (`dirty`), or `why` neither."""
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
def versions() -> dict[str, str]:
    """Versions of :data:`PACKAGES`, as far as they are installed."""
    found = {}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings as pairs of a dotted name and a value."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
