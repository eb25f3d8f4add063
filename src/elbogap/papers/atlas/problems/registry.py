"""The problems by name: a new one is a file with a table `PROBLEMS`, and its line here."""

from collections.abc import Callable, Mapping

from elbogap.data.loaders import Dataset
from elbogap.errors import UserError, named
from elbogap.papers.atlas.problems import (
    funnel,
    gaussian,
    logistic,
    mapa,
    plane,
    posteriordb,
    ppca,
    student_t,
)
from elbogap.papers.atlas.problems.base import Problem

MADE: Mapping[str, Callable[[], Problem]] = {
    **gaussian.PROBLEMS,
    **plane.PROBLEMS,
    **funnel.PROBLEMS,
    **student_t.PROBLEMS,
    **mapa.PROBLEMS,
    **ppca.PROBLEMS,
    **logistic.PROBLEMS,
}
"""Those that need no data set."""

POSTERIORS = tuple(posteriordb.MODELS)
"""The names of those of posteriordb."""


def problem(name: str, data: Dataset | None = None) -> Problem:
    """The problem of that name, with its data set if it is of posteriordb; UserError if there is none."""
    if name not in POSTERIORS:
        return named(MADE, name, f"posteriordb gives {', '.join(POSTERIORS)}, and there is no problem")()
    if data is None:
        raise UserError(f"problem '{name}' is one of posteriordb's: give its data set")
    return posteriordb.posterior(name, data.arrays, data.kind)
