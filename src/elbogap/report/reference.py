"""Record a finished run in the repository: small tables, records, pictures, and the cost of each target."""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from elbogap import provenance, tables
from elbogap.claims.decide import decide
from elbogap.errors import UserError
from elbogap.places import Places
from elbogap.report import catalogue
from elbogap.report.lineage import COST_COLUMNS, Lineage, jobs

LARGEST = 2**20  # bytes of a file that is worth keeping in the repository
PASSING = ("logs", "benchmarks")  # folders that say nothing about results


def record_costs(scale: str, places: Places, *, add: bool = False) -> None:
    """Replace the recorded costs of a scale, or (`add`) of the targets in the run, by those of the run."""
    tables.write(_costs(scale, places, add), places.recorded_costs)


def record(scale: str, places: Places, *, add: bool = False) -> int:
    """Record the run of a scale in `results/` and `figures/`; returns the number of its files.

    It takes the place of the recorded one. With `add` the run may lack targets: what is recorded of those is
    kept, and the claims are decided from both together; so a long scale is recorded part by part.

    Raises:
        UserError: nothing is there, or (without `add`) no claims table, so the run is not finished.
    """
    results, figures = places.results(scale), places.figures(scale)
    if not add and not (results / "claims.csv").is_file():
        raise UserError(
            f"{results}: no claims.csv, so the run is not finished; build all of scale '{scale}' first, or "
            "record what is there with --add"
        )
    found = list(_small_tables(results))
    if not found:
        raise UserError(f"{results}: no tables to record")
    copied = _replace(results, places.recorded_results(scale), found, keep=add)
    if add:
        csv = places.recorded_results(scale) / "claims.csv"
        decide(scale, places.recorded, places.paper / "claims", {"csv": csv}, partial=True)
    _make_paths_relative(places.recorded_results(scale), places)
    copied += _replace(figures, places.recorded_figures(scale), sorted(figures.rglob("*.png")), keep=add)
    record_costs(scale, places, add=add)
    return copied


def _small_tables(results: Path) -> Iterator[Path]:
    """Tables and data records that are small enough, each with its provenance."""
    for path in sorted(results.rglob("*")):
        wanted = path.suffix in (".csv", ".json") and not path.name.endswith(".provenance.json")
        if wanted and path.relative_to(results).parts[0] not in PASSING and path.stat().st_size < LARGEST:
            yield path
            if provenance.path_for(path).is_file():
                yield provenance.path_for(path)


def _replace(source: Path, destination: Path, files: Sequence[Path], *, keep: bool) -> int:
    """Put copies of the files in the place of a folder (or, `keep`, into it), all or none; their number."""
    fresh = destination.with_name(f".{destination.name}.partial")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    if keep and destination.is_dir():
        shutil.copytree(destination, fresh, dirs_exist_ok=True)
    for path in files:
        copy = fresh / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    shutil.rmtree(destination, ignore_errors=True)
    fresh.rename(destination)
    return len(files)


def _make_paths_relative(folder: Path, places: Places) -> None:
    """Take the paths to the checkout, absolute ones and those from the run, out of the records."""
    project = places.project.resolve()
    paths = (f"{project}/", f"{os.path.relpath(project, places.work.resolve())}/")
    for path in folder.rglob("*.json"):
        text = path.read_text()
        for prefix in paths:
            text = text.replace(prefix, "") if prefix != "./" else text
        path.write_text(text)


def _costs(scale: str, places: Places, add: bool) -> pd.DataFrame:
    """The cost table, a row per target and job, with those of a scale (or of the targets made) replaced."""
    lineage, measured = Lineage(places.work), jobs(places.results(scale) / "benchmarks")
    rows = []
    for target in catalogue.everything(places.paper / "documents.yaml", places.captions):
        for job in lineage.costs(target.files(scale), measured):
            rows.append({"document": target.document, "target": target.name, "scale": scale, **job})
    now = pd.DataFrame(rows, columns=COST_COLUMNS)
    if places.recorded_costs.is_file():
        before = tables.read_table(places.recorded_costs)
        stale = before["scale"] == scale
        if add:
            made = pd.MultiIndex.from_frame(now[["document", "target"]])
            stale &= pd.MultiIndex.from_frame(before[["document", "target"]]).isin(made)
        others = before[~stale]
        now = pd.concat([others, now]) if len(others) else now
    return now.sort_values(["document", "target", "scale", "rule"], ignore_index=True)
