"""Whether recorded runs are as recorded: their files by SHA-256, their claims by deciding them again."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pandas as pd

from elbogap import checksums
from elbogap.claims import engine, specification
from elbogap.errors import UserError
from elbogap.places import Places

Say = Callable[[str, pd.DataFrame], object]

_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?(?:e[-+]\d+)?)")


def verify(places: Places, say: Say) -> list[str]:
    """One line for each thing that is not as it was recorded; `say` is told of each scale, and its verdicts.

    Raises:
        UserError: the claims' own files are broken.
    """
    roots = (places.recorded, places.project / "figures" / "reference")
    scales = sorted({path.name for root in roots for path in root.glob("[!.]*") if path.is_dir()})
    if not scales:
        return [f"{places.recorded}: no recorded run"]
    aside = [path for root in roots for path in sorted(root.glob(".*/*.old"))]
    problems = [
        f"{path}: an interrupted recording left this; run the reference command again" for path in aside
    ]
    documents = specification.load(places.paper)
    for scale in scales:
        problems += checksums.mismatches(places.recorded_results(scale))
        problems += checksums.mismatches(places.recorded_figures(scale))
        try:
            problems += _claims(documents, scale, places, say)
        except UserError as error:
            problems.append(f"{scale}: {error}")
    return problems


def _claims(documents: specification.Claims, scale: str, places: Places, say: Say) -> Iterator[str]:
    then = _by_claim(engine.read_verdicts(places.recorded_results(scale) / "claims.csv"))
    verdicts = engine.assess_all(documents, scale, places.recorded, places.paper, partial=True)
    counts = verdicts["verdict"].value_counts()
    say(
        f"{scale}: {len(verdicts)} claims, " + ", ".join(f"{n} {word}" for word, n in counts.items()),
        verdicts,
    )
    yield from engine.failures(verdicts)
    now = _by_claim(verdicts)
    for name in sorted({*now, *then}):
        if name not in now or name not in then:
            yield f"{scale}: {name}: " + ("is no claim" if name in then else "has no recorded verdict")
        elif differences := list(_differences(now[name], then[name])):
            yield f"{scale}: {name}: {'; '.join(differences)}"


def _by_claim(verdicts: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in verdicts.to_dict("records")}


def _differences(now: Mapping[str, Any], then: Mapping[str, Any]) -> Iterator[str]:
    for name, value in now.items():
        if not _equal(value, then[name]):
            yield f"{name} is {value}, but the record says: {then[name]}"


def _equal(now: str | float, then: str | float) -> bool:
    """Whether two cells agree up to rounding, which another machine does differently.

    Numbers may differ by 1e-9, relatively or absolutely; those in texts, which are rounded to six digits, by
    one in the last.
    """
    if isinstance(now, float) and isinstance(then, float):
        return math.isclose(now, then, rel_tol=1e-9, abs_tol=1e-9) or (math.isnan(now) and math.isnan(then))
    words = [_NUMBER.split(str(cell)) for cell in (now, then)]
    return len(words[0]) == len(words[1]) and all(
        math.isclose(float(a), float(b), rel_tol=1.01e-5, abs_tol=1e-9) if i % 2 else a == b
        for i, (a, b) in enumerate(zip(*words, strict=True))
    )
