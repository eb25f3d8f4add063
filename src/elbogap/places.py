"""Where the parts of a project lie: what is written by hand in the checkout, and what a run has made."""

from dataclasses import dataclass
from pathlib import Path

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


@dataclass(frozen=True)
class Places:
    """The folders that the report and the pages in docs are made from.

    Attributes:
        project: the checkout, with `paper/`, `results/reference/` and `docs/`.
        work: the folder that holds the `results/` and `figures/` of a run; the checkout unless Snakemake
            was told another `--directory`.
    """

    project: Path
    work: Path

    @classmethod
    def here(cls, project: Path | None = None) -> "Places":
        """The checkout that this package lies in (or `project`), and the current folder.

        Raises:
            UserError: the package does not lie in a checkout, and no project folder is given.
        """
        root = project or SOURCE.parents[1]
        if not (root / "paper" / "report.typ").is_file():
            raise UserError(
                f"{root} is not a checkout of elbogap (no paper/report.typ); name one with --project"
            )
        return cls(project=root, work=Path())

    @property
    def paper(self) -> Path:
        """The texts of each document in a folder of its own, and the report's sources."""
        return self.project / "paper"

    @property
    def docs(self) -> Path:
        """Pages for readers, some with generated parts."""
        return self.project / "docs"

    @property
    def faults(self) -> Path:
        """Tests that inject faults, and the page that lists what they promise."""
        return self.project / "tests" / "faults"

    def results(self, scale: str) -> Path:
        """Tables and records that a run made."""
        return self.work / "results" / scale

    def figures(self, scale: str) -> Path:
        """Figures that a run made."""
        return self.work / "figures" / scale

    @property
    def recorded(self) -> Path:
        """Tables of all recorded runs, by scale, kept in the repository."""
        return self.project / "results" / "reference"

    def recorded_results(self, scale: str) -> Path:
        """Tables of a recorded run."""
        return self.recorded / scale

    def recorded_figures(self, scale: str) -> Path:
        """Pictures of a recorded run, kept in the repository."""
        return self.project / "figures" / "reference" / scale

    @property
    def recorded_costs(self) -> Path:
        """What the targets cost in the recorded runs of all scales."""
        return self.recorded / "cost.csv"

    @property
    def recorded_paces(self) -> Path:
        """How fast the long work of jobs was, by device, see the option `--profile` of experiments."""
        return self.recorded / "profile.csv"
