"""Record a finished run in the repository: small tables, records, pictures, and the cost of each target."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from elbogap import provenance, tables
from elbogap.errors import UserError
from elbogap.places import Places
from elbogap.report import catalogue
from elbogap.report.lineage import COST_COLUMNS, Lineage, jobs

LARGEST = 2**20  # bytes of a file that is worth keeping in the repository
PASSING = ("logs", "benchmarks")  # folders that say nothing about results


def record_costs(scale: str, places: Places) -> None:
    """Replace the recorded costs of a scale by those of the run in `results/`."""
    tables.write(_costs(scale, places), places.recorded_costs)


def record(scale: str, places: Places) -> int:
    """Replace the recorded run of a scale by the one in `results/` and `figures/`; returns the files' number.

    Raises:
        UserError: the scale has no claims table, so its run is not finished.
    """
    results, figures = places.results(scale), places.figures(scale)
    if not (results / "claims.csv").is_file():
        raise UserError(
            f"{results}: no claims.csv, so the run is not finished; build all of scale '{scale}' first"
        )
    copied = _replace(results, places.recorded_results(scale), _small_tables(results))
    _make_paths_relative(places.recorded_results(scale), places.project)
    copied += _replace(figures, places.recorded_figures(scale), sorted(figures.rglob("*.png")))
    record_costs(scale, places)
    return copied


def _small_tables(results: Path) -> Iterator[Path]:
    """Tables and data records that are small enough, each with its provenance."""
    for path in sorted(results.rglob("*")):
        wanted = path.suffix in (".csv", ".json") and not path.name.endswith(".provenance.json")
        if wanted and path.relative_to(results).parts[0] not in PASSING and path.stat().st_size < LARGEST:
            yield path
            if provenance.path_for(path).is_file():
                yield provenance.path_for(path)


def _replace(source: Path, destination: Path, files: Iterator[Path] | list[Path]) -> int:
    """Put copies of the files in the place of a folder, all or none; returns their number."""
    fresh = destination.with_name(f".{destination.name}.partial")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    count = 0
    for path in files:
        copy = fresh / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        count += 1
    shutil.rmtree(destination, ignore_errors=True)
    fresh.rename(destination)
    return count


def _make_paths_relative(folder: Path, project: Path) -> None:
    """Take this machine's path to the checkout out of the records."""
    for path in folder.rglob("*.json"):
        path.write_text(path.read_text().replace(f"{project.resolve()}/", ""))


def _costs(scale: str, places: Places) -> pd.DataFrame:
    """The cost table with the rows of one scale replaced: a row per target and job that it needs."""
    lineage, measured = Lineage(places.work), jobs(places.results(scale) / "benchmarks")
    rows = []
    for target in catalogue.everything(places.paper / "documents.yaml", places.captions):
        for job in lineage.costs(target.files(scale), measured):
            rows.append({"document": target.document, "target": target.name, "scale": scale, **job})
    now = pd.DataFrame(rows, columns=COST_COLUMNS)
    if places.recorded_costs.is_file():
        before = tables.read_table(places.recorded_costs)
        others = before[before["scale"] != scale]
        now = pd.concat([others, now]) if len(others) else now
    return now.sort_values(["document", "target", "scale", "rule"], ignore_index=True)
