"""Where the parts of a project lie: what is written by hand in the checkout, and what a run has made."""

from pathlib import Path
from typing import Self

from elbogap.digest import SOURCE
from elbogap.errors import UserError


def visible(folder: Path, pattern: str) -> list[Path]:
    """The files and folders of a pattern in `folder`, sorted, without hidden ones.

    Those are not ours: editors' locks, a file manager's notes, what an interrupted write left.
    """
    return sorted(
        path
        for path in folder.glob(pattern)
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


class Places:
    """The folders and files that the report and the pages in docs are made from."""

    def __init__(self, project: Path, work: Path) -> None:
        """Of a checkout, and of a run's folder, Snakemake's `--directory`, with `results/` and `figures/`."""
        self.project, self.work = project, work
        self.paper = project / "paper"  # texts, a folder for each document, and the report's sources
        self.docs = project / "docs"  # pages for readers, some with generated parts
        self.faults = project / "tests" / "faults"  # tests that inject faults, and what they promise
        self.recorded = project / "results" / "reference"  # tables of recorded runs, by scale
        self.recorded_costs = self.recorded / "cost.csv"  # what the targets cost in these runs
        self.recorded_paces = self.recorded / "profile.csv"  # how fast long work was, see `--profile`

    @classmethod
    def here(cls, project: Path | None = None) -> Self:
        """The checkout `project`, or this package's, and the current folder; UserError if it is none."""
        root = project or SOURCE.parents[1]
        if not (root / "paper" / "report.typ").is_file():
            raise UserError(
                f"{root} is not a checkout of elbogap (no paper/report.typ); name one with --project"
            )
        return cls(root, Path())

    def results(self, scale: str) -> Path:
        """Tables and records that a run made."""
        return self.work / "results" / scale

    def figures(self, scale: str) -> Path:
        """Figures that a run made."""
        return self.work / "figures" / scale

    def recorded_results(self, scale: str) -> Path:
        """Tables of a recorded run."""
        return self.recorded / scale

    def recorded_figures(self, scale: str) -> Path:
        """Pictures of a recorded run, kept in the repository."""
        return self.project / "figures" / "reference" / scale
