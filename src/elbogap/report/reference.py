"""Record a finished run in the repository: small tables, records, pictures, and the cost of each target."""

import contextlib
import os
import re
import shutil
from pathlib import Path

import pandas as pd

from elbogap import provenance, tables
from elbogap.checksums import mismatches, write_list
from elbogap.claims.decide import decide
from elbogap.errors import UserError
from elbogap.files import recover_folder, replace_folder
from elbogap.places import Places, visible
from elbogap.report import catalogue, costs
from elbogap.report.lineage import Lineage, jobs

LARGEST = 2**20  # bytes of a file that is worth keeping in the repository


def record_costs(scale: str, places: Places, *, add: bool = False) -> None:
    """Replace the recorded costs of a scale, or (`add`) of the targets in the run, by those of the run."""
    measured = places.results(scale) / "benchmarks"
    if not jobs(measured):
        raise UserError(f"{measured}: no job was measured, so no cost is known; build scale '{scale}' first")
    tables.write(_costs(scale, places, add), places.recorded_costs)


def record(scale: str, places: Places, *, add: bool = False) -> int:
    """Record the run of a scale in `results/` and `figures/`; returns the number of its files.

    It replaces the recorded run. With `add` the run may lack targets: what is recorded of those is kept, and
    the claims are decided from both together; so a long scale is recorded part by part. UserError if there is
    no run, it is not finished (without `add`), what is recorded was changed, or a claim cannot be decided.
    """
    results, figures = places.results(scale), places.figures(scale)
    old = places.recorded_results(scale), places.recorded_figures(scale)
    new = [folder.parent / ".partial" / scale for folder in old]
    aside = [folder.with_name(f"{scale}.old") for folder in new]
    for folder, kept in zip(old, aside, strict=True):
        recover_folder(folder, kept)
    if not add and not (results / "claims.csv").is_file():
        raise UserError(
            f"{results}: no claims.csv, so the run is not finished; build all of scale '{scale}' first, or "
            "record what is there with --add"
        )
    small, pictures = _small_tables(results), visible(figures, "**/*.png")
    if not small and not old[0].is_dir():
        raise UserError(f"{results}: no tables to record")
    for result in (*small, *pictures):
        provenance.verify(result)
    small = [file for path in small for file in (path, provenance.path_for(path))]
    for folder in filter(Path.is_dir, old if add else ()):
        if problems := mismatches(folder):
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise UserError(f"{problems[0]}{more}; restore what is recorded first: git checkout -- {folder}")
    for fresh, source, files, folder in zip(new, (results, figures), (small, pictures), old, strict=True):
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        if add and folder.is_dir():
            shutil.copytree(folder, fresh, dirs_exist_ok=True)
        for path in files:
            copy = fresh / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        write_list(fresh)
    if add:
        outputs = {"csv": new[0] / "claims.csv", "effects": new[0] / "claims_effects.csv"}
        decide(scale, new[0].parent, places.paper, outputs, partial=True)
    _make_paths_relative(new[0], places)
    write_list(new[0])
    for folder, fresh, kept in zip(old, new, aside, strict=True):
        replace_folder(folder, fresh, kept)
        with contextlib.suppress(OSError):  # what another interrupted recording left is kept
            fresh.parent.rmdir()
    tables.write(_costs(scale, places, add), places.recorded_costs)
    return len(small) + len(pictures)


def _small_tables(results: Path) -> list[Path]:
    """Tables and data records that are small enough, without what a killed command left."""
    return [
        path
        for path in visible(results, "**/*")
        if path.suffix in (".csv", ".json")
        and not path.name.endswith(provenance.SUFFIX)
        and path.relative_to(results).parts[0] not in ("logs", "benchmarks")
        and path.stat().st_size < LARGEST
    ]


def _make_paths_relative(folder: Path, places: Places) -> None:
    """Take the paths to the checkout, absolute ones and those from the run, out of the records."""
    project, fresh = places.project.resolve(), folder.resolve().parent
    replacements = {
        f"{fresh}/": f"{places.recorded.resolve().relative_to(project)}/",
        f"{project}/": "",
        f"{os.path.relpath(project, places.work.resolve())}/": "",
    }
    for path in folder.rglob(f"*{provenance.SUFFIX}"):
        text = path.read_text(encoding="utf-8")
        for prefix, replacement in replacements.items():
            # whole words of the record alone: '../' is also a part of '../../elsewhere'
            text = re.sub(rf'(?<=["=]){re.escape(prefix)}(?!\.\./)', replacement, text)
        path.write_text(text.replace(f'"{project}"', '"."'), encoding="utf-8")


def _costs(scale: str, places: Places, add: bool) -> pd.DataFrame:
    """The cost table, a row per target and job, with those of a scale (or of the targets made) replaced."""
    lineage = Lineage(places, scale)
    parts = [
        lineage.costs(target.files(scale)).assign(document=target.document, target=target.name, scale=scale)
        for target in catalogue.everything(places.paper)
    ]
    now, before = pd.concat(parts)[costs.COLUMNS], costs.recorded(places)
    stale = before["scale"] == scale
    if add:
        made = pd.MultiIndex.from_frame(now[["document", "target"]])
        stale &= pd.MultiIndex.from_frame(before[["document", "target"]]).isin(made)
    if not stale.all():
        now = pd.concat([before[~stale], now])
    return now.sort_values(["document", "target", "scale", "rule"], ignore_index=True)
