"""A job of the workflow: the command that its rule runs, and the files that tie it to other jobs."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from elbogap.errors import UserError
from elbogap.files import atomic
from elbogap.report.lineage import named_files

PARTS_OF_A_PRODUCT = 4
"""Of its path: results or figures, scale, document, file."""
CHECKOUT = "{checkout}"
"""Stands in stored paths for the folder of the project, whose files no job makes."""


@dataclass(frozen=True)
class Job:
    """One call of `python -m elbogap`.

    Attributes:
        rule: its rule and cell, see :func:`~elbogap.report.lineage.label`.
        words: the words behind `python -m elbogap`.
        gpu: it computes on a GPU where one is granted.
        benchmark: where its time and memory are recorded.
    """

    rule: str
    words: tuple[str, ...]
    gpu: bool
    benchmark: str

    @cached_property
    def inputs(self) -> Mapping[str, Path]:
        """Files that must exist before, by name."""
        return self._files("--inputs")

    @cached_property
    def outputs(self) -> Mapping[str, Path]:
        """Files that it makes, by name."""
        return self._files("--outputs")

    def _files(self, option: str) -> dict[str, Path]:
        return {name: Path(path) for name, path in named_files(self.words, option).items()}

    def at(self, checkout: str) -> "Job":
        """The same with the path of the project's folder put in."""
        return replace(self, words=tuple(word.replace(CHECKOUT, checkout) for word in self.words))


def needed(jobs: Iterable[Job], targets: Iterable[Path]) -> list[Job]:
    """The jobs behind some files, each after those it needs, and target by target.

    Raises:
        UserError: no job makes a target or an input.
    """
    maker = {path: job for job in jobs for path in job.outputs.values()}
    ordered: dict[Job, None] = {}

    def visit(path: Path) -> None:
        if path.parts[0] == CHECKOUT:
            return
        job = maker.get(path)
        if job is None:
            raise UserError(f"no job makes {path}")
        if job not in ordered:
            for one in job.inputs.values():
                visit(one)
            ordered[job] = None

    for target in targets:
        visit(target)
    return list(ordered)


def products(jobs: Iterable[Job], names: Sequence[str]) -> list[Path]:
    """Figures and tables of some targets, in the order of their names; all if none is named.

    A target is a document, `air`, or the beginning of a product's name behind it, `air/tab01`.

    Raises:
        UserError: no product has such a name.
    """
    found = {
        f"{path.parent.name}/{path.stem}": path
        for job in jobs
        for path in job.outputs.values()
        if len(path.parts) == PARTS_OF_A_PRODUCT and path.stem.startswith(("fig", "tab"))
    }
    chosen: dict[Path, None] = {}
    for name in names or [""]:
        start = name if "/" in name or not name else f"{name}/"
        of_name = [path for key, path in sorted(found.items()) if key.startswith(start)]
        if not of_name:
            raise UserError(f"no figure or table '{name}'; there are {', '.join(sorted(found))}")
        chosen |= dict.fromkeys(of_name)
    return list(chosen)


def write(jobs: Sequence[Job], made_from: Mapping[str, str], path: Path) -> None:
    """Store jobs as JSON, equal settings once, with the digests of the files that they were made from."""
    settings: dict[str, int] = {}
    rows = []
    for job in jobs:
        words: list[str | int] = list(job.words)
        if "--settings" in job.words:
            place = job.words.index("--settings") + 1
            words[place] = settings.setdefault(job.words[place], len(settings))
        rows.append(json.dumps(asdict(job) | {"words": words}))
    lists = {"settings": settings, "jobs": rows}
    text = f'{{"made_from": {json.dumps(made_from, indent=1)}'
    for name, lines in lists.items():
        text += f',\n"{name}": [\n' + ",\n".join(lines) + "\n]"
    with atomic(path) as temporary:
        temporary.write_text(text + "}\n", encoding="utf-8")


def read(path: Path) -> tuple[list[Job], dict[str, str]]:
    """The jobs that :func:`write` stored, and the digests of what they were made from.

    Raises:
        UserError: the file cannot be read, or is damaged.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        settings = [json.dumps(one, separators=(",", ":")) for one in stored["settings"]]
        jobs = [
            Job(
                row["rule"],
                tuple(settings[word] if isinstance(word, int) else word for word in row["words"]),
                row["gpu"],
                row["benchmark"],
            )
            for row in stored["jobs"]
        ]
        return jobs, stored["made_from"]
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (json.JSONDecodeError, KeyError, TypeError, IndexError) as error:
        raise UserError(f"{path}: damaged plan; fetch it again, or delete it where Snakemake is") from error
