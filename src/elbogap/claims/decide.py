"""Decide all claims of a scale and write the verdicts, or compare them with those of the recorded runs."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd

from elbogap import checksums, provenance, tables
from elbogap.claims import engine, specification
from elbogap.claims.engine import NOT_ASSESSED
from elbogap.claims.intervals import CONTRADICTED, REPRODUCED, UNDECIDED
from elbogap.errors import UserError
from elbogap.places import Places

_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?(?:e[-+]\d+)?)")

# Sign, text colour and background: blue and vermilion differ under all common colour-vision deficiencies.
LOOKS = {
    REPRODUCED: ("✓", "#ffffff", "#005a8c"),
    CONTRADICTED: ("✗", "#ffffff", "#a84300"),
    UNDECIDED: ("?", "#1a1a1a", "#f0e442"),
    NOT_ASSESSED: ("–", "#333333", "#e3e3e3"),
}


def decide(
    scale: str, results: Path, paper: Path, outputs: Mapping[str, Path], *, partial: bool
) -> pd.DataFrame:
    """The verdicts (:func:`engine.assess_all`), also written to the outputs `csv`, `effects` and `html`.

    UserError if there are no claims in `paper`, or one cannot be decided.
    """
    claims = specification.load(paper)
    if not claims:
        raise UserError(f"{paper}: no claims here; they are files <document>/claims.yaml")
    needed = map(Path, specification.tables_needed(paper, scale, results))
    digests = {str(path): provenance.verify(path) for path in needed if path.is_file()}
    verdicts, effects = engine.assess_all(claims, scale, results, paper, partial=partial)
    texts = {text: checksums.sha256(Path(text)) for text in specification.texts_needed(paper, scale)}
    source = provenance.source(__name__)
    record = provenance.collect(source=source, scale=scale, inputs=digests | texts)
    hours = core_hours(verdicts, {claim.id: results / scale / claim.table for _, claim in claims})
    writers = {
        "csv": lambda path: tables.save(verdicts, path),
        "effects": lambda path: tables.save(effects, path),
        "html": lambda path: path.write_text(page(verdicts, effects, scale, hours), encoding="utf-8"),
    }
    provenance.publish(record, {path: writers[kind] for kind, path in outputs.items()})
    return verdicts


def core_hours(verdicts: pd.DataFrame, table_of: Mapping[str, Path]) -> dict[str, float]:
    """What the further replicates of each undecided claim would cost, by its table's records of cost.

    Each replicate is taken to cost the same part of all work that the table rests on. Claims are left out for
    which a record is missing, as of the files that a recorded run leaves out.
    """
    found = {}
    finite = verdicts[np.isfinite(verdicts["needed"])]
    for row in finite[finite["needed"] > finite["replicates"]].itertuples():
        with suppress(UserError, KeyError):
            jobs = _jobs(table_of[row.id])
            found[row.id] = sum(jobs.values()) / 3600 * (row.needed / row.replicates - 1)
    return found


def _jobs(product: Path) -> dict[str, float]:
    """Core-seconds of each job behind a product, by the digests of the job's outputs."""
    found: dict[str, float] = {}
    waiting = [product]
    while waiting:
        record = provenance.read(waiting.pop())
        if (job := str(record["outputs"])) not in found:
            cost = record.get("run", {})
            found[job] = cost.get("wall_s", 0.0) * cost.get("threads", 1)
            inputs = map(Path, record["inputs"])
            waiting += [path for path in inputs if not path.resolve().is_relative_to(provenance.TEXTS)]
    return found


def summary(verdicts: pd.DataFrame) -> pd.DataFrame:
    """How many claims of each nature, document by document, have each verdict; findings of our own apart."""
    kind = verdicts["nature"].where(verdicts["origin"] == "document", verdicts["nature"] + " (ours)")
    counts = pd.crosstab([verdicts["document"], kind.rename("nature")], verdicts["verdict"])
    return counts.reindex(columns=list(engine.VERDICTS), fill_value=0).reset_index()


def page(verdicts: pd.DataFrame, effects: pd.DataFrame, scale: str, hours: Mapping[str, float]) -> str:
    """One self-contained HTML page, grouped by document; all text is escaped."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined, loader=loader
    )
    return environment.get_template("page.html.jinja").render(
        scale=scale,
        hours=hours,
        looks=LOOKS,
        summary=summary(verdicts).to_dict("records"),
        effects={claim: rows.to_dict("records") for claim, rows in effects.groupby("id")},
        documents={key: rows.to_dict("records") for key, rows in verdicts.groupby("document", sort=False)},
    )


def verify(places: Places, say: Callable[[str, pd.DataFrame], object]) -> list[str]:
    """One line for each thing that is not as it was recorded; a UserError if the claims' files are broken.

    `say` is called once per scale, with a line that counts its verdicts, and with these.
    """
    roots = (places.recorded, places.project / "figures" / "reference")
    scales = sorted({path.name for root in roots for path in root.glob("[!.]*") if path.is_dir()})
    if not scales:
        return [f"{places.recorded}: no recorded run"]
    problems = [
        f"{path}: an interrupted recording left this; run the reference command again"
        for root in roots
        for path in sorted(root.glob(".*/*.old"))
    ]
    claims = specification.load(places.paper)
    for scale in scales:
        problems += checksums.mismatches(places.recorded_results(scale))
        problems += checksums.mismatches(places.recorded_figures(scale))
        try:
            then = engine.read_verdicts(places.recorded_results(scale) / "claims.csv")
            effects_then = engine.read_effects(places.recorded_results(scale) / "claims_effects.csv")
            now, effects = engine.assess_all(claims, scale, places.recorded, places.paper, partial=True)
        except UserError as error:
            problems.append(f"{scale}: {error}")
            continue
        counts = [f"{count} {verdict}" for verdict, count in now["verdict"].value_counts().items()]
        say(f"{scale}: {len(now)} claims, {', '.join(counts)}", now)
        problems += engine.failures(now)
        for table in (effects, effects_then):  # two of a claim may have one name, for either limit
            table["id"] += ", effect " + (table.groupby("id").cumcount() + 1).astype(str)
        lines = (*_differences(now, then), *_differences(effects, effects_then))
        problems += [f"{scale}: {line}" for line in lines]
    return problems


def _differences(now: pd.DataFrame, then: pd.DataFrame) -> Iterator[str]:
    """One line for each row, known by its id, that differs from the recorded row."""
    new, old = ({row["id"]: row for row in table.to_dict("records")} for table in (now, then))
    for name in sorted({*new, *old}):
        if name not in old:
            yield f"{name}: is not in the record"
        elif name not in new:
            yield f"{name}: is in the record alone"
        else:
            cells = ((column, value, old[name][column]) for column, value in new[name].items())
            changed = [
                f"{column} is {a}, but the record says: {b}" for column, a, b in cells if not _equal(a, b)
            ]
            if changed:
                yield f"{name}: {'; '.join(changed)}"


def _equal(now: str | float, then: str | float) -> bool:
    """Whether two cells agree up to rounding, which differs between machines.

    Numbers may differ by 1e-9, relatively or absolutely; those in texts, which are rounded to six digits, by
    1 in the last digit.
    """
    if isinstance(now, float) and isinstance(then, float):
        return math.isclose(now, then, rel_tol=1e-9, abs_tol=1e-9) or (math.isnan(now) and math.isnan(then))
    words, old_words = (_NUMBER.split(str(cell)) for cell in (now, then))  # a text, a number, a text ...
    return len(words) == len(old_words) and all(
        math.isclose(float(a), float(b), rel_tol=1.01e-5, abs_tol=1e-9) if i % 2 else a == b
        for i, (a, b) in enumerate(zip(words, old_words, strict=True))
    )
